import assert from "node:assert/strict";
import { join } from "node:path";
import { DiskFullError } from "../../agent/base/errors.ts";
import { realFiles } from "../../agent/base/files.ts";
import { Reserve } from "../../agent/base/reserve.ts";
import { reserveBytes } from "../../agent/limits.ts";
import { FakeFiles } from "../fakes/fake_files.ts";

const size = 10_000;

/** A disk with a reserve and a file `state`, otherwise full. */
async function fullDisk(): Promise<{ files: FakeFiles; reserve: Reserve }> {
  const files = new FakeFiles();
  files.makeFolder("/spool");
  const reserve = await Reserve.open(files, "/spool/reserve", size);
  await files.replace("/spool/state", new Uint8Array(100));
  files.capacityBytes = size + 100;
  return { files, reserve };
}

Deno.test("reserve: on a full disk a file is still replaced, out of the reserve", async () => {
  const { files, reserve } = await fullDisk();
  await reserve.replace("/spool/state", new Uint8Array(200).fill(7));
  assert.deepEqual(files.content("/spool/state"), new Uint8Array(200).fill(7));
  assert.equal(reserve.held, false);
});

Deno.test("reserve: on a full disk bytes are still appended whole, out of the reserve", async () => {
  const { files, reserve } = await fullDisk();
  const file = files.open("/spool/state", "append");
  await reserve.append(file, "/spool/state", new Uint8Array(500).fill(7));
  assert.deepEqual(files.content("/spool/state").subarray(100), new Uint8Array(500).fill(7));
  files.crash("lost");
  assert.equal(files.content("/spool/state").length, 600);
});

Deno.test("reserve: what is larger than the reserve leaves the file as it was", async () => {
  const { files, reserve } = await fullDisk();
  const file = files.open("/spool/state", "append");
  await assert.rejects(reserve.append(file, "/spool/state", new Uint8Array(2 * size)), (error) => {
    return error instanceof DiskFullError && /the agent's reserve included/.test(error.message);
  });
  assert.equal(files.content("/spool/state").length, 100);
  await assert.rejects(reserve.replace("/spool/state", new Uint8Array(2 * size)), DiskFullError);
  assert.equal(files.content("/spool/state").length, 100);
});

Deno.test("reserve: without room there is none for now, and later it is made anew", async () => {
  const files = new FakeFiles();
  files.makeFolder("/spool");
  files.capacityBytes = size / 2;
  const reserve = await Reserve.open(files, "/spool/reserve", size);
  assert.equal(reserve.held, false);
  assert.equal(files.roomBytes(), size / 2, "a partial reserve would take the last room");
  files.capacityBytes = size;
  assert.equal(await reserve.restore(), true);
  assert.equal(files.content("/spool/reserve").length, size);
  assert.ok(
    new Set(files.content("/spool/reserve")).size > 100,
    "a file system that compresses must not shrink it",
  );
});

Deno.test("reserve: that of an earlier run is taken, a partial one made anew", async () => {
  const files = new FakeFiles();
  files.makeFolder("/spool");
  await Reserve.open(files, "/spool/reserve", size);
  files.calls.length = 0;
  assert.equal((await Reserve.open(files, "/spool/reserve", size)).held, true);
  assert.deepEqual(files.calls.map((call) => call.verb).filter((verb) => verb === "append"), []);
  files.damage("/spool/reserve", (bytes) => bytes.subarray(1));
  assert.equal((await Reserve.open(files, "/spool/reserve", size)).held, true);
  assert.equal(files.content("/spool/reserve").length, size);
});

Deno.test("reserve: other errors of the disk come out as they are, and nothing is given up", async () => {
  const { files, reserve } = await fullDisk();
  files.failAt(1, "EIO", ["syncData"]);
  const file = files.open("/spool/state", "append");
  files.capacityBytes = Infinity;
  await assert.rejects(reserve.append(file, "/spool/state", new Uint8Array(5)), { code: "EIO" });
  assert.equal(files.content("/spool/state").length, 100);
  files.failAll("EROFS", ["create"]);
  await assert.rejects(reserve.replace("/spool/state", new Uint8Array(5)), { code: "EROFS" });
  assert.equal(reserve.held, true);
});

Deno.test("reserve: on a real disk it takes its blocks", async () => {
  const dir = await Deno.makeTempDir();
  const reserve = await Reserve.open(realFiles, join(dir, "reserve"));
  const { size: length, blocks, mode } = await Deno.stat(join(dir, "reserve"));
  assert.equal(length, reserveBytes);
  assert.ok((blocks ?? 0) * 512 >= reserveBytes);
  assert.equal((mode ?? 0) & 0o777, 0o600);
  assert.equal(reserve.held, true);
  await Deno.remove(dir, { recursive: true });
});
