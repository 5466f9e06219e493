/** What the disk refuses is not stored, not acknowledged, and harms nothing that was. */
import assert from "node:assert/strict";
import { DiskFullError, LostSyncError, OperationError } from "../../agent/base/errors.ts";
import { headerBytes } from "../../agent/spool/format.ts";
import { changingVerbs, FakeFiles, writingVerbs } from "../fakes/fake_files.ts";
import { arrival, dir, message, message2, open, readAll, store, texts } from "./spool_setup.ts";

/** A spool with "a" and "b" stored, id 5 held, and a batch of three pending that holds id 6 and releases 5. */
async function withPending(files: FakeFiles, segmentBytes: number) {
  const { spool, log } = await open(files, segmentBytes);
  await store(spool, "a");
  spool.addReading(message2("b", 5), arrival);
  await spool.commit();
  spool.addReading(message("c"), arrival);
  spool.addRelease(5);
  spool.addReading(message2("d", 6), arrival);
  return { spool, log };
}

/** 500: the pending batch goes into the open segment; 300: it needs a new one. */
for (const segmentBytes of [1000, 400]) {
  for (const code of ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"]) {
    Deno.test(`spool: ${code} at any write leaves all as before (segments of ${segmentBytes})`, async () => {
      for (let n = 1; n <= 4; n++) {
        const files = new FakeFiles();
        const { spool } = await withPending(files, segmentBytes);
        const before = files.list(dir);
        files.failAt(n, code, writingVerbs);
        const error = await spool.commit().then(() => undefined, (thrown: unknown) => thrown);
        if (error === undefined) break;
        assert.ok(error instanceof OperationError && error.retryable && error.remedy !== undefined);
        assert.equal(error instanceof DiskFullError, ["ENOSPC", "EDQUOT"].includes(code));
        assert.deepEqual([spool.isHeld(5), spool.isHeld(6), spool.heldCount()], [true, false, 1]);
        assert.deepEqual([spool.nextSequence(), spool.pendingReadings(), spool.pendingBytes()], [3, 0, 0]);
        assert.deepEqual(files.list(dir), before, "nothing half-written is left");
        assert.deepEqual(texts(spool), ["a", "b"]);
        await store(spool, "again");
        files.crash("lost");
        const after = (await open(files, segmentBytes)).spool;
        assert.deepEqual(texts(after), ["a", "b", "again"], `call ${n}`);
        assert.deepEqual([after.isHeld(5), after.isHeld(6), after.nextSequence()], [true, false, 4]);
      }
    });
  }
}

Deno.test("spool: a disk that is really full takes again when there is room", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 2000);
  files.capacityBytes = 1500;
  const stored: string[] = [];
  let refusals = 0;
  for (let i = 0; i < 40; i++) {
    const text = `reading ${i}`;
    try {
      await store(spool, text);
      stored.push(text);
    } catch (error) {
      assert.ok(error instanceof DiskFullError, String(error));
      refusals++;
      if (i === 30) files.capacityBytes = 10_000;
    }
  }
  assert.ok(refusals > 10 && stored.length > 10);
  assert.deepEqual(texts(spool), stored);
  assert.deepEqual(readAll(spool).damaged, 0);
});

Deno.test("spool: a read-only folder can be opened and read; storing fails until it is writable", async () => {
  const files = new FakeFiles();
  await store((await open(files)).spool, "a");
  files.failAll("EROFS", changingVerbs);
  const { spool } = await open(files);
  await assert.rejects(store(spool, "b"), (error) => error instanceof OperationError && error.retryable);
  assert.deepEqual(texts(spool), ["a"]);
  files.heal();
  await store(spool, "c");
  assert.deepEqual(texts(spool), ["a", "c"]);
});

for (
  const [what, segmentBytes, verb] of [
    ["fdatasync of the open segment", 1000, "syncData"],
    ["fdatasync of a new segment", 400, "syncData"],
    ["the sync of the folder", 400, "syncFolder"],
  ] as const
) {
  Deno.test(`spool: when ${what} fails, the process must end and nothing unsynced is found later`, async () => {
    const files = new FakeFiles();
    const { spool } = await withPending(files, segmentBytes);
    const before = files.list(dir);
    files.failAt(1, "EIO", [verb]);
    await assert.rejects(
      spool.commit(),
      (error) => error instanceof LostSyncError && /EIO/.test(error.message),
    );
    assert.deepEqual(files.list(dir), before, "the page cache holds nothing that the disk may not");
    spool.addReading(message("e"), arrival);
    await assert.rejects(spool.commit(), LostSyncError, "and nothing more is taken");
    assert.deepEqual(texts(spool), ["a", "b"]);
    const next = (await open(files, segmentBytes)).spool;
    assert.deepEqual([texts(next), next.isHeld(5), next.isHeld(6)], [["a", "b"], true, false]);
    await store(next, "again");
    files.crash("lost");
    assert.deepEqual(texts((await open(files, segmentBytes)).spool), ["a", "b", "again"]);
  });
}

Deno.test("spool: a batch that can't be cut back is never read, although its bytes stand there", async () => {
  for (const crash of [false, true]) {
    const files = new FakeFiles();
    const { spool, log } = await withPending(files, 1000);
    spool.addReading(message("x".repeat(200)), arrival);
    files.fault = (call) => ["append", "truncate"].includes(call.verb) ? "EIO" : undefined;
    await assert.rejects(spool.commit(), OperationError);
    files.heal();
    assert.match(log.text, /could not be cut back/);
    assert.ok(files.list(dir)[0]!.sizeBytes > spool.sizeBytes());
    await store(spool, "good", "better");
    assert.equal(files.list(dir).length, 2);
    if (crash) files.crash("kept");
    const after = crash ? (await open(files, 1000)).spool : spool;
    const all = readAll(after);
    assert.deepEqual([texts(after), all.damaged, all.nextSequence], [["a", "b", "good", "better"], 0, 5]);
    assert.deepEqual([after.isHeld(5), after.isHeld(6)], [true, false]);
    // and when the next segment can't tell which ids are held, the one with those bytes is asked
    const last = after.segments().at(-1)!.path;
    files.damage(last, (bytes) => bytes.fill(0, headerBytes + 5, headerBytes + 9));
    assert.equal((await open(files, 1000)).spool.isHeld(6), false);
  }
});

Deno.test("spool: a new file that can't be removed again is no harm", async () => {
  const files = new FakeFiles();
  const { spool } = await withPending(files, 400);
  files.fault = (call) => call.verb === "unlink" || (call.verb === "append") ? "ENOSPC" : undefined;
  await assert.rejects(spool.commit(), DiskFullError);
  files.heal();
  await store(spool, "c");
  files.crash("kept");
  const { spool: after } = await open(files, 400);
  assert.deepEqual([texts(after), after.isHeld(5), after.isHeld(6)], [["a", "b", "c"], true, false]);
});

Deno.test("spool: recovery that can't sync what it found writes it anew, and ends the process when it can't", async () => {
  for (const verb of ["syncData", "syncFolder"] as const) {
    const files = new FakeFiles();
    const { spool } = await open(files);
    await store(spool, "a");
    spool.addReading(message2("b", 9), arrival);
    files.syncGate = new Promise(() => {});
    spool.commit().catch(() => {}); // killed here: "b" is in the page cache only
    files.syncGate = undefined;
    files.failAll("EIO", [verb]);
    await assert.rejects(
      open(files),
      (error) => error instanceof LostSyncError && error.place.startsWith(dir),
    );
    files.failAt(1, "EIO", [verb]);
    const { spool: next, log } = await open(files);
    assert.match(log.text, /written anew/);
    files.crash("lost");
    const { spool: last } = await open(files);
    assert.deepEqual([texts(next), texts(last), last.isHeld(9)], [["a", "b"], ["a", "b"], true]);
    assert.equal(last.segments()[0]!.id, spool.segments()[0]!.id);
    assert.equal(files.list(dir).length, 1);
  }
});

Deno.test("spool: a sync that fails while a torn tail is cut off is not forgotten", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, "a");
  spool.addReading(message2("b", 9), arrival);
  files.syncGate = new Promise(() => {});
  spool.commit().catch(() => {}); // killed here: "b" is in the page cache only, and half a record behind it
  files.syncGate = undefined;
  const { path } = spool.segments()[0]!;
  files.open(path, "append").append(Uint8Array.of(0xd5, 0x73, 0x4c));
  let failures = 0;
  files.fault = (call) =>
    call.verb === "syncData" && call.path === path && failures++ === 0 ? "EIO" : undefined;
  const { spool: next } = await open(files);
  assert.deepEqual([texts(next), next.isHeld(9), failures > 0], [["a", "b"], true, true]);
  files.crash("lost");
  const { spool: last } = await open(files);
  assert.deepEqual([texts(last), last.isHeld(9)], [["a", "b"], true]);
});

Deno.test("spool: a new segment that failed and comes back in a crash hides nothing that was stored after it", async () => {
  for (let seed = 0; seed < 40; seed++) {
    const files = new FakeFiles();
    const { spool } = await open(files, 500);
    await store(spool, "a", "b");
    spool.addReading(message("too large for this segment".repeat(5)), arrival);
    files.failAt(3, "ENOSPC", ["create", "append"]);
    await assert.rejects(spool.commit(), DiskFullError);
    await store(spool, "c", "d");
    files.crash("half", seed);
    assert.deepEqual(texts((await open(files, 500)).spool), ["a", "b", "c", "d"], `seed ${seed}`);
  }
});

Deno.test("spool: recovery syncs what it found, so that a crash right after it loses nothing more", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, "a");
  spool.addReading(message2("b", 9), arrival);
  files.syncGate = new Promise(() => {});
  spool.commit().catch(() => {}); // killed here: "b" is in the page cache only
  files.syncGate = undefined;
  const { spool: next } = await open(files);
  assert.deepEqual([texts(next), next.isHeld(9)], [["a", "b"], true]);
  files.crash("lost");
  const { spool: last } = await open(files);
  assert.deepEqual([texts(last), last.isHeld(9)], [["a", "b"], true]);
});

Deno.test("spool: removing a segment that the disk refuses to remove can be tried again", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 250);
  await store(spool, "a", "b", "c");
  const [first] = spool.segments();
  files.failAt(1, "EIO", ["unlink"]);
  await assert.rejects(spool.remove(first!), (error) => error instanceof OperationError && error.retryable);
  assert.equal(spool.segments()[0]!.path, first!.path);
  await spool.remove(first!);
  await spool.remove(first!);
  assert.notEqual(spool.segments()[0]!.path, first!.path);
  await assert.rejects(spool.remove(spool.segments().at(-1)!), /newest/);
});
