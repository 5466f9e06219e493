import assert from "node:assert/strict";
import { LostSyncError } from "../../agent/base/errors.ts";
import { bulkDocumentsMax, bulkFewReadings, bulkGatherMs } from "../../agent/limits.ts";
import type { Outgoing, Verdict } from "../../agent/shipper/output.ts";
import { Surroundings } from "./shipper_fixture.ts";
import { busy, confirmed, dead, failure, payloadOf, Rig, ScriptedOutput } from "./shipper_rig.ts";

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => String(from + at));
/** Verdicts by payload; all others are confirmed. */
const by = (verdicts: Record<string, Verdict>) => (batch: Outgoing[]) =>
  batch.map((one) => verdicts[payloadOf(one)] ?? confirmed);

Deno.test("shipper: what is stored arrives, in order and in batches, and status says so", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(bulkDocumentsMax + 5);
  rig.start();
  await rig.advance();
  assert.deepEqual(rig.output.requests.map((request) => request.length), [bulkDocumentsMax, 5]);
  assert.deepEqual(rig.output.requests.flat(), numbers(1, bulkDocumentsMax + 5));
  const { state, confirmed, waiting, lagMs, lastConfirmedMs } = rig.status();
  assert.deepEqual([state, confirmed, waiting, lagMs], ["well", bulkDocumentsMax + 5, 0, undefined]);
  assert.equal(lastConfirmedMs, rig.around.clock.wallMs());
  await rig.around.storeNumbers(1);
  await rig.advance(bulkGatherMs);
  assert.equal(rig.status().confirmed, bulkDocumentsMax + 6);
  await rig.stop();
  assert.equal(rig.output.closed, true);
});

Deno.test("shipper: the first of what trickles in goes at once, the rest is gathered, and nothing waits at the end", async () => {
  const rig = await Rig.open();
  rig.start();
  await rig.advance();
  await rig.around.store({ payload: "1" });
  await rig.advance();
  assert.deepEqual(rig.output.requests, [["1"]]);
  for (const payload of ["2", "3"]) {
    await rig.around.store({ payload });
    await rig.advance(bulkGatherMs / 3);
  }
  assert.deepEqual(rig.output.requests, [["1"]]);
  await rig.advance(bulkGatherMs);
  assert.deepEqual(rig.output.requests, [["1"], ["2", "3"]]);
  await rig.around.store({ payload: "4" });
  await rig.shipper.drained();
  assert.deepEqual(rig.output.requests, [["1"], ["2", "3"], ["4"]]);
  await rig.stop();
});

Deno.test("shipper: behind a batch that is not small the next one follows at once", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(bulkFewReadings);
  rig.start();
  await rig.advance();
  await rig.around.storeNumbers(1);
  await rig.advance();
  assert.deepEqual(rig.output.requests.map((request) => request.length), [bulkFewReadings, 1]);
  await rig.stop();
});

Deno.test("shipper: the output is prepared before the first reading, even when none waits", async () => {
  const rig = await Rig.open();
  assert.equal(rig.status().state, "starting");
  rig.output.onPrepare = () => {
    throw failure("connection refused");
  };
  rig.start();
  await rig.advance();
  const { state, reason, nextTryMs } = rig.status();
  assert.deepEqual([state, reason], ["retrying", "https://there: connection refused"]);
  assert.equal(nextTryMs, rig.around.clock.wallMs() + 1_000);
  await rig.around.storeNumbers(2);
  await rig.advance(900);
  assert.deepEqual(rig.output.requests, []);
  rig.output.onPrepare = () => {};
  await rig.advance(100);
  assert.deepEqual(rig.output.requests, [["1", "2"]]);
  assert.equal(rig.status().state, "well");
  await rig.stop();
});

Deno.test("shipper: a request that fails as a whole is made again with growing pauses, for ever", async () => {
  const rig = await Rig.open();
  rig.output.answer = () => {
    throw failure("HTTP 503");
  };
  await rig.around.storeNumbers(3);
  rig.start();
  await rig.advance();
  const tries: number[] = [];
  for (const second of Array.from({ length: 240 }, (_, at) => at + 1)) {
    const before = rig.output.requests.length;
    await rig.advance(1_000);
    if (rig.output.requests.length > before) tries.push(second);
  }
  assert.deepEqual(tries, [1, 3, 7, 15, 31, 63, 123, 183]);
  const { state, waiting, lastError, lagMs } = rig.status();
  assert.deepEqual([state, waiting, lagMs], ["retrying", 3, 240_000]);
  assert.equal(lastError?.text, "https://there: HTTP 503");
  rig.output.answer = (batch) => batch.map(() => confirmed);
  await rig.advance(60_000);
  assert.deepEqual(rig.output.arrived(), ["1", "2", "3"]);
  assert.deepEqual([rig.status().state, rig.alarms()], ["well", []]);
  assert.equal(rig.output.prepares, rig.output.requests.length, "each failure is followed by a preparation");
  await rig.stop();
});

Deno.test("shipper: what may pass by itself is quiet for a minute, what may not is an alarm at once", async () => {
  const rig = await Rig.open();
  rig.output.answer = () => {
    throw failure("not let in (HTTP 401)");
  };
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance(59_000);
  assert.deepEqual([rig.status().state, rig.alarms()], ["retrying", []]);
  await rig.advance(1_000);
  assert.deepEqual(rig.alarms(), ["output_failing"]);
  rig.output.answer = () => {
    throw failure("not allowed (HTTP 403)", false);
  };
  await rig.advance(60_000);
  assert.equal(rig.status().state, "paused");
  assert.ok(rig.alarms().includes("output_paused"));
  rig.output.answer = (batch) => batch.map(() => confirmed);
  await rig.advance(60_000);
  assert.deepEqual([rig.status().state, rig.alarms()], ["well", []]);
  await rig.stop();
});

Deno.test("shipper: only what was refused is sent again, and the next batch waits for it", async () => {
  const rig = await Rig.open();
  let refusals = 2;
  rig.output.answer = (batch) => {
    if (refusals-- > 0) return by({ "2": busy, "4": busy })(batch);
    return batch.map(() => confirmed);
  };
  await rig.around.storeNumbers(4);
  rig.start();
  await rig.advance();
  await rig.around.store({ payload: "5" });
  const { state, reason, waiting } = rig.status();
  assert.deepEqual([state, reason, waiting], ["retrying", "429 busy", 5]);
  await rig.advance(1_000);
  await rig.advance(2_000);
  await rig.advance(bulkGatherMs);
  assert.deepEqual(rig.output.requests, [["1", "2", "3", "4"], ["2", "4"], ["2", "4"], ["5"]]);
  assert.deepEqual([rig.status().confirmed, rig.status().state], [5, "well"]);
  await rig.stop();
});

Deno.test("shipper: progress brings the pause back to its beginning", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(6);
  rig.output.answer = (batch) => batch.map((_, at) => at === 0 ? confirmed : busy);
  rig.start();
  await rig.advance();
  for (let second = 1; second <= 5; second++) await rig.advance(1_000);
  assert.deepEqual(rig.output.requests.map((request) => request.length), [6, 5, 4, 3, 2, 1]);
  await rig.stop();
});

Deno.test("shipper: a reading's own fault makes a dead letter that is durable before the cursor passes it", async () => {
  const rig = await Rig.open();
  rig.output.answer = by({ "2": dead });
  await rig.around.storeNumbers(3);
  rig.start();
  await rig.advance();
  const { confirmed, waiting, dead: count, state } = rig.status();
  assert.deepEqual([confirmed, waiting, count, state], [2, 0, 1, "well"]);
  assert.deepEqual(rig.alarms(), ["dead_letters"]);
  const [letter] = [...rig.shipper.deadLetters()];
  assert.deepEqual([letter?.status, letter?.reason, letter?.topic], [
    400,
    dead.kind === "dead" && dead.reason,
    "hall/press/temperature",
  ]);
  const { calls } = rig.around.files;
  const letterSynced = calls.findIndex(({ verb, path }) =>
    verb === "syncData" && path.endsWith("cloud.dead.ndjson")
  );
  const cursorWritten = calls.findLastIndex(({ verb, path }) =>
    verb === "rename" && path.endsWith("cloud.json.new")
  );
  assert.ok(letterSynced >= 0 && letterSynced < cursorWritten);
  await rig.stop();
});

Deno.test("shipper: refused ten times while others are accepted, a reading is its own fault; otherwise never", async () => {
  const rig = await Rig.open();
  const strange = (counts: boolean): Verdict => ({
    kind: "retry",
    reason: "500 strange",
    counts,
    status: 500,
  });
  rig.output.answer = by({ "2": strange(false) });
  await rig.around.storeNumbers(3);
  rig.start();
  for (let minute = 0; minute < 30; minute++) await rig.advance(60_000);
  assert.ok(rig.output.requests.length > 20);
  assert.equal(rig.status().dead, 0);
  rig.output.requests.length = 0;
  rig.output.answer = by({ "2": strange(true) });
  for (let minute = 0; minute < 12; minute++) await rig.advance(60_000);
  assert.equal(rig.output.requests.length, 10);
  const [letter] = [...rig.shipper.deadLetters()];
  assert.deepEqual([letter?.status, letter?.reason], [
    500,
    "refused 10 times while others for the same index were accepted: 500 strange",
  ]);
  assert.deepEqual([rig.status().state, rig.status().waiting], ["well", 0]);
  await rig.stop();
});

Deno.test("shipper: a pause of one reading keeps it, says why, and ends by itself", async () => {
  const rig = await Rig.open();
  rig.output.answer = by({
    "2": { kind: "pause", reason: "400 validation_exception: too many shards", status: 400 },
  });
  await rig.around.storeNumbers(3);
  rig.start();
  await rig.advance();
  const { state, reason, alarms } = rig.status();
  assert.deepEqual([state, reason], ["paused", "400 validation_exception: too many shards"]);
  assert.deepEqual(alarms.map((alarm) => alarm.code), ["output_paused"]);
  rig.output.answer = (batch) => batch.map(() => confirmed);
  await rig.advance(1_000);
  assert.deepEqual([rig.status().state, rig.alarms(), rig.output.arrived()], ["well", [], ["1", "2", "3"]]);
  await rig.stop();
});

Deno.test("shipper: the cursor is written at most once a second while readings flow, and at once when idle and at the end", async () => {
  const rig = await Rig.open();
  const { around } = rig;
  const writes = () =>
    around.files.calls.filter(({ verb, path }) => verb === "rename" && path.includes("cloud.json")).length;
  rig.start();
  await rig.advance(5_000);
  const before = writes();
  await around.storeNumbers(1);
  await rig.advance(bulkGatherMs);
  assert.equal(writes() - before, 1, "idle: at once");
  assert.equal(rig.shipper.durableSequence(), around.spool.nextSequence());
  for (let i = 0; i < 40; i++) {
    await around.storeNumbers(1);
    await rig.advance(100);
  }
  assert.ok(writes() - before <= 6, `${writes() - before} writes in 4 s`);
  await around.storeNumbers(1);
  await rig.advance(bulkGatherMs);
  await rig.stop();
  assert.equal(rig.shipper.durableSequence(), around.spool.nextSequence());
});

Deno.test("shipper: after a crash the cursor may be old; what was sent meets its id again, and nothing counts twice", async () => {
  let rig = await Rig.open();
  rig.output.answer = by({ "5": dead });
  await rig.around.storeNumbers(8);
  rig.around.files.fault = ({ path }) => path.includes("cloud.json") ? "EIO" : undefined; // the cursor can't be written
  rig.start();
  await rig.advance();
  assert.deepEqual(rig.alarms(), ["cursor_unwritten", "dead_letters"]);
  assert.equal(rig.shipper.durableSequence(), 1);
  rig = await rig.crash();
  assert.deepEqual([rig.status().confirmed, rig.status().waiting, rig.status().dead], [0, 8, 0]);
  rig.output.requests.length = 0;
  rig.start();
  await rig.advance();
  assert.deepEqual(
    rig.output.requests,
    [["1", "2", "3", "4", "6", "7", "8"]],
    "the dead letter is not sent again",
  );
  assert.deepEqual([rig.status().confirmed, rig.status().waiting, rig.status().dead], [7, 0, 1]);
  await rig.stop();
});

Deno.test("shipper: a crash at any moment loses nothing, doubles nothing and keeps the sum", async () => {
  for (let calls = 1; calls < 40; calls++) {
    let rig = await Rig.open();
    rig.output.answer = by({ "3": dead, "7": dead });
    await rig.around.storeNumbers(4);
    rig.start();
    let left = calls;
    rig.around.files.fault = ({ path }) => path.includes("outputs") && --left <= 0 ? "EIO" : undefined;
    await rig.advance(500);
    rig = await rig.crash();
    await rig.around.store({ payload: "5" }, { payload: "6" }, { payload: "7" });
    rig.start();
    await rig.advance(5_000);
    assert.deepEqual(rig.output.arrived(), ["1", "2", "4", "5", "6"], `after ${calls} calls`);
    assert.deepEqual([rig.status().confirmed, rig.status().dead], [5, 2]);
    assert.deepEqual([...rig.shipper.deadLetters()].map((letter) => letter.sequence), [3, 7]);
    await rig.stop();
  }
});

Deno.test("shipper: dead letters that have reached their cap pause the output with an alarm, until there is room", async () => {
  const rig = await Rig.open();
  rig.output.answer = by({ "2": dead });
  Object.defineProperty(rig.state.letters, "liveBytes", { get: () => full ? 64 * 1024 ** 2 : 0 });
  let full = true;
  await rig.around.storeNumbers(3);
  rig.start();
  await rig.advance();
  const { state, reason, confirmed, alarms } = rig.status();
  assert.deepEqual([state, confirmed], ["paused", 0]);
  assert.match(reason ?? "", /the dead letters have reached 64 MiB; the last one: 400 document/);
  assert.match(alarms[0]?.remedy ?? "", /dead ls/);
  full = false;
  await rig.advance(1_000);
  assert.deepEqual(rig.output.requests, [["1", "2", "3"], ["2"]]);
  assert.deepEqual([rig.status().state, rig.status().confirmed, rig.status().dead], ["well", 2, 1]);
  await rig.stop();
});

Deno.test("shipper: a disk that can't take a dead letter pauses the output, and the reading is kept", async () => {
  const rig = await Rig.open();
  rig.output.answer = by({ "2": dead });
  await rig.around.storeNumbers(3);
  rig.start();
  rig.around.files.fault = ({ path, verb }) =>
    path.endsWith(".dead.ndjson") && verb !== "open" ? "EIO" : undefined;
  await rig.advance();
  assert.equal(rig.status().state, "paused");
  assert.match(rig.status().reason ?? "", /dead letters can't be written: EIO/);
  assert.equal(rig.shipper.durableSequence(), 1);
  rig.around.files.heal();
  await rig.advance(1_000);
  assert.deepEqual([rig.status().state, rig.status().confirmed, rig.status().dead], ["well", 2, 1]);
  await rig.stop();
});

Deno.test("shipper: damaged readings are counted, those around them arrive", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(9);
  const path = rig.around.spool.segments()[0]!.path;
  rig.around.files.damage(path, (bytes) => {
    bytes[Math.floor(bytes.length / 2)]! ^= 0xff;
    return bytes;
  });
  rig.start();
  await rig.advance();
  const { confirmed, damaged, waiting } = rig.status();
  assert.deepEqual([confirmed, damaged, waiting], [8, 1, 0]);
  assert.equal(rig.output.index.size, 8);
  await rig.stop();
});

Deno.test("shipper: what drop_oldest took is dropped, what is gone otherwise is damaged", async () => {
  for (const whenFull of ["drop_oldest", "block"] as const) {
    const around = await Surroundings.open({ segmentBytes: 400 });
    const rig = await Rig.open({ around, whenFull });
    for (let i = 1; i <= 6; i++) await around.store({ payload: String(i) }, { payload: String(-i) });
    const [oldest] = around.spool.segments();
    await around.spool.remove(oldest!);
    const gone = around.spool.oldestSequence() - 1;
    assert.ok(gone > 0);
    rig.start();
    await rig.advance();
    const { confirmed, dropped, damaged, droppedWhy, waiting } = rig.status();
    assert.deepEqual([confirmed, waiting], [12 - gone, 0]);
    if (whenFull === "block") assert.deepEqual([dropped, damaged, droppedWhy], [0, gone, {}]);
    else assert.deepEqual([dropped, damaged, droppedWhy], [gone, 0, { drop_oldest: gone }]);
    await rig.stop();
  }
});

Deno.test("shipper: dropped while a batch is under way, readings in it still arrive and none counts twice", async () => {
  const around = await Surroundings.open({ segmentBytes: 400 });
  const rig = await Rig.open({ around, whenFull: "drop_oldest" });
  await around.storeNumbers(2);
  let open = () => {};
  rig.output.answer = async (batch) => {
    await new Promise<void>((done) => open = done);
    return batch.map(() => confirmed);
  };
  rig.start();
  await rig.advance();
  for (let i = 0; i < 6; i++) await around.storeNumbers(2);
  for (const segment of around.spool.segments().slice(0, 3)) await around.spool.remove(segment);
  const gone = around.spool.oldestSequence() - 3;
  rig.output.answer = (batch) => batch.map(() => confirmed);
  open();
  await rig.advance(bulkGatherMs);
  const { confirmed: got, dropped } = rig.status();
  assert.deepEqual([got, dropped], [14 - gone, gone]);
  await rig.stop();
});

Deno.test("shipper: readings stored under an index pattern keep it when the configuration changes", async () => {
  let rig = await Rig.open({ target: "old-%Y" });
  await rig.around.storeNumbers(2);
  await rig.around.reopen();
  rig = await Rig.open({ around: rig.around, target: "new-%Y", output: new ScriptedOutput() });
  await rig.around.store({ payload: "3" });
  rig.start();
  await rig.advance();
  const targets = [...rig.output.index.values()].map((one) => [payloadOf(one), one.target]);
  assert.deepEqual(targets, [["1", "old-%Y"], ["2", "old-%Y"], ["3", "new-%Y"]]);
  await rig.stop();
});

Deno.test("shipper: nothing is sent while a new target can't be made durable", async () => {
  const around = await Surroundings.open();
  around.files.fault = ({ path }) => path.includes("cloud.json") ? "EROFS" : undefined;
  const rig = await Rig.open({ around });
  await around.storeNumbers(1);
  rig.start();
  await rig.advance(3_000);
  assert.deepEqual([rig.output.requests, rig.alarms()], [[], ["cursor_unwritten"]]);
  around.files.heal();
  await rig.advance(1_000);
  assert.deepEqual([rig.output.requests, rig.alarms()], [[["1"]], []]);
  await rig.stop();
});

Deno.test("shipper: a folder that can't be read pauses it with what to do", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(1);
  rig.around.files.fault = ({ verb, path }) =>
    verb === "open" && path.endsWith(".seg") ? "EACCES" : undefined;
  rig.start();
  await rig.advance();
  assert.equal(rig.status().state, "paused");
  assert.match(rig.alarms()[0] ?? "", /output_paused/);
  rig.around.files.heal();
  await rig.advance(1_000);
  assert.deepEqual([rig.status().state, rig.output.arrived()], ["well", ["1"]]);
  await rig.stop();
});

Deno.test("shipper: a defect in an output is said and survived", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(2);
  rig.output.answer = () => {
    throw new TypeError("x is not a function");
  };
  rig.start();
  await rig.advance();
  assert.deepEqual([rig.status().state, rig.status().reason], ["paused", "unexpected: x is not a function"]);
  rig.output.answer = () => [];
  await rig.advance(1_000);
  assert.match(rig.status().reason ?? "", /0 verdicts on 2 readings/);
  rig.output.answer = (batch) => batch.map(() => confirmed);
  await rig.advance(2_000);
  assert.deepEqual([rig.status().state, rig.output.arrived()], ["well", ["1", "2"]]);
  await rig.stop();
});

Deno.test("shipper: only a lost sync ends it", async () => {
  const rig = await Rig.open();
  await rig.around.storeNumbers(1);
  rig.output.answer = () => {
    throw new LostSyncError({ operation: "sync", place: "/spool", cause: "EIO" });
  };
  const running = rig.shipper.run(new AbortController().signal);
  await assert.rejects(running, LostSyncError);
});

Deno.test("shipper: drained resolves when nothing waits, and at once when waiting is useless", async () => {
  const rig = await Rig.open();
  await rig.shipper.drained(); // not running
  let open = () => {};
  rig.output.answer = async (batch) => {
    await new Promise<void>((done) => open = done);
    return batch.map(() => confirmed);
  };
  await rig.around.storeNumbers(1);
  rig.start();
  await rig.advance();
  let drained = false;
  const waiting = rig.shipper.drained().then(() => drained = true);
  await rig.advance();
  assert.equal(drained, false);
  open();
  await waiting;
  rig.output.answer = () => {
    throw failure("connection refused");
  };
  await rig.around.storeNumbers(1);
  await rig.advance();
  await rig.shipper.drained();
  assert.equal(rig.status().waiting, 1);
  await rig.stop();
  await rig.shipper.drained();
});

Deno.test("shipper: stopped in the middle of a request, it ends, and the reading waits for the next life", async () => {
  let rig = await Rig.open();
  rig.output.answer = () =>
    new Promise<Verdict[]>((_, fail) => setTimeout(() => fail(failure("stopped")), 5));
  await rig.around.storeNumbers(2);
  rig.start();
  await rig.advance();
  await rig.stop();
  rig.output.answer = (batch) => batch.map(() => confirmed);
  rig = await rig.crash();
  assert.equal(rig.status().waiting, 2);
  rig.start();
  await rig.advance();
  assert.deepEqual(rig.output.arrived(), ["1", "2"]);
  await rig.stop();
});
