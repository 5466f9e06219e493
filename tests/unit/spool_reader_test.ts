/** Promise 4: whatever happened to the bytes, readings, damaged and gone ones add up to the range that was read. */
import assert from "node:assert/strict";
import { OperationError } from "../../agent/base/errors.ts";
import { recordBytesMax } from "../../agent/limits.ts";
import { headerBytes } from "../../agent/spool/format.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import fc from "fast-check";
import { arrival, message, open, readAll, store, textOf, texts } from "./spool_setup.ts";

const heldBytes = 68;

Deno.test("reader: batches keep to the number and about the bytes that were asked for", async () => {
  const { spool } = await open(new FakeFiles(), 2000);
  for (let i = 0; i < 30; i++) await store(spool, "x".repeat(100));
  const reader = spool.reader(1);
  const sizes: number[] = [];
  for (let batch = reader.next(7, 1e6); batch.readings.length > 0; batch = reader.next(7, 1e6)) {
    sizes.push(batch.readings.length);
  }
  assert.deepEqual(sizes, [7, 7, 7, 7, 2]);
  reader.seek(1);
  assert.deepEqual([reader.next(100, 1).readings.length, reader.next(100, 500).readings.length], [1, 3]);
  assert.equal(reader.next(0, 1e6).readings.length, 0);
});

Deno.test("reader: goes on with what is committed later, across segments", async () => {
  const { spool } = await open(new FakeFiles(), 300);
  const reader = spool.reader(1);
  for (const text of ["a", "b", "c", "d", "e", "f"]) {
    assert.deepEqual(reader.next(10, 1e6).readings, []);
    await store(spool, text);
    assert.deepEqual(reader.next(10, 1e6).readings.map(textOf), [text]);
  }
});

Deno.test("reader: seek goes anywhere, backwards too; beyond the end nothing is there", async () => {
  const { spool } = await open(new FakeFiles(), 500);
  await store(spool, ..."abcdefgh");
  const reader = spool.reader(1);
  for (const position of [5, 2, 8, 1, 4, 4, 3, 7, 6]) {
    reader.seek(position);
    const batch = reader.next(2, 1e6);
    assert.deepEqual([batch.fromSequence, batch.readings[0]!.sequence], [position, position]);
  }
  reader.seek(100);
  assert.deepEqual([reader.next(5, 1e6).readings, reader.next(5, 1e6).nextSequence], [[], 100]);
  reader.close();
  reader.seek(8);
  assert.deepEqual(reader.next(5, 1e6).readings.map(textOf), ["h"], "a closed reader opens again");
});

Deno.test("reader: segments may be removed under it", async () => {
  const { spool } = await open(new FakeFiles(), 360);
  await store(spool, ..."abcdefgh");
  const reader = spool.reader(1);
  assert.deepEqual(reader.next(1, 1e6).readings.map(textOf), ["a"]);
  for (const segment of spool.segments().slice(0, 2)) await spool.remove(segment);
  const batch = reader.next(10, 1e6);
  assert.deepEqual([batch.gone, batch.damaged, batch.readings.map(textOf).join("")], [3, 0, "efgh"]);
  assert.deepEqual([batch.fromSequence, batch.nextSequence, spool.oldestSequence()], [2, 9, 5]);
});

Deno.test("reader: the views of a batch stay as they are while later batches are read", async () => {
  const { spool } = await open(new FakeFiles());
  await store(spool, ..."abcdefgh");
  const reader = spool.reader(1);
  const first = reader.next(4, 1e6).readings;
  await store(spool, "i", "j");
  while (reader.next(1, 1e6).readings.length > 0);
  assert.equal(first.map(textOf).join(""), "abcd");
});

Deno.test("reader: a file that can't be opened for the time being is an error, not damage", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 360);
  await store(spool, ..."abcd");
  const reader = spool.reader(1);
  assert.equal(textOf(reader.next(1, 1e6).readings[0]!), "a");
  for (const code of ["EMFILE", "EACCES"]) {
    files.failAt(1, code, ["open"]);
    assert.throws(() => reader.next(10, 1e6), (error) => error instanceof OperationError && error.retryable);
  }
  files.failAt(1, "EBADF", ["readAt"]);
  assert.throws(() => reader.next(10, 1e6), OperationError);
  files.heal();
  const rest = reader.next(10, 1e6);
  assert.deepEqual([rest.readings.map(textOf).join(""), rest.damaged], ["bcd", 0]);
});

Deno.test("reader: an error in the middle of a batch loses nothing of it", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, ..."abc".split("").map((letter) => letter.repeat(200_000)));
  const reader = spool.reader(1);
  files.failAt(2, "EBADF", ["readAt"]);
  assert.throws(() => reader.next(10, 1e6), (error) => error instanceof OperationError && error.retryable);
  const batch = reader.next(10, 1e6);
  assert.deepEqual([batch.readings.map((reading) => textOf(reading)[0]).join(""), batch.damaged], ["abc", 0]);
});

Deno.test("reader: what the disk can't read is damage, and the rest comes", async () => {
  const files = new FakeFiles();
  const { spool, log } = await open(files, 40_000);
  await store(spool, "a", "x".repeat(12_000), "b", "y".repeat(30_000), "c", "d");
  const [one, two] = spool.segments();
  files.makeUnreadable(one!.path, 6000, 6001);
  const skipped = readAll(spool);
  assert.deepEqual([skipped.damaged, skipped.readings.map((reading) => textOf(reading)[0]).join("")], [
    1,
    "abycd",
  ]);
  files.failAll("EIO", ["open"]);
  const all = readAll(spool);
  assert.deepEqual([all.damaged, all.readings.length], [6, 0]);
  assert.match(log.text, /can't be read/);
  files.heal();
  assert.equal(two!.state, "open");
});

Deno.test("reader: a damaged length never makes it read more than the largest record", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, "a", "x".repeat(4_000_000), "b", "y".repeat(3_000_000));
  for (const length of [0, 1, 55, 0x7fffffff, 0xffffffff, recordBytesMax, recordBytesMax + 1, 6_000_000]) {
    files.damage(spool.segments()[0]!.path, (bytes) => {
      new DataView(bytes.buffer).setUint32(headerBytes + heldBytes + 8, length, true);
      return bytes;
    });
    const asked: number[] = [];
    const reader = spool.reader(1);
    const original = Uint8Array;
    globalThis.Uint8Array = new Proxy(original, {
      construct(target, args) {
        if (typeof args[0] === "number") asked.push(args[0]);
        return Reflect.construct(target, args);
      },
    });
    try {
      const batch = reader.next(10, 1e7);
      assert.deepEqual([batch.damaged, batch.readings.map(({ payload }) => payload.length)], [1, [
        4e6,
        1,
        3e6,
      ]]);
    } finally {
      globalThis.Uint8Array = original;
    }
    assert.ok(Math.max(...asked) <= recordBytesMax, `${asked}`);
    reader.close();
  }
});

Deno.test("reader: a payload that holds whole records can't pass itself off as records", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, "one", "two", "three");
  const stolen = files.content(spool.segments()[0]!.path);
  const other = new FakeFiles();
  const { spool: victim } = await open(other);
  await store(victim, "a");
  const sizeBytes = victim.sizeBytes();
  victim.addReading(message("", { payload: stolen }), arrival);
  await victim.commit();
  await store(victim, "b");
  other.damage(victim.segments()[0]!.path, (bytes) => bytes.fill(0, sizeBytes, sizeBytes + 8));
  const all = readAll(victim);
  assert.deepEqual(
    [texts(victim), all.damaged],
    [["a", "b"], 1],
    "checksums start from the segment's own id",
  );
});

Deno.test("reader: a payload made to look like thousands of huge records does not stop it", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  const payload = new Uint8Array(4_000_000);
  const view = new DataView(payload.buffer);
  for (let at = 0; at + 68 < payload.length; at += 68) {
    view.setUint32(at, 0xa64c73d5, true);
    view.setUint32(at + 8, payload.length - at - 100, true);
  }
  spool.addReading(message("", { payload }), arrival);
  await store(spool, "b");
  files.damage(
    spool.segments()[0]!.path,
    (bytes) => bytes.fill(0, headerBytes + heldBytes, headerBytes + heldBytes + 8),
  );
  const startMs = performance.now();
  const all = readAll(spool);
  assert.equal(all.readings.length + all.damaged, 2);
  assert.ok(performance.now() - startMs < 5_000, "without a bound this takes minutes");
});

Deno.test("reader: any damage, any removal: the sum is right and no reading is wrong, twice or out of order", async () => {
  const wound = fc.record({
    segment: fc.nat(4),
    kind: fc.constantFrom("flip", "zero", "cut", "remove", "garbage"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.integer({ min: 1, max: 300 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(wound, { minLength: 1, maxLength: 4 }), async (wounds) => {
      const files = new FakeFiles();
      const { spool } = await open(files, 400);
      const stored = [..."abcdefghij"];
      await store(spool, ...stored);
      const segments = spool.segments();
      for (const { segment, kind, at, length } of wounds) {
        const { path } = segments[segment % segments.length]!;
        if (files.list("/spool").every((entry) => !path.endsWith(entry.name))) continue;
        if (kind === "remove") files.unlink(path);
        else {
          files.damage(path, (bytes) => {
            const from = Math.floor(at * bytes.length);
            if (kind === "cut") return bytes.slice(0, from);
            if (kind === "flip") bytes[from]! ^= length & 255;
            else bytes.fill(kind === "zero" ? 0 : 0xd5, from, from + length);
            return bytes;
          });
        }
      }
      for (const reopen of [false, true]) {
        const { readings, damaged, gone } = readAll(reopen ? (await open(files, 400)).spool : spool);
        const sequences = readings.map((reading) => reading.sequence);
        assert.deepEqual(sequences, [...new Set(sequences)].sort((a, b) => a - b));
        assert.ok(readings.every((reading) => textOf(reading) === stored[reading.sequence - 1]));
        assert.ok(readings.length + damaged + gone <= 10);
        if (!reopen) assert.equal(readings.length + damaged + gone, 10);
      }
    }),
    { numRuns: 300 },
  );
});
