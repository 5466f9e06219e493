import assert from "node:assert/strict";
import { OperationError } from "../../agent/base/errors.ts";
import type { Outgoing, Verdict } from "../../agent/shipper/output.ts";
import { busy, confirmed, dead, failure, payloadOf, Rig } from "./shipper_rig.ts";

const signal = new AbortController().signal;
const refuseAll = (batch: Outgoing[]) => batch.map(() => dead);
const takeAll = (batch: Outgoing[]) => batch.map(() => confirmed);

/** A running shipper with that many dead letters. */
async function withDead(count: number): Promise<Rig> {
  const rig = await Rig.open();
  rig.output.answer = refuseAll;
  await rig.around.storeNumbers(count);
  rig.start();
  await rig.advance(2_000);
  assert.equal(rig.status().dead, count);
  rig.output.requests.length = 0;
  return rig;
}

Deno.test("replay: mended, dead letters arrive as the same readings and count as confirmed", async () => {
  const rig = await withDead(3);
  const before = [...rig.shipper.deadLetters()].map((letter) => letter.id);
  rig.output.answer = takeAll;
  assert.deepEqual(await rig.shipper.replayDead(undefined, signal), { replayed: 3, refused: 0 });
  assert.deepEqual([...rig.output.index.keys()], before);
  assert.deepEqual(rig.output.arrived(), ["1", "2", "3"]);
  assert.deepEqual([rig.status().confirmed, rig.status().dead, rig.alarms()], [3, 0, []]);
  assert.deepEqual([...rig.shipper.deadLetters()], []);
  await rig.stop();
});

Deno.test("replay: what is refused again stays with the new reason", async () => {
  const rig = await withDead(2);
  await rig.advance(10_000);
  const again: Verdict = { kind: "dead", reason: "400 other", status: 400 };
  rig.output.answer = (batch) => batch.map((one) => payloadOf(one) === "1" ? again : confirmed);
  assert.deepEqual(await rig.shipper.replayDead(undefined, signal), {
    replayed: 1,
    refused: 1,
    reason: "400 other",
  });
  const [letter] = [...rig.shipper.deadLetters()];
  assert.deepEqual([letter?.reason, letter?.atMs], ["400 other", rig.around.clock.wallMs()]);
  rig.output.answer = (batch) => batch.map(() => busy);
  assert.deepEqual(await rig.shipper.replayDead(undefined, signal), {
    replayed: 0,
    refused: 1,
    reason: "429 busy",
  });
  assert.deepEqual([rig.status().confirmed, rig.status().dead], [1, 1]);
  await rig.stop();
});

Deno.test("replay: chosen ones by their ids; an unknown id changes nothing", async () => {
  const rig = await withDead(3);
  const ids = [...rig.shipper.deadLetters()].map((letter) => letter.id);
  rig.output.answer = takeAll;
  await assert.rejects(rig.shipper.replayDead([ids[0]!, "0123456789abcdef-2"], signal), OperationError);
  assert.deepEqual(rig.output.requests, []);
  assert.deepEqual(await rig.shipper.replayDead([ids[1]!], signal), { replayed: 1, refused: 0 });
  assert.deepEqual(rig.output.arrived(), ["2"]);
  assert.equal(await rig.shipper.dropDead([ids[0]!]), 1);
  await assert.rejects(rig.shipper.dropDead([ids[0]!]), /there is none with the id/);
  assert.deepEqual(rig.status().droppedWhy, { "dead letter dropped": 1 });
  assert.equal(await rig.shipper.dropDead(undefined), 1);
  assert.deepEqual([rig.status().dead, rig.status().dropped], [0, 2]);
  await rig.stop();
});

Deno.test("replay: an output that does not answer is said, and nothing changes", async () => {
  const rig = await withDead(2);
  rig.output.answer = () => {
    throw failure("connection refused");
  };
  assert.deepEqual(await rig.shipper.replayDead(undefined, signal), {
    ...{ replayed: 0, refused: 0, reason: "connection refused" },
  });
  assert.equal(rig.status().dead, 2);
  await rig.stop();
});

Deno.test("replay: a crash right after the answer loses none and counts none twice", async () => {
  for (let calls = 1; calls < 25; calls++) {
    let rig = await withDead(2);
    rig.output.answer = takeAll;
    let left = calls;
    rig.around.files.fault = () => --left <= 0 ? "EIO" : undefined;
    await rig.shipper.replayDead(undefined, signal);
    rig = await rig.crash();
    const { confirmed, dead: count } = rig.status();
    assert.equal(confirmed + count, 2, `after ${calls} calls`);
    rig.start();
    await rig.advance();
    await rig.shipper.replayDead(undefined, signal);
    assert.deepEqual([rig.status().confirmed, rig.status().dead], [2, 0]);
    await rig.stop();
  }
});

Deno.test("replay: thousands go in batches, and never while a request of the shipper's is under way", async () => {
  const rig = await withDead(4_500);
  let underWay = 0;
  rig.output.answer = async (batch) => {
    assert.equal(++underWay, 1);
    await new Promise((done) => setTimeout(done, 1));
    underWay--;
    return takeAll(batch);
  };
  await rig.around.store({ payload: "new" });
  const replaying = rig.shipper.replayDead(undefined, signal);
  await rig.advance();
  assert.deepEqual(await replaying, { replayed: 4_500, refused: 0 });
  await rig.advance(10);
  const sizes = rig.output.requests.map((request) => request.length).sort((a, b) => b - a);
  assert.deepEqual(sizes, [2_000, 2_000, 500, 1]);
  assert.deepEqual([rig.status().confirmed, rig.status().dead], [4_501, 0]);
  await rig.stop();
});

Deno.test("replay: it works without a running shipper, as the command does when no agent runs", async () => {
  let rig = await withDead(1);
  await rig.stop();
  rig = await rig.crash();
  rig.output.answer = takeAll;
  assert.deepEqual(await rig.shipper.replayDead(undefined, signal), { replayed: 1, refused: 0 });
  assert.deepEqual([rig.status().confirmed, rig.status().dead], [1, 0]);
});
