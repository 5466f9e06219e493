/** Promise 1: acknowledged means on disk. What commit() says is durable, is; and nothing else is read. */
import assert from "node:assert/strict";
import { FakeFiles } from "../fakes/fake_files.ts";
import type { CrashMode } from "../fakes/fake_files.ts";
import { copyOf } from "../lab/readings.ts";
import { arrival, dir, message, message2, open, readAll, store, textOf, texts } from "./spool_setup.ts";

const modes: CrashMode[] = ["lost", "kept", "half", "reordered", "zeroed"];

Deno.test("spool: what was committed survives every crash, once and in order", async () => {
  for (const mode of modes) {
    for (let seed = 0; seed < 20; seed++) {
      const files = new FakeFiles();
      const { spool } = await open(files, 400);
      const stored = ["a", "b", "c", "d", "e", "f", "g"];
      await store(spool, ...stored);
      spool.addReading(message("never committed"), arrival);
      files.crash(mode, seed);
      const after = (await open(files, 400)).spool;
      assert.deepEqual(texts(after), stored, `${mode} ${seed}`);
      assert.equal(after.nextSequence(), 8);
    }
  }
});

Deno.test("spool: a crash in the middle of a commit costs nothing that was committed before", async () => {
  for (const mode of modes) {
    for (let seed = 0; seed < 40; seed++) {
      const files = new FakeFiles();
      const { spool } = await open(files, 600);
      await store(spool, "a", "b");
      for (const text of ["c", "d", "e"]) spool.addReading(message(text), arrival);
      files.syncGate = new Promise(() => {});
      spool.commit().catch(() => {});
      files.crash(mode, seed);
      files.syncGate = undefined;
      const { readings, damaged, gone } = readAll((await open(files, 600)).spool);
      assert.deepEqual(readings.slice(0, 2).map(textOf), ["a", "b"], `${mode} ${seed}`);
      assert.ok(readings.slice(2).every((reading) => "cde".includes(textOf(reading))));
      assert.ok(readings.length + damaged <= 5 && gone === 0);
    }
  }
});

Deno.test("spool: nothing is read, and no sequence given, before the sync has returned", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  let release = () => {};
  files.syncGate = new Promise((done) => release = done);
  spool.addReading(message("a"), arrival);
  assert.equal(spool.pendingReadings(), 1);
  const committing = spool.commit();
  let woken = false;
  const waiting = spool.waitBeyond(1, new AbortController().signal).then(() => woken = true);
  await new Promise((done) => setTimeout(done));
  assert.deepEqual([texts(spool), spool.nextSequence(), woken], [[], 1, false]);
  spool.addReading(message("b"), arrival);
  assert.equal(spool.pendingReadings(), 1, "it belongs to the next batch");
  release();
  await committing;
  await waiting;
  assert.deepEqual([texts(spool), spool.nextSequence()], [["a"], 2]);
  await spool.commit();
  assert.deepEqual([texts(spool), spool.nextSequence()], [["a", "b"], 3]);
});

Deno.test("spool: a new file is made, written, synced and its folder synced before commit returns", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  files.calls.length = 0;
  await store(spool, "a");
  assert.deepEqual(files.calls.map((call) => call.verb), [
    "create",
    "append",
    "append",
    "syncData",
    "syncFolder",
  ]);
  files.calls.length = 0;
  await store(spool, "b");
  assert.deepEqual(files.calls.map((call) => call.verb), ["append", "syncData"], "one write and one sync");
  files.calls.length = 0;
  await spool.commit();
  assert.deepEqual(files.calls, [], "nothing to do for nothing");
});

Deno.test("spool: an agent that starts again and again leaves no files behind", async () => {
  const files = new FakeFiles();
  for (let life = 0; life < 5; life++) {
    const { spool } = await open(files);
    await spool.close();
    files.crash("reordered", life);
  }
  assert.deepEqual(files.list(dir), []);
});

Deno.test("spool: a file of an earlier life is never appended to, and its readings keep their ids", async () => {
  const files = new FakeFiles();
  const first = (await open(files)).spool;
  await store(first, "a", "b");
  const before = first.segments()[0]!;
  const ids = readAll(first).readings.map((reading) => reading.segmentId);
  await first.close();
  const content = files.content(before.path);
  const second = (await open(files)).spool;
  await store(second, "c");
  assert.deepEqual(files.content(before.path), content);
  const after = readAll(second).readings;
  assert.deepEqual(after.map(textOf), ["a", "b", "c"]);
  assert.deepEqual(after.map((reading) => reading.sequence), [1, 2, 3]);
  assert.deepEqual(after.slice(0, 2).map((reading) => reading.segmentId), ids);
  assert.notEqual(after[2]!.segmentId, ids[0]);
  assert.deepEqual(
    second.segments().map(({ state, firstSequence, nextSequence }) => [state, firstSequence, nextSequence]),
    [
      ["sealed", 1, 3],
      ["open", 3, 4],
    ],
  );
});

Deno.test("spool: segments are sealed at their size; a larger batch gets one of its own", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 1000);
  for (let i = 0; i < 20; i++) await store(spool, "x".repeat(100));
  assert.ok(spool.segments().slice(0, -1).every((one) => one.sizeBytes <= 1000 && one.sizeBytes > 700));
  spool.addReading(message("y".repeat(5000)), arrival);
  await spool.commit();
  await store(spool, "z");
  assert.equal(spool.segments().at(-2)!.sizeBytes > 5000, true);
  assert.equal(readAll(spool).readings.length, 22);
  assert.equal(spool.sizeBytes(), files.list(dir).reduce((sum, entry) => sum + entry.sizeBytes, 0));
});

Deno.test("spool: no sequence below an output's cursor is given", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, undefined, 41);
  assert.deepEqual([spool.nextSequence(), spool.oldestSequence()], [41, 41]);
  await store(spool, "a");
  assert.equal(readAll(spool, 41).readings[0]!.sequence, 41);
  const before = (await open(files, undefined, 7)).spool;
  assert.equal(before.nextSequence(), 42, "nor below what is on disk");
});

Deno.test("spool: everything that a reading carries comes back as it was given", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  const given = message2("päyload", 65_535, {
    retain: true,
    duplicate: true,
    truncated: true,
    topic: new Uint8Array(65_535),
  });
  spool.addReading(given, { ...arrival, synchronised: "no", bootMs: 0 });
  spool.addReading(message("", { qos: 0, packetId: 0, topic: new Uint8Array(0) }), {
    ...arrival,
    bootId: "f".repeat(32),
  });
  spool.addReading(message("m", { qos: 0 }), { ...arrival, synchronised: "unknown", wallMs: 2 ** 45 });
  await spool.commit();
  const [one, two, three] = readAll(spool).readings;
  const { topic, payload, properties, segmentId, ...rest } = copyOf(one!);
  assert.deepEqual([topic, payload, properties], [given.topic, given.payload, given.properties]);
  assert.match(segmentId, /^[0-9a-f]{16}$/);
  assert.deepEqual(rest, {
    sequence: 1,
    qos: 2,
    retain: true,
    duplicate: true,
    truncated: true,
    queued: false,
    packetId: 65_535,
    bootId: arrival.bootId,
    bootMs: 0,
    wallMs: arrival.wallMs,
    synchronised: "no",
  });
  assert.deepEqual([two!.bootId, two!.topic.length, two!.payload.length], ["f".repeat(32), 0, 0]);
  assert.deepEqual([three!.synchronised, three!.wallMs, three!.bootId], ["unknown", 2 ** 45, arrival.bootId]);
});

Deno.test("spool: what is too large for any record is refused, and the batch goes on", async () => {
  const { spool } = await open(new FakeFiles());
  spool.addReading(message("a"), arrival);
  assert.throws(
    () => spool.addReading(message("", { payload: new Uint8Array(5 * 1024 * 1024) }), arrival),
    /too large/,
  );
  spool.addReading(message("b"), arrival);
  await spool.commit();
  assert.deepEqual(texts(spool), ["a", "b"]);
});

Deno.test("spool: two commits at once are a defect, not a race", async () => {
  const { spool } = await open(new FakeFiles());
  spool.addReading(message("a"), arrival);
  const first = spool.commit();
  await assert.rejects(spool.commit(), /still under way/);
  await first;
  assert.deepEqual(texts(spool), ["a"]);
});

Deno.test("spool: waiting ends with a longer stream or an abort", async () => {
  const { spool } = await open(new FakeFiles());
  const stop = new AbortController();
  const waits = [
    spool.waitBeyond(0, stop.signal),
    spool.waitBeyond(1, stop.signal),
    spool.waitBeyond(2, stop.signal),
  ];
  const done = [false, false, false];
  waits.forEach((wait, i) => wait.then(() => done[i] = true));
  await store(spool, "a");
  await new Promise((tick) => setTimeout(tick));
  assert.deepEqual(done, [true, true, false]);
  stop.abort();
  await waits[2];
  await spool.waitBeyond(99, stop.signal);
});
