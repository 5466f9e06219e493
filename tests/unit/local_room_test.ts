import assert from "node:assert/strict";
import fc from "fast-check";
import { storeLeastBytes } from "../../agent/limits.ts";
import { packBatch } from "../../agent/shipper/local_batch.ts";
import { makeStoreFolder } from "../../agent/shipper/local_files.ts";
import { StoreHost } from "../../agent/shipper/local_host.ts";
import { expiredBefore, freeMarks, mustShrink, sizeMarks } from "../../agent/shipper/local_room.ts";
import { freeMarks as spoolMarks } from "../../agent/cleaner/room.ts";
import { dayMs, MiB, now, series, StoreFolder, tendAll } from "./local_fixture.ts";
import { arrivalMs, makeOutgoing } from "./shipper_fixture.ts";

const GiB = 1024 * MiB;
const hourMs = 3_600_000;

Deno.test("local room: the store makes room before the spool stops, and stops only when the spool has gone on", () => {
  fc.assert(fc.property(fc.integer({ min: MiB, max: 100 * GiB }), (minFreeBytes) => {
    const store = freeMarks(minFreeBytes);
    const spool = spoolMarks({ minFreeBytes });
    assert.ok(store.lowBytes > spool.lowBytes && store.lowBytes > spool.roomBytes);
    assert.ok(store.roomBytes > store.lowBytes);
  }));
});

Deno.test("local room: it shrinks for its size or for the disk, begins and ends apart, and not below the least", () => {
  const bounds = { maxSizeBytes: 2 * GiB, minFreeBytes: 512 * MiB };
  const judge = (
    usedBytes: number,
    freeBytes: number,
    earlier?: "max_size" | "min_free",
    fileBytes = usedBytes,
  ) => mustShrink({ usedBytes, fileBytes, freeBytes }, bounds, earlier);
  const size = sizeMarks(2 * GiB);
  const free = freeMarks(512 * MiB);
  assert.ok(size.highBytes < 2 * GiB && size.lowBytes < size.highBytes);
  assert.equal(judge(size.highBytes, 9 * GiB), undefined);
  assert.equal(judge(size.highBytes + 1, 9 * GiB), "max_size");
  assert.equal(judge(size.highBytes - 1, 9 * GiB, "max_size"), "max_size");
  assert.equal(judge(size.lowBytes, 9 * GiB, "max_size"), undefined);
  assert.equal(judge(GiB, free.lowBytes - 1), "min_free");
  assert.equal(judge(GiB, free.lowBytes), undefined);
  assert.equal(judge(GiB, free.lowBytes, "min_free"), "min_free");
  assert.equal(judge(GiB, free.roomBytes, "min_free"), undefined);
  assert.equal(judge(storeLeastBytes, 0), undefined);
  assert.equal(
    judge(storeLeastBytes, 0, undefined, GiB),
    "min_free",
    "pages that hold nothing are given back",
  );
});

Deno.test("local room: readings go in bulk when they are older than keep, and never for a clock that can't be believed", () => {
  const at = (wallMs: number, synchronised: boolean, believedMs?: number) => ({
    wallMs,
    synchronised,
    believedMs,
  });
  const keepMs = 30 * dayMs;
  const nowMs = arrivalMs;
  assert.equal(expiredBefore(undefined, at(nowMs, true), 0), -Infinity);
  assert.equal(expiredBefore(keepMs, at(nowMs, true), nowMs - keepMs - hourMs), -Infinity);
  assert.equal(expiredBefore(keepMs, at(nowMs, true), nowMs - keepMs - hourMs - 1), nowMs - keepMs);
  // a clock that runs ahead by years, after one that was right
  const ahead = nowMs + 4_000 * dayMs;
  assert.equal(expiredBefore(keepMs, at(ahead, false, nowMs), nowMs - keepMs), -Infinity);
  assert.equal(expiredBefore(keepMs, at(ahead, false, nowMs), nowMs - keepMs - 2 * hourMs), nowMs - keepMs);
  // one that never was synchronised is all there is
  assert.equal(expiredBefore(keepMs, at(ahead, false), nowMs), ahead - keepMs);
  // one that runs behind keeps longer
  assert.equal(expiredBefore(keepMs, at(0, false, nowMs), nowMs - keepMs - 2 * hourMs), -Infinity);
});

Deno.test("local store: what is older than keep goes, with its topics and segments, in steps; the rest stays", async () => {
  using folder = new StoreFolder();
  const store = await folder.open({ keepMs: dayMs });
  const old = { wallMs: now.wallMs - dayMs - 3 * hourMs };
  for (let i = 0; i < 5; i++) {
    store.write(packBatch(series(2_000, 10_000 + 2_000 * i, { ...old, topic: `old/${i}` })));
  }
  store.write(packBatch([makeOutgoing({ ...old, sequence: 9_000, segmentId: "f".repeat(16) })]));
  store.write(packBatch(series(50, 100, { wallMs: now.wallMs - dayMs + hourMs })));
  const steps = await tendAll(store);
  assert.ok(steps >= 10, `${steps} steps`);
  assert.equal(folder.read().length, 50);
  assert.deepEqual(folder.ask("SELECT topic FROM topics"), [{ topic: "hall/press/temperature" }]);
  assert.equal(folder.ask("SELECT * FROM blocks").length, 1);
  // what went may come again after that: its numbers were forgotten
  store.write(packBatch(series(5, 20_000, { ...old, topic: "old/1", segmentId: "f".repeat(16) })));
  assert.equal(folder.read({ filter: "old/1" }).length, 5);
  await tendAll(store);
  assert.equal(folder.read().length, 50);
  store.close();
  assert.deepEqual(folder.ask("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
});

Deno.test("local store: a clock that jumped ahead while it is not synchronised does not empty the store", async () => {
  using folder = new StoreFolder();
  const store = await folder.open({ keepMs: dayMs });
  store.write(packBatch(series(100)));
  const ahead = { wallMs: now.wallMs + 5_000 * dayMs, synchronised: false, sinceWriteMs: 60_000 };
  assert.equal(await tendAll(store, ahead), 0);
  assert.equal(folder.read().length, 100);
  store.close();
  const again = await folder.open({ keepMs: dayMs });
  assert.equal(await tendAll(again, ahead), 0);
  assert.ok(await tendAll(again, { ...ahead, synchronised: true }) > 0);
  assert.equal(folder.read().length, 0);
  again.close();
});

Deno.test("local store: it never grows beyond max_size, and the oldest readings go first", async () => {
  using folder = new StoreFolder();
  const maxSizeBytes = 16 * MiB;
  const store = await folder.open({ maxSizeBytes });
  let largest = 0;
  const payload = "x".repeat(2_000);
  for (let i = 0; i < 40; i++) {
    store.write(packBatch(series(500, 1 + 500 * i, { payload })));
    await store.tend(now);
    largest = Math.max(largest, store.sizeBytes());
  }
  await tendAll(store);
  assert.ok(largest <= maxSizeBytes, `${largest} bytes`);
  const sequences = folder.read().map(({ id }) => Number(id.split("-")[1]));
  assert.equal(sequences.at(-1), 20_000);
  assert.ok(sequences.length > 2_000 && sequences.length < 6_000, `${sequences.length} readings`);
  assert.deepEqual(sequences, Array.from(sequences, (_, at) => 20_001 - sequences.length + at), "no gap");
  store.close();
});

Deno.test("local store: with a smaller max_size the file itself becomes smaller", async () => {
  using folder = new StoreFolder();
  const store = await folder.open();
  for (let i = 0; i < 20; i++) {
    store.write(packBatch(series(1_000, 1 + 1_000 * i, { payload: "x".repeat(2_000) })));
  }
  store.close();
  const before = Deno.statSync(folder.file).size;
  assert.ok(before > 36 * MiB);
  const smaller = await folder.open({ maxSizeBytes: 16 * MiB });
  smaller.write(packBatch(series(1, 30_000))); // it is written meanwhile
  assert.ok(await tendAll(smaller) > 3);
  smaller.close();
  assert.ok(Deno.statSync(folder.file).size <= 16 * MiB, `${Deno.statSync(folder.file).size} bytes`);
  assert.equal(folder.read().at(-1)!.id, "0123456789abcdef-30000");
});

Deno.test("local store: when the disk is short of room it gives way, says so, and keeps the least", async () => {
  using folder = new StoreFolder();
  const store = await folder.open();
  for (let i = 0; i < 20; i++) {
    store.write(packBatch(series(1_000, 1 + 1_000 * i, { payload: "x".repeat(2_000) })));
  }
  store.close();
  // more than any disk has free
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings({ minFreeBytes: 2 ** 60 }));
  await host.open();
  let steps = 0;
  while (await host.tend()) steps++;
  assert.ok(steps > 10);
  assert.equal(host.condition().givesWay, false, "nothing more can go");
  const { size } = Deno.statSync(folder.file);
  assert.ok(size <= storeLeastBytes && size > storeLeastBytes / 2, `${size} bytes`);
  host.close();
  const there = folder.read();
  assert.equal(there.at(-1)!.id, "0123456789abcdef-20000");
});

Deno.test("local store: a spool on another disk does not make it shrink", async () => {
  using folder = new StoreFolder();
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings({ minFreeBytes: 2 ** 60, spoolDir: "/proc" }));
  await host.open();
  host.write(packBatch(series(10)), true);
  assert.equal(await host.tend(), false);
  assert.equal(host.condition().givesWay, false);
  host.close();
});

Deno.test("local store: a topic for every reading does not outlive its readings", async () => {
  using folder = new StoreFolder();
  const store = await folder.open({ maxSizeBytes: 16 * MiB });
  for (let i = 0; i < 30; i++) {
    store.write(
      packBatch(Array.from({ length: 1_000 }, (_, at) =>
        makeOutgoing({
          sequence: 1 + 1_000 * i + at,
          topic: `${i}/${at}/${"t".repeat(500)}`,
          wallMs: arrivalMs + i * hourMs,
        }))),
    );
    await tendAll(store);
  }
  assert.ok(store.sizeBytes() <= 16 * MiB);
  const [topics] = folder.ask("SELECT count(*) AS count FROM topics");
  const [used] = folder.ask("SELECT count(DISTINCT topic) AS count FROM stored");
  assert.ok(Number(topics!["count"]) <= Number(used!["count"]) + 2_000, JSON.stringify([topics, used]));
  assert.ok(Number(used!["count"]) > 1_000);
  store.close();
});
