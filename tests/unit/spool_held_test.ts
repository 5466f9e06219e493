/** QoS 2 ids: after any end exactly those are held that were received and not released. */
import assert from "node:assert/strict";
import { HeldIds } from "../../agent/spool/held_ids.ts";
import { headerBytes } from "../../agent/spool/format.ts";
import type { Spool } from "../../agent/spool/spool.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import fc from "fast-check";
import { arrival, message, message2, open } from "./spool_setup.ts";

const held = (spool: Spool) => Array.from({ length: 20 }, (_, id) => id).filter((id) => spool.isHeld(id));

Deno.test("held ids: the pending batch counts at once, and a commit makes it last", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  spool.addReading(message2("a", 1), arrival);
  spool.addReading(message2("b", 2), arrival);
  spool.addReading(message("c", { qos: 1, packetId: 3 }), arrival);
  assert.deepEqual([held(spool), spool.heldCount()], [[1, 2], 2]);
  await spool.commit();
  spool.addRelease(1);
  assert.deepEqual(held(spool), [2]);
  files.crash("lost");
  const { spool: before } = await open(files);
  assert.deepEqual([held(before), before.report.heldIds], [[1, 2], 2]);
  before.addRelease(1);
  await before.commit();
  files.crash("lost");
  assert.deepEqual(held((await open(files)).spool), [2]);
});

Deno.test("held ids: a forget frees all, and those that come after it are held", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  for (const id of [1, 2, 3]) spool.addReading(message2("x", id), arrival);
  await spool.commit();
  spool.addForget();
  spool.addReading(message2("y", 2), arrival);
  assert.deepEqual([held(spool), spool.heldCount()], [[2], 1]);
  await spool.commit();
  files.crash("lost");
  assert.deepEqual(held((await open(files)).spool), [2]);
});

Deno.test("held ids: a forget that is damaged is still known from the readings after it", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  for (const id of [1, 2, 3]) spool.addReading(message2("x", id), arrival);
  await spool.commit();
  const sizeBytes = spool.sizeBytes();
  spool.addForget();
  spool.addReading(message2("y", 7), arrival);
  await spool.commit();
  await spool.close();
  files.damage(spool.segments()[0]!.path, (bytes) => bytes.fill(0, sizeBytes + 10, sizeBytes + 20));
  assert.deepEqual(
    held((await open(files)).spool),
    [7],
    "else a new message with an old id would be taken for a duplicate",
  );
});

Deno.test("held ids: each segment begins with them, so that older ones can go", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 300);
  for (let id = 1; id <= 9; id++) {
    spool.addReading(message2("x", id), arrival);
    if (id % 3 === 0) spool.addRelease(id - 1);
    await spool.commit();
  }
  for (const segment of spool.segments().slice(0, -1)) await spool.remove(segment);
  files.crash("kept");
  assert.deepEqual(held((await open(files, 300)).spool), [1, 3, 4, 6, 7, 9]);
});

Deno.test("held ids: one that a life only released, and an empty life, change nothing else", async () => {
  const files = new FakeFiles();
  const one = (await open(files)).spool;
  for (const id of [1, 2]) one.addReading(message2("x", id), arrival);
  await one.commit();
  const two = (await open(files)).spool;
  two.addRelease(1);
  await two.commit();
  assert.equal(two.segments().length, 2);
  assert.equal(two.nextSequence(), 3, "a release takes no sequence");
  await (await open(files)).spool.close();
  const four = (await open(files)).spool;
  await four.remove(four.segments()[0]!);
  assert.deepEqual(held((await open(files)).spool), [2]);
});

Deno.test("held ids: when the last segment can't tell, the earlier ones do", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files, 400);
  for (let id = 1; id <= 8; id++) {
    if (id === 5) spool.addRelease(2);
    spool.addReading(message2("x", id), arrival);
    await spool.commit();
  }
  await spool.close();
  const segments = spool.segments();
  assert.ok(segments.length >= 3);
  const damageHeld = (path: string) =>
    files.damage(path, (bytes) => bytes.fill(0, headerBytes + 5, headerBytes + 9));
  damageHeld(segments.at(-1)!.path);
  assert.deepEqual(held((await open(files)).spool), [1, 3, 4, 5, 6, 7, 8]);
  damageHeld(segments.at(-2)!.path);
  assert.deepEqual(held((await open(files)).spool), [1, 3, 4, 5, 6, 7, 8]);
  for (const { path } of segments) {
    files.damage(path, (bytes) => bytes.fill(0, headerBytes + 5, headerBytes + 9));
  }
  const { spool: blind, log } = await open(files);
  assert.match(log.text, /not known any more/);
  assert.ok(held(blind).includes(8), "what the last segment itself tells is kept");
});

Deno.test("held ids: all 65,535 of them survive in one record", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  for (let id = 1; id <= 65_535; id++) spool.addReading(message2("", id), arrival);
  await spool.commit();
  const next = (await open(files)).spool;
  next.addReading(message("new segment"), arrival);
  await next.commit();
  await next.remove(next.segments()[0]!);
  const last = (await open(files)).spool;
  assert.deepEqual([last.heldCount(), last.isHeld(0), last.isHeld(65_535)], [65_535, false, true]);
});

Deno.test("held ids: undo takes back exactly what came after the last settle", () => {
  const change = fc.oneof(
    fc.record({ kind: fc.constantFrom("add", "release"), id: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ kind: fc.constantFrom("forget", "settle"), id: fc.constant(0) }),
  );
  fc.assert(fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
    const ids = new HeldIds();
    let model = new Set<number>();
    let [settled, session] = [new Set<number>(), 0];
    for (const { kind, id } of changes) {
      if (kind === "add") {
        ids.add(id);
        model.add(id);
      } else if (kind === "release") {
        ids.release(id);
        model.delete(id);
      } else if (kind === "forget") {
        ids.forget();
        model = new Set();
      } else {
        ids.settle();
        [settled, session] = [new Set(model), ids.session];
      }
      assert.deepEqual([ids.list(), ids.count], [[...model].sort(), model.size]);
      assert.deepEqual(ids.settled(), { session, ids: [...settled].sort() });
    }
    ids.undo();
    assert.deepEqual([ids.list(), ids.session, ids.count], [[...settled].sort(), session, settled.size]);
  }));
});
