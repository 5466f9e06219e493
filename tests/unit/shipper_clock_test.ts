import assert from "node:assert/strict";
import { BulkEncoder } from "../../agent/shipper/bulk_encoder.ts";
import { QuickClock, Surroundings } from "./shipper_fixture.ts";
import { confirmed, failure, Rig } from "./shipper_rig.ts";

const minuteMs = 60_000;
const trueMs = Date.UTC(2026, 0, 2, 3, 4, 5);

/** A shipper after a boot at 1970, 30 s ago, whose clock is not synchronised. */
async function at1970(): Promise<Rig> {
  const clock = new QuickClock(30_000, 30_000);
  clock.state = "no";
  return await Rig.open({ around: await Surroundings.open({ clock }) });
}

/** Index, time and mark of everything that has arrived, in order. */
function arrived(rig: Rig): string[] {
  const encoder = new BulkEncoder({
    hostName: "vigo",
    hostIp: undefined,
    labels: {},
    topicPattern: undefined,
  });
  const all = [...rig.output.index.values()].sort((a, b) => a.reading.sequence - b.reading.sequence);
  return all.map((outgoing) => {
    const [action, document] = new TextDecoder().decode(encoder.encodeOne(outgoing)).split("\n");
    const { create } = JSON.parse(action!) as { create: { _index: string } };
    const { event, "@timestamp": time } = JSON.parse(document!) as {
      event: { clock: string };
      "@timestamp": string;
    };
    return `${create._index} ${time} ${event.clock}`;
  });
}

Deno.test("shipper and clock: readings of a boot at 1970 wait, and go to the right index once it is synchronised", async () => {
  const rig = await at1970();
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance(5 * minuteMs);
  const { state, reason, waiting, lagMs } = rig.status();
  assert.deepEqual([state, waiting, lagMs], ["waiting for clock", 1, 5 * minuteMs]);
  assert.match(reason ?? "", /not synchronised/);
  assert.deepEqual(rig.output.requests, []);
  rig.around.clock.stepWall(trueMs);
  rig.around.clock.state = "yes";
  await rig.advance(4_000);
  await rig.around.storeNumbers(1);
  await rig.advance();
  assert.deepEqual(arrived(rig), [
    "mqtt-2026.01.02 2026-01-02T02:59:05.000Z corrected",
    "mqtt-2026.01.02 2026-01-02T03:04:09.000Z synced",
  ]);
  assert.equal(rig.status().state, "well");
  await rig.stop();
});

Deno.test("shipper and clock: what never synchronises goes out after 10 minutes, marked unsynced, later ones at once", async () => {
  const rig = await at1970();
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance(10 * minuteMs - 31_000);
  assert.deepEqual(rig.output.requests, []);
  await rig.advance(2_000);
  assert.deepEqual(arrived(rig), ["mqtt-1970.01.01 1970-01-01T00:00:30.000Z unsynced"]);
  await rig.around.storeNumbers(1);
  await rig.advance();
  assert.equal(rig.output.index.size, 2);
  await rig.stop();
});

Deno.test("shipper and clock: after an outage of the output the time server gets its 10 minutes", async () => {
  const rig = await at1970();
  rig.output.onPrepare = () => {
    throw failure("network unreachable");
  };
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance(30 * minuteMs);
  assert.equal(rig.status().state, "retrying");
  rig.output.onPrepare = () => {};
  await rig.advance(minuteMs);
  assert.equal(rig.status().state, "waiting for clock");
  await rig.advance(5 * minuteMs);
  assert.deepEqual(rig.output.requests, []);
  rig.around.clock.stepWall(trueMs);
  rig.around.clock.state = "yes";
  await rig.advance(4_000);
  assert.match(arrived(rig)[0] ?? "", /corrected$/);
  await rig.stop();
});

Deno.test("shipper and clock: before giving up it asks whether the output can be reached at all", async () => {
  const rig = await at1970();
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance(9 * minuteMs);
  rig.output.onPrepare = () => {
    throw failure("network unreachable"); // the network has gone while it waited
  };
  await rig.advance(20 * minuteMs);
  assert.deepEqual([rig.status().state, rig.output.requests], ["retrying", []]);
  rig.output.onPrepare = () => {};
  await rig.advance(2 * minuteMs);
  assert.equal(rig.status().state, "waiting for clock");
  await rig.advance(9 * minuteMs);
  assert.match(arrived(rig)[0] ?? "", /unsynced$/);
  await rig.stop();
});

Deno.test("shipper and clock: a reading that waits holds back those behind it and none before it", async () => {
  const rig = await Rig.open();
  const { clock } = rig.around;
  await rig.around.store({ payload: "1" }, { payload: "2" });
  clock.reboot("cd".repeat(16), 40_000);
  clock.state = "no";
  await rig.around.reopen();
  const second = await Rig.open({ around: rig.around });
  await second.around.store({ payload: "3" });
  clock.state = "yes";
  clock.stepWall(trueMs);
  await second.around.store({ payload: "4" });
  clock.state = "no";
  second.start();
  await second.advance(3_000);
  assert.deepEqual(second.output.requests, [["1", "2"]]);
  assert.equal(second.shipper.durableSequence(), 3, "the cursor does not wait with it");
  clock.state = "yes";
  await second.advance(4_000);
  assert.deepEqual(second.output.requests, [["1", "2"], ["3", "4"]]);
  await second.stop();
});

Deno.test("shipper and clock: a restart between decision and send changes neither time nor index", async () => {
  let rig = await at1970();
  await rig.around.storeNumbers(1);
  const outcomes: string[] = [];
  rig.output.answer = (batch) => {
    outcomes.push(`${batch[0]!.arrivalMs} ${batch[0]!.mark}`);
    throw failure("broken off");
  };
  rig.start();
  rig.around.clock.stepWall(trueMs);
  rig.around.clock.state = "yes";
  await rig.advance(4_000);
  rig = await rig.crash();
  rig.around.clock.stepWall(trueMs + 86_400_000); // the clock steps again
  rig.start();
  await rig.advance(4_000);
  rig = await rig.crash();
  rig.around.clock.reboot("ef".repeat(16), trueMs + 2 * 86_400_000);
  await rig.around.reopen();
  rig = await Rig.open({ around: rig.around, output: rig.output });
  rig.start();
  await rig.advance(4_000);
  assert.ok(outcomes.length >= 3);
  assert.deepEqual(new Set(outcomes), new Set([`${trueMs} corrected`]));
  rig.output.answer = (batch) => batch.map(() => confirmed);
  await rig.advance(10_000);
  assert.equal(rig.status().confirmed, 1);
  await rig.stop();
});

Deno.test("shipper and clock: the agent stops while a reading waits for the clock", async () => {
  const rig = await at1970();
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance(minuteMs);
  await rig.shipper.drained();
  await rig.stop();
  assert.equal(rig.status().waiting, 1);
});
