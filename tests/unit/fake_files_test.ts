/** The fake disk is only worth something if it forgets what a real one may forget. */
import assert from "node:assert/strict";
import { errorCode } from "../../agent/base/errors.ts";
import { type CrashMode, FakeFiles } from "../fakes/fake_files.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function disk(): FakeFiles {
  const files = new FakeFiles();
  files.makeFolder("/d");
  return files;
}

async function diskWithFile(synced: string, unsynced: string): Promise<FakeFiles> {
  const files = disk();
  const file = files.open("/d/a", "create");
  file.append(bytes(synced));
  await file.syncData();
  await files.syncFolder("/d");
  file.append(bytes(unsynced));
  return files;
}

Deno.test("fake disk: what was synced survives every crash", async () => {
  for (const mode of ["lost", "kept", "half", "reordered", "zeroed"] as CrashMode[]) {
    for (let seed = 0; seed < 50; seed++) {
      const files = await diskWithFile("synced", "x".repeat(200));
      files.crash(mode, seed);
      assert.equal(
        new TextDecoder().decode(files.content("/d/a").subarray(0, 6)),
        "synced",
        `${mode} ${seed}`,
      );
    }
  }
});

Deno.test("fake disk: each mode leaves of unsynced bytes what it says", async () => {
  const after = async (mode: CrashMode, seed: number) => {
    const files = await diskWithFile("synced", "x".repeat(200));
    files.crash(mode, seed);
    return new TextDecoder().decode(files.content("/d/a")).slice(6);
  };
  assert.equal(await after("lost", 1), "");
  assert.equal(await after("kept", 1), "x".repeat(200));
  const seen = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const half = await after("half", seed);
    assert.match(half, /^x*$/);
    assert.match(await after("zeroed", seed), /^x*\0*$/);
    const reordered = await after("reordered", seed);
    if (/\0x/.test(reordered)) seen.add("a hole");
    if (half.length > 0 && half.length < 200) seen.add("a part");
    assert.equal(await after("reordered", seed), reordered, "the same seed does the same");
  }
  assert.deepEqual([...seen].sort(), ["a hole", "a part"]);
});

Deno.test("fake disk: a name that was not synced may be lost, a removed one may come back", async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const files = await diskWithFile("one", "");
    const file = files.open("/d/b", "create");
    file.append(bytes("two"));
    await file.syncData();
    files.unlink("/d/a");
    files.crash("half", seed);
    outcomes.add(files.list("/d").map((entry) => entry.name).sort().join("+"));
  }
  assert.deepEqual([...outcomes].sort(), ["", "a", "a+b", "b"]);
  const files = await diskWithFile("one", "");
  files.open("/d/b", "create");
  await files.syncFolder("/d");
  files.crash("lost");
  assert.deepEqual(files.list("/d").map((entry) => entry.name), ["a", "b"]);
});

Deno.test("fake disk: a failed sync loses its bytes for good, although they are seen until the crash", async () => {
  const files = await diskWithFile("one ", "");
  const file = files.open("/d/a", "append");
  file.append(bytes("two "));
  files.failAll("EIO", ["syncData"]);
  await assert.rejects(file.syncData(), { code: "EIO" });
  files.heal();
  await file.syncData();
  assert.equal(new TextDecoder().decode(files.content("/d/a")), "one two ");
  files.crash("kept");
  assert.equal(new TextDecoder().decode(files.content("/d/a")), "one ");
});

Deno.test("fake disk: bytes written while a sync is under way are not covered by it", async () => {
  const files = await diskWithFile("", "one ");
  const file = files.open("/d/a", "append");
  let open = () => {};
  files.syncGate = new Promise((done) => open = done);
  const syncing = file.syncData();
  file.append(bytes("two"));
  open();
  await syncing;
  files.crash("lost");
  assert.equal(new TextDecoder().decode(files.content("/d/a")), "one ");
});

Deno.test("fake disk: replace survives a crash at any of its calls as the old or the new content", async () => {
  for (let n = 1; n <= 7; n++) {
    for (let seed = 0; seed < 20; seed++) {
      const files = disk();
      await files.replace("/d/s", bytes("old content"));
      files.failAt(n, "EIO");
      await files.replace("/d/s", bytes("new content!")).catch(() => {});
      files.heal();
      files.crash("half", seed);
      assert.match(new TextDecoder().decode(files.read("/d/s")!), /^(old content|new content!)$/);
    }
  }
});

Deno.test("fake disk: the n-th call fails, a full disk takes a part, unreadable bytes give EIO", () => {
  const files = disk();
  files.failAt(2, "ENOSPC", ["append"]);
  const file = files.open("/d/a", "create");
  file.append(bytes("12345678"));
  assert.throws(() => file.append(bytes("abcdefgh")), { code: "ENOSPC" });
  assert.equal(file.size(), 12, "half of it stands there");
  file.append(bytes("z"));
  files.capacityBytes = 15;
  assert.throws(() => file.append(bytes("zzzz")), { code: "ENOSPC" });
  assert.equal(file.size(), 15);
  files.makeUnreadable("/d/a", 4, 6);
  assert.equal(file.readAt(new Uint8Array(4), 0), 4);
  try {
    file.readAt(new Uint8Array(4), 3);
    assert.fail("it was read");
  } catch (error) {
    assert.equal(errorCode(error), "EIO");
  }
  assert.deepEqual(files.calls.slice(0, 3).map((call) => call.verb), ["makeFolder", "create", "append"]);
});

Deno.test("fake disk: a file opened before a crash is dead after it", async () => {
  const files = await diskWithFile("one", "");
  const file = files.open("/d/a", "append");
  const syncing = file.syncData();
  files.crash("kept");
  await assert.rejects(syncing, /the power went/);
  assert.throws(() => file.append(bytes("x")), /before the power went/);
});
