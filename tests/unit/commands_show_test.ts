import assert from "node:assert/strict";
import { examineClock } from "../../agent/commands/check_machine.ts";
import { assertOwner } from "../../agent/commands/owner.ts";
import { pause } from "../../agent/commands/pause.ts";
import { statusText } from "../../agent/commands/run.ts";
import { table } from "../../agent/commands/table.ts";
import { plainLine, TerminalLines } from "../../agent/commands/reading_line.ts";
import { readingJson } from "../../agent/status/reading_json.ts";
import {
  encodeNumberProperty,
  encodeProperty,
  encodeUserProperty,
  propertyTypes,
} from "../../agent/spool/properties.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { wellSnapshot } from "../fakes/snapshot.ts";

const encoder = new TextEncoder();
const reading = {
  segmentId: "00a1b2c3d4e5f607",
  sequence: 42,
  qos: 1 as const,
  retain: false,
  duplicate: false,
  truncated: false,
  queued: false,
  packetId: 1,
  bootId: "0".repeat(32),
  bootMs: 1_000,
  wallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  synchronised: "yes" as const,
  topic: encoder.encode("hall/t"),
  properties: new Uint8Array(),
  payload: encoder.encode("21.5"),
};

Deno.test("tail: time, topic and payload on one line", () => {
  assert.equal(plainLine(readingJson(reading)), "2026-01-02T03:04:05.678Z hall/t 21.5");
});

Deno.test("tail: what a terminal would obey is shown instead, in topic and payload", () => {
  const evil = {
    ...reading,
    topic: encoder.encode("a\x1b]0;x\x07b"),
    payload: encoder.encode("1\r\n\x1b[2J\u009b31m\u202e2"),
  };
  const line = plainLine(readingJson(evil));
  // deno-lint-ignore no-control-regex
  assert.ok(!/[\x00-\x1f\x7f-\x9f\u202e]/.test(line), line);
  assert.match(line, /a\\x1b\]0;x\\x07b 1\\r\\n\\x1b\[2J\\x9b31m\\u\{202e\}2/);
});

Deno.test("tail: a long payload is cut, a binary one shown in base64", () => {
  const long = plainLine(readingJson({ ...reading, payload: encoder.encode("x".repeat(5_000)) }));
  assert.ok(long.length < 500);
  assert.match(long, /… \(4\.9 KiB\)$/);
  assert.match(
    plainLine(readingJson({ ...reading, payload: new Uint8Array([255]) })),
    / base64:\/w==$/,
  );
});

Deno.test("tail: what is special about a reading stands beside its topic", () => {
  const special = { ...reading, retain: true, queued: true, truncated: true };
  assert.match(
    plainLine(readingJson(special)),
    /hall\/t \[retained\] \[queued\] \[truncated\] 21\.5/,
  );
});

Deno.test("spool cat: JSON holds everything that was kept of a reading", () => {
  const properties = [
    encodeUserProperty(encoder.encode("unit"), encoder.encode("°C")),
    encodeUserProperty(encoder.encode("unit"), encoder.encode("K")),
    encodeProperty(propertyTypes.contentType, encoder.encode("text/plain")),
    encodeNumberProperty(propertyTypes.fullSize, 5_000_000_000, 8),
    encodeProperty(propertyTypes.sha256, new Uint8Array(32).fill(0xab)),
    encodeNumberProperty(propertyTypes.lastConnectedMs, Date.UTC(2026, 0, 1), 8),
    encodeProperty(60_000, new Uint8Array(3)),
  ];
  const bytes = new Uint8Array(properties.flatMap((one) => [...one]));
  const json = readingJson({ ...reading, properties: bytes, truncated: true, queued: true });
  assert.deepEqual(json, {
    id: "00a1b2c3d4e5f607-42",
    sequence: 42,
    topic: "hall/t",
    payload: "21.5",
    qos: 1,
    retain: false,
    arrived: "2026-01-02T03:04:05.678Z",
    clock_synchronised: "yes",
    truncated: true,
    queued: true,
    full_size: 5_000_000_000,
    sha256: "ab".repeat(32),
    content_type: "text/plain",
    user_properties: [["unit", "°C"], ["unit", "K"]],
    last_connected: "2026-01-01T00:00:00.000Z",
  });
});

Deno.test("spool cat: a time that no calendar has is shown as it is", () => {
  assert.equal(readingJson({ ...reading, wallMs: 9e15 }).arrived, "9000000000000000");
});

Deno.test("run: one line for the service manager says how it is and what comes first", () => {
  assert.equal(statusText(wellSnapshot), "broker: connected; spool: 12 MiB; cloud: well, 30 waiting");
  const alarms = [{ code: "x", text: "the disk is full", sinceMs: 0 }];
  assert.match(statusText({ ...wellSnapshot, alarms }), /; 1 alarms, first: the disk is full$/);
});

Deno.test("spool ls: columns line up", () => {
  assert.deepEqual(table([["name", "n"], ["a", "100"], ["long", "7"]], [1]), [
    "name    n",
    "a     100",
    "long    7",
  ]);
});

Deno.test("check: a clock is well, doubtful or wrong", () => {
  const clock = new FakeClock();
  assert.equal(examineClock(clock)[0]!.level, "ok");
  clock.state = "no";
  assert.equal(examineClock(clock)[0]!.level, "warning");
  clock.state = "unknown";
  assert.match(examineClock(clock)[0]!.remedy!, /timedatectl/);
  clock.stepWall(0);
  assert.equal(examineClock(clock)[0]!.level, "failure");
});

Deno.test("run: root does not write into a folder of another user", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const owner = (await Deno.stat(dir)).uid!;
    assertOwner(dir, owner);
    assertOwner(dir, owner + 1); // refused by the system where it matters
    if (owner === 0) await Deno.chown(dir, 12_345, null);
    assert.throws(() => assertOwner(dir, 0), /belongs to user id \d+.*sudo -u '#\d+'/);
    assertOwner(`${dir}/new`, 0);
  } finally {
    await Deno.remove(dir);
  }
});

Deno.test("commands: a pause ends when it is interrupted", async () => {
  const stop = new AbortController();
  const long = pause(60_000, stop.signal);
  stop.abort();
  await long;
  await pause(60_000, stop.signal);
  await pause(1, new AbortController().signal);
});

/** Lines as a window of 80 columns without colour shows them, 2 s after the arrival. */
function shown(
  ...readings: Partial<typeof reading & { payload: Uint8Array; properties: Uint8Array }>[]
): string[] {
  const lines = new TerminalLines(false);
  return readings.map((one) => {
    const json = readingJson({ ...reading, ...one });
    return lines.line(json, 80, reading.wallMs + 2_000).replace(/^\d\d:\d\d:\d\d {2}/, "");
  });
}

Deno.test("tail: on a terminal values stand below each other, each in its kind", () => {
  const payloads = [
    " 21.5\n",
    '{ "t" : 1.50,\n "s": "a \\" b" }',
    "open  door",
    "",
    "[1, 2]",
    "{broken",
    "-0x1",
  ];
  const lines = shown(
    ...payloads.map((text) => ({ payload: encoder.encode(text) })),
    { topic: encoder.encode("hall/longer/topic"), payload: new Uint8Array([255, 0]) },
    { payload: encoder.encode('{"a": 1'), truncated: true },
  );
  assert.deepEqual(lines, [
    "hall/t  21.5",
    'hall/t  {"t":1.50,"s":"a \\" b"}',
    "hall/t  open  door",
    "hall/t  (empty)",
    "hall/t  [1,2]",
    "hall/t  {broken",
    "hall/t  -0x1",
    "hall/longer/topic  base64:/wA=",
    'hall/t             {"a": 1  [truncated]',
  ]);
});

Deno.test("tail: a terminal's line is as wide as the window, and harmless", () => {
  for (
    const payload of [
      "x".repeat(5_000),
      "\x1b".repeat(60),
      "\x1b".repeat(30),
      "😀".repeat(60),
      "\x1b[2J😀".repeat(12),
    ]
  ) {
    const [line] = shown({ payload: encoder.encode(payload), retain: true });
    assert.ok(line!.length + 10 <= 80, `${line!.length}: ${line}`);
    assert.ok(line!.length + 10 >= 76, `${line!.length}: ${line}`);
    assert.ok(line!.isWellFormed(), line);
    assert.match(line!, /… \([\d.]+ (bytes|KiB)\) {2}\[retained, age unknown\]$/);
    // deno-lint-ignore no-control-regex
    assert.ok(!/[\x00-\x1f]/.test(line!), line);
  }
  const [line] = shown({ topic: encoder.encode(`${"t".repeat(200)}\x1b]0;x\x07`) });
  assert.match(line!, /t\\x1b\]0;x\\x07 {2}21\.5$/);
});

Deno.test("tail: a terminal's line says how old a reading is that is not of just now", () => {
  const ago = (ms: number) => new Date(reading.wallMs - ms).toISOString();
  const own = (time: unknown) => encoder.encode(JSON.stringify({ value: 1, ...time as object }));
  const connected = encodeNumberProperty(propertyTypes.lastConnectedMs, reading.wallMs - 3 * 3_600_000, 8);
  const lines = shown(
    { payload: own({ time: ago(600_000) }) },
    { payload: own({ age_s: 3_600 }), retain: true },
    { payload: own({ time: ago(1_000) }) },
    { payload: own({ time: "yesterday" }) },
    { queued: true, properties: connected },
    { queued: true },
    { wallMs: reading.wallMs - 60_000 },
  ).map((line) => /\[(.*)\]$/.exec(line)?.[1]);
  assert.deepEqual(lines, [
    "10 min old",
    "retained, 60 min old",
    undefined,
    undefined,
    "queued, at most 3 h old",
    "queued",
    "62 s old",
  ]);
});

Deno.test("tail: on a terminal the topic is dim, the value bright, a mark yellow", () => {
  const json = readingJson({ ...reading, retain: true });
  const line = new TerminalLines(true).line(json, 80, reading.wallMs);
  assert.ok(
    line.endsWith("  \x1b[2mhall/t\x1b[0m  \x1b[1m21.5\x1b[0m\x1b[33m  [retained, age unknown]\x1b[0m"),
    JSON.stringify(line),
  );
});
