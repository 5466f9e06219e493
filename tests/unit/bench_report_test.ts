import assert from "node:assert/strict";
import { aimText, digits, type Round, rows, spreadText, table } from "../../bench/report.ts";
import type { Scenario } from "../../bench/scenario.ts";
import {
  memoryFileSystem,
  parseCpuMs,
  parseMemoryBytes,
  parseTicks,
  parseWrittenBytes,
} from "../../bench/machine.ts";

const scenario: Scenario = {
  name: "flood.qos1",
  peers: ["mosquitto_sub"],
  figures: [
    { key: "cpu", unit: "us", what: "CPU per message", aim: { kind: "at most", value: 1 / 5, of: "ratio" } },
    { key: "rate", unit: "per s", what: "messages per second" },
  ],
  measure: () => Promise.reject(new Error("not measured here")),
};
const round = (ours: [number, number], peer: [number, number]): Round => ({
  load: 0.1,
  others: 0,
  measured: { ours: { cpu: ours[0], rate: ours[1] }, mosquitto_sub: { cpu: peer[0], rate: peer[1] } },
  failed: {},
});

Deno.test("bench: a row has both sides, the ratio of each round, and whether the aim was reached", () => {
  const seen = rows(scenario, [round([4, 200_000], [40, 30_000]), round([5, 180_000], [20, 30_000])]);
  assert.deepEqual(seen[0], {
    name: "flood.qos1.cpu",
    what: "CPU per message",
    unit: "us",
    ours: { median: 4.5, min: 4, max: 5, rounds: 2 },
    peerName: "mosquitto_sub",
    peer: { median: 30, min: 20, max: 40, rounds: 2 },
    ratio: { median: 0.175, min: 0.1, max: 0.25, rounds: 2 },
    aim: "at most 1/5",
    reached: "yes, not in all rounds",
  });
  assert.equal(seen[1]!.aim, undefined);
  assert.equal(seen[1]!.ratio!.max, 200_000 / 30_000);
});

Deno.test("bench: a round without one side's figure is an error, not a row", () => {
  const half: Round = { load: 0, others: 0, measured: { ours: { cpu: 1, rate: 1 } }, failed: {} };
  assert.throws(() => rows(scenario, [round([1, 1], [1, 1]), half]), /2 rounds of ours, 1 of the peer/);
  assert.throws(() => rows(scenario, []), /no rounds/);
});

Deno.test("bench: each peer has rows of its own, one that can't be measured too, and says why", () => {
  const two: Scenario = { ...scenario, peers: ["mosquitto_sub", "Telegraf"] };
  const seen = rows(two, [round([4, 2], [40, 3])], { Telegraf: "not built: there is no Go" });
  assert.deepEqual(seen.map(({ name, peerName }) => `${name} ${peerName}`), [
    "flood.qos1.cpu mosquitto_sub",
    "flood.qos1.cpu Telegraf",
    "flood.qos1.rate mosquitto_sub",
    "flood.qos1.rate Telegraf",
  ]);
  assert.equal(seen[1]!.ours.median, 4);
  assert.equal(seen[1]!.reached, undefined, "nothing is reached against a peer that was not there");
  assert.match(table(seen).split("\n")[2]!, /Telegraf +not built: there is no Go +at most 1\/5$/);
});

Deno.test("bench: a round in which one side failed counts for the others, with its own partner only", () => {
  const failed: Round = { ...round([8, 1], [1, 1]), failed: { mosquitto_sub: "it ended at once" } };
  const [row] = rows(scenario, [round([4, 1], [40, 1]), failed]);
  assert.equal(row!.ours.rounds, 1);
  assert.equal(row!.ratio!.max, 0.1);
  const [never] = rows(scenario, [failed]);
  assert.equal(never!.absent, "failed: it ended at once");
  assert.equal(never!.ours.median, 8);
});

Deno.test("bench: a peer that has nothing to show has no ratio", () => {
  const [row] = rows(scenario, [round([4, 1], [0, 1])]);
  assert.equal(row!.peer!.median, 0);
  assert.equal(row!.ratio, undefined);
  assert.equal(row!.reached, undefined);
});

Deno.test("bench: an aim of its own needs no peer", () => {
  const alone: Scenario = {
    name: "start",
    peers: [],
    figures: [{ key: "time", unit: "ms", what: "start", aim: { kind: "at most", value: 300, of: "ours" } }],
    measure: scenario.measure,
  };
  const [row] = rows(alone, [{ load: 0, others: 0, measured: { ours: { time: 310 } }, failed: {} }]);
  assert.equal(row!.reached, "no");
  assert.equal(row!.aim, "at most 300 ms");
  assert.equal(row!.ratio, undefined);
});

Deno.test("bench: figures are printed with three digits, ranges beside them", () => {
  assert.deepEqual([0.12345, 4.5678, 38.24, 123_456, 1, 0].map(digits), [
    "0.123",
    "4.57",
    "38.2",
    "123,000",
    "1",
    "0",
  ]);
  assert.equal(spreadText({ median: 2, min: 1, max: 3, rounds: 3 }), "2 (1–3)");
  assert.equal(spreadText({ median: 2, min: 2, max: 2, rounds: 1 }), "2");
  assert.equal(
    aimText({ ...scenario.figures[1]!, aim: { kind: "at least", value: 1.2, of: "ratio" } }),
    "at least 1.2 times",
  );
});

Deno.test("bench: the columns of the table stand below each other", () => {
  const lines = table(rows(scenario, [round([4, 200_000], [40, 30_000])])).split("\n");
  assert.equal(lines.length, 3);
  assert.equal(lines[1]!.indexOf("at most 1/5"), lines[0]!.indexOf("aim"));
});

Deno.test("bench: CPU is read from /proc/PID/stat whatever the program is called", () => {
  const stat = "77 (a) b (c) S 1 1 1 0 -1 4194304 9 8 7 6 123 45 6 5 20 0 7 0 1 2 3";
  assert.equal(parseCpuMs(stat), 1680);
  assert.throws(() => parseCpuMs("nothing"), /not the form/);
});

Deno.test("bench: resident memory is read in bytes", () => {
  const status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
  assert.equal(parseMemoryBytes(status, "VmRSS"), 1_048_576);
  assert.equal(parseMemoryBytes(status, "VmHWM"), 2_097_152);
  assert.throws(() => parseMemoryBytes("Name:\tx\n", "VmRSS"), /has no VmRSS/);
});

Deno.test("bench: what was written is read from write_bytes, not from its neighbours", () => {
  const io = "wchar: 9\nread_bytes: 1\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
  assert.equal(parseWrittenBytes(io), 8192);
  assert.throws(() => parseWrittenBytes("rchar: 1\n"), /has no write_bytes/);
});

Deno.test("bench: a file system in memory is known as one, signed or not", () => {
  assert.equal(memoryFileSystem(0x01021994), "tmpfs");
  assert.equal(memoryFileSystem(0x858458f6 | 0), "ramfs");
  assert.equal(memoryFileSystem(0xef53), undefined);
});

Deno.test("bench: busy ticks leave out idle and waiting for the disk", () => {
  const stat = "cpu  10 1 5 1000 50 2 3 4 7 0\ncpu0 5 1 5 500 25 1 1 2 7 0\n";
  assert.deepEqual(parseTicks(stat), { busy: 25, all: 1075 });
  assert.throws(() => parseTicks("cpu 1 2\n"), /not the form/);
});
