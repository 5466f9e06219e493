/** `spool ls | verify | cat`: a folder seen from outside, while an agent writes to it or not; nothing is changed by it. */
import assert from "node:assert/strict";
import { headerBytes } from "../../agent/spool/format.ts";
import { catSpool, listSpool, verifySpool } from "../../agent/spool/inspect.ts";
import { changingVerbs, FakeFiles } from "../fakes/fake_files.ts";
import { arrival, dir, message, message2, open, store, textOf } from "./spool_setup.ts";

const problems = (files: FakeFiles) => [...verifySpool(files, dir)].map((verdict) => verdict.problems);
const cat = (files: FakeFiles, from = 1) =>
  [...catSpool(files, dir, from, 1000)].flatMap((batch) => batch.readings);

async function running() {
  const files = new FakeFiles();
  const { spool } = await open(files, 400);
  await store(spool, "a", "b", "c", "d");
  spool.addReading(message2("e", 5), { ...arrival, wallMs: arrival.wallMs + 5 });
  spool.addRelease(5);
  await spool.commit();
  files.fault = (call) =>
    [...changingVerbs, "syncData", "syncFolder"].includes(call.verb) ? "EROFS" : undefined;
  return { files, spool };
}

Deno.test("inspect: ls names the segments in order with ranges and sizes", async () => {
  const { files, spool } = await running();
  const listing = listSpool(files, dir);
  assert.deepEqual(
    listing.segments.map((one) => [one.number, one.firstSequence, one.nextSequence, one.headerWhole]),
    [
      [1, 1, 4, true],
      [2, 4, 6, true],
    ],
  );
  assert.deepEqual(listing.segments.map((one) => one.id), spool.segments().map((one) => one.id));
  assert.deepEqual([listing.sizeBytes, listing.setAside], [spool.sizeBytes(), []]);
});

Deno.test("inspect: verify counts what is whole and says what is not", async () => {
  const { files } = await running();
  const [one, two] = [...verifySpool(files, dir)];
  assert.deepEqual([one!.readings, one!.otherRecords, one!.damagedReadings, one!.restBytes], [3, 1, 0, 0]);
  assert.deepEqual([two!.readings, two!.otherRecords, two!.problems], [2, 2, []]);
  assert.deepEqual([two!.firstWallMs, two!.lastWallMs], [arrival.wallMs, arrival.wallMs + 5]);
  files.heal();
  const [first, last] = listSpool(files, dir).segments.map((segment) => `${dir}/${segment.name}`);
  files.damage(first!, (bytes) => bytes.fill(0xaa, headerBytes + 68 + 100, headerBytes + 68 + 105));
  assert.match(problems(files)[0]!.join(), /1 readings are damaged.*bytes between whole records/);
  files.damage(first!, (bytes) => bytes.fill(0, 3, headerBytes + 20));
  assert.match(problems(files)[0]!.join(), /header is damaged.*held QoS 2 ids is damaged/);
  files.damage(last!, (bytes) => Uint8Array.of(...bytes, 1, 2, 3));
  assert.deepEqual([[...verifySpool(files, dir)][1]!.restBytes, problems(files)[1]], [3, []]);
  files.makeUnreadable(last!);
  assert.match(problems(files)[1]!.join(), /can't read/);
});

Deno.test("inspect: cat gives every reading, or those from a sequence on", async () => {
  const { files } = await running();
  assert.equal(cat(files).map(textOf).join(""), "abcde");
  assert.equal(cat(files, 4).map(textOf).join(""), "de");
  assert.deepEqual(cat(files, 99), []);
});

Deno.test("inspect: a batch that is being written is not an error, and is shown once it is whole", async () => {
  const { files, spool } = await running();
  files.heal();
  let release = () => {};
  files.syncGate = new Promise((done) => release = done);
  spool.addReading(message("f"), arrival);
  const committing = spool.commit();
  assert.equal(cat(files).map(textOf).join(""), "abcdef");
  assert.deepEqual(problems(files).flat(), []);
  release();
  await committing;
  assert.equal(cat(files).map(textOf).join(""), "abcdef");
});

Deno.test("inspect: segments that the agent removes meanwhile are gone, not damaged", async () => {
  const { files, spool } = await running();
  files.heal();
  await store(spool, "f", "g", "h");
  const batches = catSpool(files, dir, 1, 1);
  assert.equal(batches.next().value!.readings.map(textOf).join(""), "a");
  for (const segment of spool.segments().slice(0, 2)) await spool.remove(segment);
  const rest = [...batches];
  assert.equal(rest.flatMap((batch) => batch.readings).map(textOf).join("").at(-1), "h");
  assert.equal(rest.reduce((sum, batch) => sum + batch.damaged, 0), 0);
  const verdicts = verifySpool(files, dir);
  await store(spool, ..."ijklmn");
  verdicts.next();
  for (const segment of spool.segments().slice(0, -1)) await spool.remove(segment);
  assert.ok([...verdicts].every((verdict) => verdict.problems.length === 0));
});

Deno.test("inspect: an empty folder is an empty stream; an absent one is an error", async () => {
  const files = new FakeFiles();
  await open(files);
  assert.deepEqual([listSpool(files, dir).segments, [...verifySpool(files, dir)], cat(files)], [[], [], []]);
  assert.throws(() => listSpool(files, "/nowhere"), /ENOENT/);
});
