import assert from "node:assert/strict";
import fc from "fast-check";
import { BulkEncoder } from "../../agent/shipper/bulk_encoder.ts";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { indexAt, nameFault, patternFault } from "../../agent/shipper/index_pattern.ts";
import { hostileOutgoing } from "./document_generated.ts";
import { arrivalMs, makeOutgoing } from "./shipper_fixture.ts";

const facts = { hostName: "vigo", hostIp: "10.8.0.6", labels: { plant: "vigo" }, topicPattern: undefined };
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

interface Item {
  index: string;
  id: string;
  document: Record<string, unknown>;
}

/** What a server reads in a body; throws when it is not what a bulk request is made of. */
function parseBody(body: Uint8Array): Item[] {
  const lines = strict.decode(body).split("\n");
  assert.equal(lines.pop(), "");
  assert.equal(lines.length % 2, 0);
  const items: Item[] = [];
  for (let at = 0; at < lines.length; at += 2) {
    const { create } = JSON.parse(lines[at]!) as { create: { _index: string; _id: string } };
    items.push({
      index: create._index,
      id: create._id,
      document: JSON.parse(lines[at + 1]!) as Item["document"],
    });
  }
  return items;
}

const numbered = (
  count: number,
  parts: (at: number) => Parameters<typeof makeOutgoing>[0] = () => ({}),
): Outgoing[] => Array.from({ length: count }, (_, at) => makeOutgoing({ sequence: at + 1, ...parts(at) }));

Deno.test("bulk: each reading is one line with index and id and one with the document", () => {
  const batch = numbered(3, (at) => ({ wallMs: arrivalMs + at * 86_400_000, segmentId: `${at}`.repeat(16) }));
  const { body, count, indices } = new BulkEncoder(facts).encode(batch, 0, 1e6);
  const items = parseBody(body);
  assert.equal(count, 3);
  assert.deepEqual(indices, ["mqtt-2026.01.02", "mqtt-2026.01.03", "mqtt-2026.01.04"]);
  assert.deepEqual(items.map((item) => item.index), indices);
  assert.deepEqual(items.map((item) => item.id), [
    "0000000000000000-1",
    "1111111111111111-2",
    "2222222222222222-3",
  ]);
  assert.deepEqual(
    items.map((item) => (item.document["event"] as { id: string }).id),
    items.map((item) => item.id),
  );
});

Deno.test("bulk: each segment's readings have its id, in the same index too", () => {
  const segments = ["a", "a", "b", "a"].map((letter) => letter.repeat(16));
  const { body } = new BulkEncoder(facts).encode(numbered(4, (at) => ({ segmentId: segments[at]! })), 0, 1e6);
  const items = parseBody(body);
  assert.deepEqual(items.map((item) => item.id), segments.map((segment, at) => `${segment}-${at + 1}`));
  assert.deepEqual(
    items.map((item) => (item.document["event"] as { id: string }).id),
    items.map((item) => item.id),
  );
});

Deno.test("bulk: a body holds as many readings as fit, and always one", () => {
  const batch = numbered(100);
  const encoder = new BulkEncoder(facts);
  const oneBytes = encoder.encodeOne(batch[0]!).length;
  let from = 0;
  const counts: number[] = [];
  while (from < batch.length) {
    const part = encoder.encode(batch, from, oneBytes * 30);
    assert.ok(part.body.length <= oneBytes * 30);
    assert.equal(parseBody(part.body).length, part.count);
    from += part.count;
    counts.push(part.count);
  }
  assert.equal(counts.length, 4);
  assert.equal(encoder.encode(batch, 5, 1).count, 1);
  assert.equal(parseBody(encoder.encode(batch, 5, 1).body)[0]!.id, "0123456789abcdef-6");
});

Deno.test("bulk: targets change in the middle of a batch, times go back and forth", () => {
  const hourMs = 3_600_000;
  const batch = [
    makeOutgoing({ sequence: 1, wallMs: arrivalMs }),
    makeOutgoing({ sequence: 2, wallMs: arrivalMs - 24 * hourMs }),
    makeOutgoing({ sequence: 3, wallMs: arrivalMs }),
    makeOutgoing({ sequence: 4, wallMs: arrivalMs }, { target: "plant-%Y.%m.%d-%H" }),
    makeOutgoing({ sequence: 5, wallMs: arrivalMs + hourMs }, { target: "plant-%Y.%m.%d-%H" }),
    makeOutgoing({ sequence: 6 }, { target: "a-data-stream" }),
  ];
  assert.deepEqual(new BulkEncoder(facts).encode(batch, 0, 1e6).indices, [
    ...["mqtt-2026.01.02", "mqtt-2026.01.01", "mqtt-2026.01.02"],
    ...["plant-2026.01.02-03", "plant-2026.01.02-04", "a-data-stream"],
  ]);
});

Deno.test("bulk: a reading that can't be encoded is named and holds up no other", () => {
  const broken = makeOutgoing({ sequence: 2 });
  Object.defineProperty(broken.reading, "payload", { get: () => assert.fail("on purpose") });
  const batch = [makeOutgoing({ sequence: 1 }), broken, makeOutgoing({ sequence: 3 })];
  const encoder = new BulkEncoder(facts);
  const before = encoder.encode(batch, 0, 1e6);
  assert.deepEqual([before.count, before.unfit], [1, undefined]);
  const itself = encoder.encode(batch, 1, 1e6);
  assert.deepEqual([itself.count, itself.unfit, itself.body.length], [1, "on purpose", 0]);
  assert.deepEqual(parseBody(encoder.encode(batch, 2, 1e6).body).map((item) => item.id), [
    "0123456789abcdef-3",
  ]);
});

Deno.test("bulk: whatever payload, topic and properties are, the lines are JSON with the right ids", () => {
  const encoder = new BulkEncoder(facts);
  fc.assert(
    fc.property(
      fc.array(hostileOutgoing, { minLength: 1, maxLength: 5 }),
      fc.nat({ max: 2 ** 50 }),
      (batch, from) => {
        const readings = batch.map((one, at) => ({
          ...one,
          reading: { ...one.reading, sequence: from + at },
        }));
        const { body, count } = encoder.encode(readings, 0, 1e9);
        assert.equal(count, batch.length);
        for (const [at, { id, index, document }] of parseBody(body).entries()) {
          assert.equal(id, `0123456789abcdef-${from + at}`);
          const timestamp = String(document["@timestamp"]);
          assert.equal(new Date(timestamp).toISOString(), timestamp);
          assert.equal(index, `mqtt-${timestamp.slice(0, 10).replaceAll("-", ".")}`);
          const kinds = ["value", "text", "payload", "payload_base64"].filter((key) => key in document);
          assert.ok(kinds.length > 0, "something of the payload is there");
          assert.equal(
            document["topic"],
            new TextDecoder("utf-8", { ignoreBOM: true }).decode(readings[at]!.reading.topic),
          );
        }
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("bulk: text and bytes come through unchanged", () => {
  const encoder = new BulkEncoder(facts);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => {
      const { document } = parseBody(encoder.encodeOne(makeOutgoing({ payload })))[0]!;
      const { text, value, payload_base64: base64 } = document;
      if (typeof base64 === "string") assert.deepEqual(Uint8Array.fromBase64(base64), payload);
      else if (typeof text === "string") assert.deepEqual(new TextEncoder().encode(text), payload);
      else if (value !== undefined) assert.equal(value, Number(new TextDecoder().decode(payload)));
      else assert.deepEqual(document["payload"], JSON.parse(new TextDecoder().decode(payload)));
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("bulk: patterns make index names by the UTC time", () => {
  const at = (pattern: string, ...time: [number, number, number, number?]) =>
    indexAt(pattern, Date.UTC(...time));
  assert.equal(at("mqtt-%Y.%m.%d", 2026, 0, 2, 23), "mqtt-2026.01.02");
  assert.equal(at("mqtt-%Y.%m", 2026, 10, 2), "mqtt-2026.11");
  assert.equal(at("mqtt-%Y-%j-%H", 2024, 11, 31, 7), "mqtt-2024-366-07");
  assert.equal(at("mqtt-%Gw%V", 2027, 0, 3), "mqtt-2026w53");
  assert.equal(at("mqtt-%Gw%V", 2027, 0, 4), "mqtt-2027w01");
  assert.equal(at("mqtt-%Gw%V", 2024, 11, 30), "mqtt-2025w01");
  assert.equal(at("mqtt", 2026, 0, 1), "mqtt");
});

Deno.test("bulk: patterns and names that Elasticsearch would refuse are found before", () => {
  for (const pattern of ["mqtt-%Y.%m.%d", "mqtt", "planta.ñ-%Y", "a%d"]) {
    assert.equal(patternFault(pattern), undefined);
  }
  const faults: Record<string, RegExp> = {
    "": /no name before/,
    "%Y.%m": /no name before/,
    "-%Y": /no name before/,
    "Mqtt-%Y": /capital/,
    "mqtt %Y": /contains " "/,
    "mqtt/%Y": /contains "\/"/,
    "mqtt-%M": /contains "%M"; allowed are %Y/,
    "mqtt-%": /contains "%"/,
    "mqtt-%%": /contains "%%"/,
    "_mqtt": /begins with "_"/,
    ".mqtt": /begins with "\."/,
    "mqtt-*": /contains "\*"/,
    "mqtt\n": /contains "\\n"/,
  };
  for (const [pattern, fault] of Object.entries(faults)) {
    assert.match(patternFault(pattern) ?? "none", fault, pattern);
  }
  assert.match(nameFault("n".repeat(256)) ?? "", /255 bytes/);
  assert.match(nameFault("mqtt-%Y") ?? "", /contains "%"/);
});

Deno.test("bulk: in whatever order topics, times, segments and marks come, each document has its own", () => {
  const reading = fc.record({
    // "AB" and "B#" have the same hash; the long ones are not remembered
    topic: fc.constantFrom(
      "AB",
      "B#",
      "hall/press/temperature",
      "hall/press/temperaturf",
      "\n".repeat(60_000),
    ),
    wallMs: fc.integer({ min: arrivalMs, max: arrivalMs + 3_000 }),
    segmentId: fc.constantFrom("0123456789abcdef", "fedcba9876543210"),
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    retain: fc.boolean(),
  });
  const more = fc.record({
    mark: fc.constantFrom("synced" as const, "queued" as const, "unsynced" as const),
    startMs: fc.option(fc.integer({ min: arrivalMs - 3_000, max: arrivalMs }), { nil: undefined }),
  });
  const batches = fc.array(fc.tuple(reading, more), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(batches, (parts) => {
      const batch = parts.map(([one, rest]) => makeOutgoing(one, rest));
      const { body } = new BulkEncoder(facts).encode(batch, 0, Infinity);
      const lines = new TextDecoder().decode(body).split("\n");
      for (const [at, [one, { mark, startMs }]] of parts.entries()) {
        const document = JSON.parse(lines[2 * at + 1]!);
        const iso = (ms: number) => new Date(ms).toISOString();
        const start = startMs === undefined ? {} : { start: iso(startMs) };
        const { sequence } = batch[at]!.reading;
        assert.deepEqual(document, {
          "@timestamp": iso(one.wallMs),
          topic: one.topic,
          host: document.host,
          labels: document.labels,
          value: document.value,
          mqtt: { qos: one.qos, retain: one.retain },
          event: {
            created: iso(one.wallMs),
            ...start,
            clock: mark,
            id: `${one.segmentId}-${sequence}`,
            sequence,
          },
        });
      }
    }),
    { numRuns: 100 },
  );
});
