/** What a folder of segments becomes after any end of the last life; damage never keeps the agent from starting. */
import assert from "node:assert/strict";
import { OperationError } from "../../agent/base/errors.ts";
import { tornBytesMax, tornFilesMax } from "../../agent/limits.ts";
import { checksumSeed, encodeHeader, headerBytes } from "../../agent/spool/format.ts";
import { RecordBatch } from "../../agent/spool/record_batch.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { arrival, dir, message2, open, readAll, store, texts } from "./spool_setup.ts";

const path = (name: string) => `${dir}/${name}`;
const names = (files: FakeFiles) => files.list(dir).map((entry) => entry.name).sort();

/** A folder with "a" … "f" in three segments, nobody running. */
async function threeSegments() {
  const files = new FakeFiles();
  const { spool } = await open(files, 360);
  await store(spool, "a", "b", "c", "d", "e", "f");
  const segments = spool.segments();
  assert.equal(segments.length, 3);
  await spool.close();
  return { files, segments };
}

Deno.test("recovery: a torn tail is cut off and kept aside", async () => {
  const { files, segments } = await threeSegments();
  const last = segments[2]!.path;
  files.damage(last, (bytes) => Uint8Array.of(...bytes, 0xd5, 0x73, 0x4c, 0xa6, 1, 2, 3));
  const { spool, log } = await open(files);
  assert.deepEqual(texts(spool), ["a", "b", "c", "d", "e", "f"]);
  assert.deepEqual([spool.report.tornTails, spool.report.tornBytes, spool.report.damagedReadings], [1, 7, 0]);
  assert.deepEqual(spool.setAside(), [`${last.slice(dir.length + 1)}.torn`]);
  assert.deepEqual(files.content(`${last}.torn`), Uint8Array.of(0xd5, 0x73, 0x4c, 0xa6, 1, 2, 3));
  assert.equal(files.content(last).length, segments[2]!.sizeBytes);
  assert.match(log.text, /torn end/);
  files.crash("lost");
  assert.equal((await open(files)).spool.report.tornTails, 0, "and that is durable");
});

Deno.test("recovery: a tail of zeros is cut off and not worth keeping", async () => {
  const { files, segments } = await threeSegments();
  files.damage(segments[2]!.path, (bytes) => new Uint8Array([...bytes, ...new Uint8Array(5000)]));
  const { spool } = await open(files);
  assert.deepEqual([texts(spool).length, spool.report.tornBytes, spool.setAside()], [6, 5000, []]);
});

Deno.test("recovery: torn tails are bounded in size and number", async () => {
  const files = new FakeFiles();
  for (let life = 0; life < tornFilesMax + 4; life++) {
    const { spool } = await open(files);
    await store(spool, `life ${life}`);
    await spool.close();
    const tail = life === 3 ? new Uint8Array(tornBytesMax + 99).fill(1) : Uint8Array.of(life + 1);
    files.damage(spool.segments().at(-1)!.path, (bytes) => {
      const torn = new Uint8Array(bytes.length + tail.length);
      torn.set(bytes);
      torn.set(tail, bytes.length);
      return torn;
    });
  }
  const { spool } = await open(files);
  const torn = files.list(dir).filter((entry) => entry.name.endsWith(".torn"));
  assert.equal(torn.length, tornFilesMax);
  assert.equal(
    files.content(path(torn.map((entry) => entry.name).sort().at(-1)!))[0],
    tornFilesMax + 4,
    "the newest stay",
  );
  assert.ok(torn.every((entry) => entry.sizeBytes <= tornBytesMax));
  assert.equal(texts(spool).length, tornFilesMax + 4);
});

Deno.test("recovery: a tail that can't be kept aside is left where it is, and does no harm", async () => {
  const { files, segments } = await threeSegments();
  files.damage(segments[2]!.path, (bytes) => Uint8Array.of(...bytes, 1, 2, 3));
  files.failAll("ENOSPC", ["create"]);
  const { spool, log } = await open(files);
  files.heal();
  assert.match(log.text, /could not be repaired/);
  assert.equal(files.content(segments[2]!.path).length, segments[2]!.sizeBytes + 3);
  await store(spool, "g");
  assert.deepEqual([texts(spool).join(""), readAll(spool).damaged], ["abcdefg", 0]);
  assert.deepEqual(texts((await open(files)).spool).join(""), "abcdefg");
});

Deno.test("recovery: a first batch that was torn leaves no file and nothing behind", async () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const { files } = await threeSegments();
    const { spool } = await open(files);
    spool.addReading(message2("torn", 3), arrival);
    files.syncGate = new Promise(() => {});
    spool.commit().catch(() => {});
    files.syncGate = undefined;
    await files.syncFolder(dir);
    files.crash("lost", seed);
    assert.equal(names(files).length, 4, "its name is there, empty");
    const after = (await open(files)).spool;
    assert.deepEqual([texts(after).join(""), after.nextSequence(), after.isHeld(3)], ["abcdef", 7, false]);
    assert.equal(names(files).length, 3);
  }
});

Deno.test("recovery: a damaged middle of the last segment is skipped and counted", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, "a", "b", "c", "d", "e");
  await spool.close();
  const [segment] = spool.segments();
  const recordBytes = (segment!.sizeBytes - headerBytes - 68) / 5;
  files.damage(
    segment!.path,
    (bytes) => bytes.fill(0xd5, headerBytes + 68 + recordBytes + 5, headerBytes + 68 + 3 * recordBytes - 5),
  );
  const { spool: after, log } = await open(files);
  const all = readAll(after);
  assert.deepEqual([texts(after), all.damaged, all.nextSequence], [["a", "d", "e"], 2, 6]);
  assert.deepEqual([after.report.damagedReadings, after.report.readings, after.report.tornTails], [2, 3, 0]);
  assert.match(log.text, /damaged/);
});

Deno.test("recovery: an earlier segment's damage shows when it is read", async () => {
  const { files, segments } = await threeSegments();
  files.damage(segments[0]!.path, (bytes) => bytes.fill(0, headerBytes + 68 + 20));
  const { spool } = await open(files);
  assert.equal(spool.report.damagedReadings, 0);
  const all = readAll(spool);
  assert.deepEqual([texts(spool), all.damaged, all.gone], [["c", "d", "e", "f"], 2, 0]);
});

Deno.test("recovery: a missing segment in the middle is damage, a missing oldest one is gone", async () => {
  const { files, segments } = await threeSegments();
  files.unlink(segments[1]!.path);
  const one = readAll((await open(files)).spool);
  assert.deepEqual([one.readings.length, one.damaged, one.gone], [4, 2, 0]);
  files.unlink(segments[0]!.path);
  const two = readAll((await open(files)).spool);
  assert.deepEqual([two.readings.length, two.damaged, two.gone], [2, 0, 4]);
});

Deno.test("recovery: a damaged header loses no record, because the file's name says the same", async () => {
  const { files, segments } = await threeSegments();
  for (const { path } of segments) files.damage(path, (bytes) => bytes.fill(0xee, 0, headerBytes));
  const { spool } = await open(files);
  const all = readAll(spool);
  assert.deepEqual([texts(spool).join(""), all.damaged], ["abcdef", 0]);
  assert.deepEqual(all.readings.map((reading) => reading.segmentId), segments.flatMap(({ id }) => [id, id]));
});

Deno.test("recovery: a renamed segment keeps the identity of its header", async () => {
  const { files, segments } = await threeSegments();
  files.rename(segments[1]!.path, path("00000077-0000000000000077-00112233aabbccdd.seg"));
  const { spool } = await open(files);
  assert.equal(texts(spool).join(""), "abcdef");
  assert.equal(readAll(spool).readings[2]!.segmentId, segments[1]!.id);
});

Deno.test("recovery: a file with no whole record in it is set aside, not deleted, and shown", async () => {
  const { files, segments } = await threeSegments();
  const garbage = segments[1]!.path;
  files.damage(garbage, (bytes) => bytes.fill(0x5a));
  const { spool, log } = await open(files);
  assert.deepEqual(spool.setAside(), [`${garbage.slice(dir.length + 1)}.bad`]);
  assert.deepEqual(spool.report.setAside, spool.setAside());
  assert.match(log.text, /error a segment was set aside/);
  const all = readAll(spool);
  assert.deepEqual([texts(spool).join(""), all.damaged], ["abef", 2]);
});

Deno.test("recovery: what the disk can't read is set aside or skipped, and the rest is kept", async () => {
  const { files, segments } = await threeSegments();
  files.makeUnreadable(segments[2]!.path);
  const whole = (await open(files)).spool;
  assert.deepEqual([texts(whole).join(""), whole.nextSequence()], ["abcd", 5]);
  assert.deepEqual(whole.setAside().length, 1);
  await store(whole, "g");
  files.heal();

  const big = new FakeFiles();
  const { spool } = await open(big);
  await store(spool, "a", "x".repeat(9000), "b", "y".repeat(9000), "c");
  big.makeUnreadable(spool.segments()[0]!.path, 5000, 5001);
  await spool.close();
  const after = (await open(big)).spool;
  assert.deepEqual([after.report.damagedReadings, texts(after).map((text) => text[0])], [1, [
    "a",
    "b",
    "y",
    "c",
  ]]);
});

Deno.test("recovery: a disk that fails once and then answers costs nothing", async () => {
  for (let n = 1; n <= 20; n++) {
    const { files } = await threeSegments();
    files.failAt(n, "EIO", ["open", "readAt"]);
    const { spool } = await open(files);
    files.heal();
    assert.deepEqual([texts(spool).join(""), spool.setAside()], ["abcdef", []], `call ${n}`);
  }
});

Deno.test("recovery: a file of another user is refused with what to do, and nothing is changed", async () => {
  for (const code of ["EACCES", "EMFILE"]) {
    const { files, segments } = await threeSegments();
    files.damage(segments[2]!.path, (bytes) => Uint8Array.of(...bytes, 1, 2, 3));
    const before = names(files);
    files.failAt(2, code, ["open"]);
    await assert.rejects(open(files), (error) => error instanceof OperationError && error.retryable);
    assert.deepEqual(names(files), before);
    files.heal();
    assert.equal(texts((await open(files)).spool).length, 6);
  }
});

Deno.test("recovery: a newer format is refused with a clear message, and nothing is changed", async () => {
  const { files, segments } = await threeSegments();
  files.damage(segments[2]!.path, (bytes) => Uint8Array.of(...bytes, 1, 2, 3));
  const newer = encodeHeader({ number: 9, firstSequence: 7, id: "00112233aabbccdd" }, {
    major: 2,
    minor: 5,
    moreBytes: 0,
  });
  files.open(path("00000009-0000000000000007-00112233aabbccdd.seg"), "create").append(newer);
  const before = files.list(dir);
  await assert.rejects(open(files), (error) => {
    assert.ok(error instanceof OperationError && !error.retryable);
    assert.match(error.message, /00000009-.*format version 2\.5.*newer agent/);
    return true;
  });
  assert.deepEqual(files.list(dir), before);
});

Deno.test("recovery: a newer minor version is read, its longer header and unknown records passed over", async () => {
  const { files, segments } = await threeSegments();
  const { firstSequence, id } = segments[2]!;
  const unknown = new RecordBatch();
  unknown.addControl(99, firstSequence, 0, 1, [1, 2, 3]);
  files.damage(segments[2]!.path, (bytes) => {
    const header = encodeHeader({ number: 3, firstSequence, id }, { major: 1, minor: 9, moreBytes: 12 });
    const heldEnd = headerBytes + 68;
    const held = bytes.subarray(headerBytes, heldEnd);
    return Uint8Array.of(...header, ...held, ...unknown.sealed(checksumSeed(id)), ...bytes.subarray(heldEnd));
  });
  const { spool } = await open(files);
  const all = readAll(spool);
  assert.deepEqual([texts(spool).join(""), all.damaged, spool.heldCount()], ["abcdef", 0, 0]);
  assert.deepEqual([spool.report.damagedReadings, spool.report.tornTails], [0, 0]);
});

Deno.test("recovery: files that are not the spool's own are left alone", async () => {
  const { files } = await threeSegments();
  const others = [
    "lock",
    "reserve",
    "clock.json",
    "1-2-3.seg",
    "00000001-0000000000000001-XYZ.seg",
    "x.torn",
    "y.bad",
  ];
  for (const name of others) files.open(path(name), "create").append(Uint8Array.of(1));
  const { spool } = await open(files);
  assert.deepEqual([spool.setAside(), texts(spool).length], [[], 6]);
  assert.ok(others.every((name) => names(files).includes(name)));
});

Deno.test("recovery: only the last segment is read whole", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 40_000);
  await store(spool, "x".repeat(30_000), "y".repeat(30_000), "z".repeat(30_000));
  await spool.close();
  files.calls.length = 0;
  await open(files);
  const reads = files.calls.filter((call) => call.verb === "readAt").map((call) => call.path);
  const of = (i: number) => reads.filter((path) => path === spool.segments()[i]!.path).length;
  assert.deepEqual([of(0), of(1)], [1, 1]);
  assert.ok(of(2) > 1);
});
