import assert from "node:assert/strict";
import { possibleGapsMax, protocolAgainMs } from "../../agent/limits.ts";
import { Remembered } from "../../agent/subscriber/remembered.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

const path = "/spool/session.json";
const nowMs = Date.UTC(2026, 0, 2);

function setup() {
  const files = new FakeFiles();
  files.makeFolder("/spool");
  const log = new MemoryLog();
  const open = () => Remembered.open(files, path, log);
  return { files, log, open };
}

Deno.test("mqtt remembered: everything is there again after a restart", async () => {
  const { open, log } = setup();
  const first = open();
  assert.equal(first.use("mqtts://a", "me"), false);
  assert.equal(first.connected(false, nowMs), undefined);
  first.protocolWorked(4, nowMs);
  first.subscriptions = {
    filters: [{ filter: "#", qos: 1, granted: 1 }],
    grantedMs: nowMs,
    removed: [{ filter: "old", doneMs: nowMs }],
  };
  first.connectedAt(nowMs + 5_000);
  first.drops = { counter: 7, knownMs: nowMs, sum: 5, sinceMs: nowMs - 1, lastMs: nowMs - 2 };
  await first.save();
  const second = open();
  assert.equal(second.use("mqtts://a", "me"), true);
  assert.equal(second.hasSession, true);
  assert.equal(second.lastConnectedMs, nowMs + 5_000);
  assert.equal(second.protocol(nowMs), 4);
  assert.deepEqual(second.subscriptions, first.subscriptions);
  assert.deepEqual(second.drops, first.drops);
  assert.equal(log.text, "");
});

Deno.test("mqtt remembered: another URL or client id is another session, but the gaps stay", () => {
  const { open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  it.connected(false, nowMs);
  it.connected(false, nowMs + 1_000);
  it.subscriptions = { filters: [{ filter: "#", qos: 1 }], removed: [] };
  assert.equal(it.use("mqtts://b", "me"), false);
  assert.equal(it.hasSession, false);
  assert.deepEqual(it.subscriptions, { filters: [], removed: [] });
  assert.equal(it.gaps.length, 1);
  assert.equal(it.sessionsLost, 1);
  it.connected(false, nowMs + 2_000);
  assert.equal(it.gaps.length, 1, "there was no session to be lost");
  assert.equal(it.use("mqtts://b", "you"), false);
});

Deno.test("mqtt remembered: the time away is a possible gap, at QoS 0 or, when the session was lost, at every QoS", () => {
  const { open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  it.connected(false, nowMs);
  it.connectedAt(nowMs + 60_000);
  it.connected(true, nowMs + 90_000);
  it.connectedAt(nowMs + 100_000);
  it.connected(false, nowMs + 200_000);
  const [away, lost] = it.gaps;
  assert.deepEqual([away!.fromMs, away!.toMs, away!.session], [nowMs + 60_000, nowMs + 90_000, false]);
  assert.match(away!.why, /QoS 0/);
  assert.deepEqual([lost!.fromMs, lost!.toMs, lost!.session], [nowMs + 100_000, nowMs + 200_000, true]);
  assert.match(lost!.why, /session/);
  assert.equal(it.sessionsLost, 1);
});

Deno.test("mqtt remembered: a clock that was set back makes no gap that ends before it begins", () => {
  const { open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  it.connected(false, nowMs);
  it.connected(true, nowMs - 1_000_000);
  assert.ok(it.gaps[0]!.toMs >= it.gaps[0]!.fromMs);
});

Deno.test("mqtt remembered: queued messages began to wait when all before them had come, not at the last short visit", () => {
  const { open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  it.connected(false, nowMs);
  it.connectedAt(nowMs + 1_000);
  assert.equal(it.connected(true, nowMs + 50_000), nowMs + 1_000);
  it.connectedAt(nowMs + 51_000); // it broke before the queue was empty
  assert.equal(it.connected(true, nowMs + 60_000), nowMs + 1_000);
  it.queueEmpty();
  it.connectedAt(nowMs + 70_000);
  assert.equal(it.connected(true, nowMs + 80_000), nowMs + 70_000);
  assert.equal(it.connected(false, nowMs + 90_000), undefined);
});

Deno.test("mqtt remembered: the list of gaps is bounded, and lost sessions stay in it longest", () => {
  const { open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  it.connected(false, nowMs);
  it.connected(false, nowMs + 1);
  for (let i = 2; i < 3 * possibleGapsMax; i++) it.connected(true, nowMs + i);
  assert.equal(it.gaps.length, possibleGapsMax);
  assert.equal(it.gaps[0]!.session, true);
  for (let i = 0; i < 2 * possibleGapsMax; i++) it.connected(false, nowMs + 1_000 + i);
  assert.equal(it.gaps.length, possibleGapsMax);
  assert.equal(it.sessionsLost, 2 * possibleGapsMax + 1);
});

Deno.test("mqtt remembered: MQTT 5 first, what worked after that, and MQTT 5 again after a day on 3.1.1", () => {
  const { open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  assert.equal(it.protocol(nowMs), 5);
  it.protocolWorked(4, nowMs);
  it.protocolWorked(4, nowMs + 1_000); // the day counts from the first time
  assert.equal(it.protocol(nowMs + protocolAgainMs - 1), 4);
  assert.equal(it.protocol(nowMs + protocolAgainMs), 5);
  it.protocolWorked(4, nowMs + protocolAgainMs); // still no MQTT 5
  assert.equal(it.protocol(nowMs + protocolAgainMs + 1), 4);
  it.protocolWorked(5, nowMs + 2 * protocolAgainMs);
  assert.equal(it.protocol(nowMs + 2 * protocolAgainMs), 5);
  assert.equal(it.protocol(nowMs - 10 * protocolAgainMs), 5);
});

Deno.test("mqtt remembered: a file that can't be understood is reported and begun anew, in whatever way it is damaged", () => {
  const { files, log, open } = setup();
  const write = (text: string) => {
    const file = files.open(path, "create");
    file.append(new TextEncoder().encode(text));
    file.close();
  };
  for (const text of ["", "{", "null", "[]", '"x"', '{"format":2}', "\0\0\0\0"]) {
    write(text);
    log.lines.length = 0;
    assert.equal(open().hasSession, false, text);
    assert.match(log.text, /can't be read/, text);
    files.unlink(path);
  }
  write(
    '{"format":1,"url":3,"hasSession":"yes","subscriptions":{"filters":[{"filter":1},null,{"filter":"a","qos":1}]},"gaps":7,"drops":{"counter":"7"}}',
  );
  const it = open();
  assert.equal(it.hasSession, false);
  assert.deepEqual(it.subscriptions.filters, [{ filter: "a", qos: 1 }]);
  assert.deepEqual(it.gaps, []);
  assert.equal(it.drops, undefined);
});

Deno.test("mqtt remembered: a full disk is reported once, and written to again when there is room", async () => {
  const { files, log, open } = setup();
  const it = open();
  it.use("mqtts://a", "me");
  await it.save();
  files.fault = (call) => call.verb === "append" ? "ENOSPC" : undefined;
  it.connected(false, nowMs);
  await it.save();
  await it.save();
  assert.equal(log.lines.length, 1);
  files.fault = () => undefined;
  await it.save();
  assert.equal(open().hasSession, true);
});

Deno.test("mqtt remembered: saves at the same moment are one after the other, never at once", async () => {
  const { files, open } = setup();
  const it = open();
  let atOnce = 0;
  let most = 0;
  let count = 0;
  const replace = files.replace.bind(files);
  files.replace = async (...args) => {
    count++;
    most = Math.max(most, ++atOnce);
    await replace(...args);
    atOnce--;
  };
  await Promise.all(Array.from({ length: 10 }, () => it.save()));
  assert.equal(most, 1);
  assert.ok(count <= 2, `${count} writes`);
});
