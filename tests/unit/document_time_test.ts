import assert from "node:assert/strict";
import { documentTime } from "../../agent/shipper/document.ts";
import type { ClockMark, Outgoing } from "../../agent/shipper/output.ts";
import { contentOf } from "../../agent/shipper/payload_content.ts";
import { parseRfc3339 } from "../../agent/shipper/payload_time.ts";
import { BulkEncoder } from "../../agent/shipper/bulk_encoder.ts";
import { arrivalMs, bytes, makeOutgoing } from "./shipper_fixture.ts";

const dayMs = 86_400_000;

/** Time and mark of a reading with this payload. */
function timeOf(payload: object | string, mark: Outgoing["mark"] = "synced"): [number, ClockMark] {
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  const { timestampMs, clock } = documentTime(
    makeOutgoing({ payload: text }, { mark }),
    contentOf(bytes(text), false),
  );
  return [timestampMs, clock];
}

Deno.test("times: a payload with value and time brings its own time", () => {
  const timeMs = Date.UTC(2026, 0, 1, 10, 20, 30, 500);
  assert.deepEqual(timeOf({ value: 1, time: "2026-01-01T10:20:30.5Z" }), [timeMs, "payload"]);
  assert.deepEqual(timeOf({ value: 1, time: "2026-01-01T12:20:30.500+02:00" }), [timeMs, "payload"]);
  assert.deepEqual(timeOf({ value: 1, time: timeMs }), [timeMs, "payload"]);
  assert.deepEqual(timeOf({ value: 1, time: timeMs / 1_000 }), [timeMs, "payload"]);
  assert.deepEqual(timeOf({ value: "on", time: timeMs, more: [1] }), [timeMs, "payload"]);
});

Deno.test("times: the payload's own time is the first that applies, whatever the arrival rests on", () => {
  for (const mark of ["unsynced", "retained", "queued", "corrected", "synced"] as const) {
    assert.deepEqual(timeOf({ value: 1, time: arrivalMs - 1 }, mark), [arrivalMs - 1, "payload"]);
  }
});

Deno.test("times: without value, or in another form, time is a field like any other", () => {
  for (
    const payload of [{ time: arrivalMs - 1 }, { value: 1, time: null }, { value: 1, time: "yesterday" }, {
      value: 1,
    }]
  ) {
    assert.deepEqual(timeOf(payload), [arrivalMs, "synced"]);
  }
  assert.deepEqual(timeOf(`[{"value":1,"time":${arrivalMs - 1}}]`), [arrivalMs, "synced"]);
});

Deno.test("times: 400 days back and 1 day ahead are believed, more is ignored", () => {
  const at = (offsetMs: number) => timeOf({ value: 1, time: arrivalMs + offsetMs });
  assert.deepEqual(at(-400 * dayMs), [arrivalMs - 400 * dayMs, "payload"]);
  assert.deepEqual(at(-400 * dayMs - 1), [arrivalMs, "synced"]);
  assert.deepEqual(at(dayMs), [arrivalMs + dayMs, "payload"]);
  assert.deepEqual(at(dayMs + 1), [arrivalMs, "synced"]);
  assert.deepEqual(timeOf({ value: 1, time: 0 }), [arrivalMs, "synced"]);
  assert.deepEqual(timeOf('{"value":1,"time":1e400}'), [arrivalMs, "synced"]);
});

Deno.test("times: epoch times from 1e11 on are milliseconds", () => {
  const old = makeOutgoing({ payload: "", wallMs: 1e11 });
  const of = (time: number) =>
    documentTime(old, contentOf(bytes(JSON.stringify({ value: 1, time })), false)).timestampMs;
  assert.equal(of(1e11), 1e11);
  assert.equal(of(1e8 - 1), 1e11 - 1_000);
});

Deno.test("times: an age is subtracted from the arrival, from 0 to 30 days", () => {
  assert.deepEqual(timeOf({ value: 1, age_s: 1.5 }), [arrivalMs - 1_500, "payload"]);
  assert.deepEqual(timeOf({ value: 1, age_s: 0 }), [arrivalMs, "payload"]);
  assert.deepEqual(timeOf({ value: 1, age_s: 30 * 86_400 }), [arrivalMs - 30 * dayMs, "payload"]);
  for (const age of [-0.001, 30 * 86_400 + 1, "5", null]) {
    assert.deepEqual(timeOf({ value: 1, age_s: age }), [arrivalMs, "synced"], String(age));
  }
  assert.deepEqual(timeOf({ value: 1, time: "no", age_s: 2 }), [arrivalMs - 2_000, "payload"]);
});

Deno.test("times: an age rests on the arrival, and is no better than it", () => {
  assert.deepEqual(timeOf({ value: 1, age_s: 2 }, "corrected"), [arrivalMs - 2_000, "payload"]);
  for (const mark of ["unsynced", "retained", "queued"] as const) {
    assert.deepEqual(timeOf({ value: 1, age_s: 2 }, mark), [arrivalMs - 2_000, mark]);
  }
});

Deno.test("times: index and @timestamp follow the payload's time, event.created the arrival", () => {
  const facts = { hostName: "vigo", hostIp: undefined, labels: {}, topicPattern: undefined };
  const payload = JSON.stringify({ value: 7, time: "2025-12-31T23:59:59Z" });
  const lines = new TextDecoder().decode(new BulkEncoder(facts).encodeOne(makeOutgoing({ payload }))).split(
    "\n",
  );
  const [action, document] = lines.slice(0, 2).map((line) => JSON.parse(line)) as [
    { create: { _index: string } },
    { "@timestamp": string; value: number; event: { created: string; clock: string } },
  ];
  assert.equal(action.create._index, "mqtt-2025.12.31");
  assert.deepEqual([document["@timestamp"], document.value], ["2025-12-31T23:59:59.000Z", 7]);
  assert.deepEqual([document.event.created, document.event.clock], ["2026-01-02T03:04:05.678Z", "payload"]);
});

Deno.test("times: RFC 3339 and nothing else", () => {
  assert.equal(parseRfc3339("2024-02-29t23:59:60z"), Date.UTC(2024, 2, 1));
  assert.equal(parseRfc3339("2026-01-02 03:04:05-03:30"), Date.UTC(2026, 0, 2, 6, 34, 5));
  assert.equal(parseRfc3339("2026-01-02T03:04:05.9999999Z"), Date.UTC(2026, 0, 2, 3, 4, 5, 999));
  for (
    const text of [
      ...[
        "2026-01-02",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
      ],
      ...[
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:00Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05+24:00",
      ],
      ...["20260102T030405Z", "2026-01-02T03:04:05.Z", " 2026-01-02T03:04:05Z", "2026-1-2T03:04:05Z", ""],
    ]
  ) assert.equal(parseRfc3339(text), undefined, text);
});
