/** FORMAT.md is true, and records come back as they were written. */
import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { recordBytesMax } from "../../agent/limits.ts";
import {
  checksumSeed,
  decodeHeader,
  encodeHeader,
  headerBytes,
  kinds,
  parseSegmentName,
  segmentName,
} from "../../agent/spool/format.ts";
import { encodeUserProperty, findNumberProperty, propertyTypes } from "../../agent/spool/properties.ts";
import { ReadingDecoder } from "../../agent/spool/reading_decoder.ts";
import { RecordBatch } from "../../agent/spool/record_batch.ts";
import { SegmentScanner } from "../../agent/spool/segment_scanner.ts";
import type { Arrival, IncomingReading, Reading } from "../../agent/spool/spool_types.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { copyOf } from "../lab/readings.ts";
import { arrival, message, message2 } from "./spool_setup.ts";

const identity = { number: 42, firstSequence: 77160, id: "9c1e5b0a7d3f2e64" };
const document = Deno.readTextFileSync(new URL("../../agent/spool/FORMAT.md", import.meta.url));

/** The bytes of the example in FORMAT.md. */
function exampleBytes(): Uint8Array {
  const lines = document.match(/^[0-9a-f]{4} {2}[0-9a-f]{2}.*$/gm)!;
  return Uint8Array.from(lines.flatMap((line) => line.slice(6).split(" ").map((hex) => parseInt(hex, 16))));
}

/** The example as this version writes it. */
function writtenExample(): Uint8Array {
  const batch = new RecordBatch();
  const topic = new TextEncoder().encode("vigo/t1");
  const properties = encodeUserProperty(new TextEncoder().encode("unit"), new TextEncoder().encode("C"));
  const queued = { ...arrival, queued: true, lastConnectedMs: Date.UTC(2026, 0, 2, 3, 0, 0) };
  batch.addControl(kinds.held, 77160, 3, 0, [7, 258]);
  batch.addReading(77160, 3, message2("21.5", 9, { topic, properties, retain: true }), arrival);
  batch.addControl(kinds.release, 77161, 3, 7);
  batch.addReading(77161, 3, message("21.6", { topic, packetId: 10 }), queued);
  batch.addControl(kinds.forget, 77162, 4, 0);
  return Uint8Array.of(...encodeHeader(identity), ...batch.sealed(checksumSeed(identity.id)));
}

Deno.test("format: the example in FORMAT.md is what is written", () => {
  assert.deepEqual(exampleBytes(), writtenExample());
  assert.ok(
    document.includes(segmentName(identity)) && document.includes(recordBytesMax.toLocaleString("en")),
  );
});

Deno.test("format: a reader made from FORMAT.md alone finds in the example what its tables say", () => {
  const bytes = exampleBytes();
  const view = new DataView(bytes.buffer);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const text = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to));
  assert.equal(text(1, 8), "SLSPOOL");
  assert.equal(view.getUint32(40, true), crc32(bytes.subarray(0, 40)));
  const records: unknown[][] = [];
  for (let at = view.getUint32(12, true); at < bytes.length; at += 12 + view.getUint32(at + 8, true)) {
    const end = at + 12 + view.getUint32(at + 8, true);
    const seeded = new Uint8Array([...bytes.subarray(32, 40), ...bytes.subarray(at + 8, end)]);
    assert.equal(view.getUint32(at + 4, true), crc32(seeded));
    const topicEnd = at + 68 + view.getUint16(at + 26, true);
    const payloadAt = topicEnd + view.getUint32(at + 28, true);
    records.push([
      at,
      u64(at + 12),
      view.getUint16(at + 24, true),
      view.getUint32(at + 32, true),
      text(at + 68, topicEnd),
    ]);
    if (view.getUint16(at + 20, true) !== 1) continue;
    assert.deepEqual([u64(at + 52), new Date(u64(at + 60)).toISOString()], [
      3_600_123,
      "2026-01-02T03:04:05.678Z",
    ]);
    records.push([
      text(payloadAt, end),
      view.getUint16(at + 22, true).toString(2),
      view.getUint16(topicEnd, true),
    ]);
  }
  assert.deepEqual(records, [
    [44, 77160, 0, 3, ""],
    [116, 77160, 9, 3, "vigo/t1"],
    ["21.5", "10000110", 1],
    [208, 77161, 7, 3, ""],
    [276, 77161, 10, 3, "vigo/t1"],
    ["21.6", "10100001", 6],
    [369, 77162, 0, 4, ""],
  ]);
  for (const row of records.filter((record) => typeof record[0] === "number")) {
    assert.ok(document.includes(`| ${row.slice(0, 4).join(" | ")} |`), `the table says ${row}`);
  }
});

Deno.test("format: names and headers come back as they were; anything else is not taken for one", () => {
  const identities = fc.record({
    number: fc.integer({ min: 1, max: 2 ** 40 }),
    firstSequence: fc.integer({ min: 1, max: 2 ** 52 }),
    id: fc.stringMatching(/^[0-9a-f]{16}$/),
  }, { noNullPrototype: true });
  fc.assert(fc.property(identities, (one) => {
    assert.deepEqual(parseSegmentName(segmentName(one)), one);
    assert.deepEqual(decodeHeader(encodeHeader(one)), { kind: "whole", identity: one, headerBytes });
  }));
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      (bytes) => assert.equal(decodeHeader(bytes).kind, "damaged"),
    ),
  );
  for (
    const name of [
      "",
      "a.seg",
      "00000000-0000000000000001-9c1e5b0a7d3f2e64.seg",
      `${segmentName(identity)}.bad`,
    ]
  ) {
    assert.equal(parseSegmentName(name), undefined);
  }
  const newer = encodeHeader(identity, { major: 3, minor: 1, moreBytes: 8 });
  assert.deepEqual(decodeHeader(newer), { kind: "newer", major: 3, minor: 1 });
});

Deno.test("format: any readings come back as they were given", () => {
  const readings = fc.record({
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
    duplicate: fc.boolean(),
    truncated: fc.boolean(),
    packetId: fc.integer({ min: 0, max: 65_535 }),
    topic: fc.uint8Array({ maxLength: 60 }),
    payload: fc.uint8Array({ maxLength: 300 }),
    properties: fc.uint8Array({ maxLength: 40 }),
  });
  const arrivals = fc.record({
    wallMs: fc.nat(2 ** 48),
    bootMs: fc.nat(2 ** 40),
    bootId: fc.stringMatching(/^[0-9a-f]{32}$/),
    synchronised: fc.constantFrom("yes", "no", "unknown"),
    queued: fc.boolean(),
    lastConnectedMs: fc.option(fc.nat(2 ** 45), { nil: undefined }),
  });
  const batch = new RecordBatch();
  fc.assert(fc.property(fc.array(fc.tuple(readings, arrivals), { minLength: 1, maxLength: 20 }), (given) => {
    batch.clear();
    given.forEach(([reading, at], i) =>
      batch.addReading(i + 1, 0, reading as IncomingReading, at as Arrival)
    );
    const back = decodeAll(batch.sealed(checksumSeed(identity.id)));
    assert.equal(back.length, given.length);
    given.forEach(([reading, at], i) => {
      const { properties, ...rest } = copyOf(back[i]!);
      const { lastConnectedMs, ...circumstances } = at;
      const { properties: given, ...others } = reading;
      assert.deepEqual(rest, { segmentId: identity.id, sequence: i + 1, ...others, ...circumstances });
      assert.deepEqual(properties.slice(0, given.length), given);
      const added = properties.subarray(given.length);
      assert.equal(
        findNumberProperty(added, propertyTypes.lastConnectedMs),
        at.queued ? lastConnectedMs : undefined,
      );
    });
  }));
});

Deno.test("format: a batch may be of any size and is used again", () => {
  const batch = new RecordBatch();
  for (const sizes of [[10, 3_000_000, 0, 70_000, 1], [5], []]) {
    batch.clear();
    sizes.forEach((size, i) =>
      batch.addReading(i + 1, 0, message("", { payload: new Uint8Array(size).fill(i) }), arrival)
    );
    const back = decodeAll(batch.sealed(checksumSeed(identity.id)));
    assert.deepEqual(back.map((reading) => reading.payload.length), sizes);
    assert.ok(back.every((reading, i) => reading.payload.every((byte) => byte === i)));
    assert.equal(batch.readings, sizes.length);
  }
});

Deno.test("format: an arrival that changes in place is seen", () => {
  const batch = new RecordBatch();
  const changing = { ...arrival };
  batch.addReading(1, 0, message("a"), changing);
  changing.wallMs += 5;
  batch.addReading(2, 0, message("b"), changing);
  changing.bootId = "a".repeat(32);
  changing.synchronised = "no";
  batch.addReading(3, 0, message("c"), changing);
  const back = decodeAll(batch.sealed(checksumSeed(identity.id)));
  assert.deepEqual(
    back.map(({ wallMs, bootId, synchronised }) => [wallMs - arrival.wallMs, bootId[0], synchronised]),
    [
      [0, "0", "yes"],
      [5, "0", "yes"],
      [5, "a", "no"],
    ],
  );
});

function decodeAll(records: Uint8Array): Reading[] {
  const files = new FakeFiles();
  files.makeFolder("/d");
  const file = files.open("/d/a", "create");
  file.append(records);
  const scanner = new SegmentScanner(file, checksumSeed(identity.id), 0, records.length);
  const decoder = new ReadingDecoder();
  const readings: Reading[] = [];
  while (scanner.next()) {
    readings.push(decoder.decode(scanner.bytes, scanner.view, scanner.at, scanner.length, identity.id));
  }
  return readings;
}
