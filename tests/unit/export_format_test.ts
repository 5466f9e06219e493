import assert from "node:assert/strict";
import { parse } from "csv-parse/sync";
import * as fc from "fast-check";
import { csvFormat, ndjsonFormat } from "../../agent/commands/export_format.ts";
import { TimeZone } from "../../agent/commands/time_zone.ts";
import type { StoredReading } from "../../agent/shipper/local_reader.ts";

const utc = TimeZone.named("UTC");
const reading: StoredReading = {
  id: "00a1b2c3d4e5f607-42",
  timeMs: Date.UTC(2026, 2, 29, 0, 59, 59, 999),
  arrivedMs: Date.UTC(2026, 2, 29, 1, 0, 0, 5),
  clock: "synced",
  topic: "hall/t",
  number: 21.5,
  qos: 1,
  retain: false,
  truncated: false,
};
const { number: _number, ...bare } = reading;

function csv(readings: StoredReading[], options: Partial<Parameters<typeof csvFormat>[0]> = {}): string {
  const format = csvFormat({ zone: utc, harmless: false, separator: ",", spreadsheet: false, ...options });
  return format.head + format.rows(readings);
}

function ndjson(readings: StoredReading[], zone = utc, harmless = false): string {
  return ndjsonFormat({ zone, harmless }).rows(readings);
}

/** What a CSV parser reads: by column, an absent field as undefined. */
function reread(text: string, delimiter = ","): Record<string, string | undefined>[] {
  return parse(text, {
    columns: true,
    delimiter,
    bom: true,
    record_delimiter: "\r\n",
    cast: (value, { quoting }) => value === "" && !quoting ? undefined : value,
  });
}

/** The reading that a row of CSV tells of. */
function ofRow(row: Record<string, string | undefined>): StoredReading {
  const optional: Partial<StoredReading> = {};
  if (row["value"] !== undefined) optional.number = Number(row["value"]);
  if (row["text"] !== undefined) optional.text = row["text"];
  if (row["payload"] !== undefined) optional.json = row["payload"];
  if (row["payload_base64"] !== undefined) optional.bytes = Uint8Array.fromBase64(row["payload_base64"]);
  if (row["event.start"] !== undefined) optional.startMs = Date.parse(row["event.start"]);
  if (row["mqtt.properties"] !== undefined) optional.properties = row["mqtt.properties"];
  return {
    id: row["event.id"]!,
    timeMs: Date.parse(row["@timestamp"]!),
    arrivedMs: Date.parse(row["event.created"]!),
    clock: row["event.clock"] as StoredReading["clock"],
    topic: row["topic"]!,
    qos: Number(row["mqtt.qos"]) as StoredReading["qos"],
    retain: row["mqtt.retain"] === "true",
    truncated: row["mqtt.truncated"] === "true",
    ...optional,
  };
}

Deno.test("export: CSV as documented: header, CRLF, points in numbers, absent and empty told apart", () => {
  const startMs = Date.UTC(2026, 2, 1);
  const properties = '{"content_type":"text/plain"}';
  assert.equal(
    csv([
      reading,
      { ...bare, text: "", retain: true },
      { ...bare, topic: 'a;"b"', json: '{"t": 1.50}', startMs, clock: "queued", qos: 2, properties },
      { ...bare, bytes: new Uint8Array([0xff, 0]), truncated: true },
      { ...bare, number: 12345678901234567000, text: "12345678901234567890" },
    ]),
    [
      "@timestamp,topic,value,text,payload,payload_base64,event.clock,event.created,event.start,event.id,mqtt.qos," +
      "mqtt.retain,mqtt.truncated,mqtt.properties",
      "2026-03-29T00:59:59.999Z,hall/t,21.5,,,,synced,2026-03-29T01:00:00.005Z,,00a1b2c3d4e5f607-42,1,false,false,",
      '2026-03-29T00:59:59.999Z,hall/t,,"",,,synced,2026-03-29T01:00:00.005Z,,00a1b2c3d4e5f607-42,1,true,false,',
      '2026-03-29T00:59:59.999Z,"a;""b""",,,"{""t"": 1.50}",,queued,2026-03-29T01:00:00.005Z,' +
      '2026-03-01T00:00:00.000Z,00a1b2c3d4e5f607-42,2,false,false,"{""content_type"":""text/plain""}"',
      "2026-03-29T00:59:59.999Z,hall/t,,,,/wA=,synced,2026-03-29T01:00:00.005Z,,00a1b2c3d4e5f607-42,1,false,true,",
      "2026-03-29T00:59:59.999Z,hall/t,12345678901234567000,12345678901234567890,,,synced," +
      "2026-03-29T01:00:00.005Z,,00a1b2c3d4e5f607-42,1,false,false,",
      "",
    ].join("\r\n"),
  );
  assert.match(csv([], { separator: ";" }), /^@timestamp;topic;value;[^\r\n]*\r\n$/);
});

Deno.test("export: NDJSON as documented: fields of the documents, JSON as it was published", () => {
  const lines = ndjson([
    reading,
    {
      ...bare,
      json: '{"t": 1.50,\r\n"id":12345678901234567890}',
      clock: "queued",
      startMs: 0,
      truncated: true,
      properties: '{"user_properties":{"unit":"°C"},"content_type":"x"}',
    },
    { ...bare, text: "a\nb\u2028" },
    { ...bare, bytes: new Uint8Array([0xff]) },
  ], TimeZone.named("Europe/Madrid")).split("\n");
  const event =
    '"event":{"clock":"synced","created":"2026-03-29T03:00:00.005+02:00","id":"00a1b2c3d4e5f607-42"}';
  const start = '{"@timestamp":"2026-03-29T01:59:59.999+01:00","topic":"hall/t"';
  const mqtt = '"mqtt":{"qos":1,"retain":false}';
  assert.deepEqual(lines, [
    `${start},"value":21.5,${mqtt},${event}}`,
    `${start},"payload":{"t": 1.50,  "id":12345678901234567890},"mqtt":{"qos":1,"retain":false,"truncated":true,` +
    '"user_properties":{"unit":"°C"},"content_type":"x"},"event":{"clock":"queued",' +
    '"created":"2026-03-29T03:00:00.005+02:00","start":"1970-01-01T01:00:00.000+01:00","id":"00a1b2c3d4e5f607-42"}}',
    `${start},"text":"a\\nb\u2028",${mqtt},${event}}`,
    `${start},"payload_base64":"/w==",${mqtt},${event}}`,
    "",
  ]);
});

const hostile = [
  "",
  " ",
  "\ufeffx",
  '"',
  '""',
  ',";|\t',
  "\r",
  "\n",
  "\r\n",
  'a"\r\n"b',
  "\0",
  "a\0b",
  "=cmd|' /C calc'!A0",
  "@SUM(1)",
  "-2+3",
  "+1",
  "'",
  "\\",
  '\\"',
  "😀é漢",
  "\u2028\u2029\u0085",
  "\x1b[2J",
  "\u202e",
  "#",
  "x".repeat(10_000),
];
const texts = fc.oneof(
  fc.constantFrom(...hostile),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: fc.constantFrom('"', "\r", "\n", ",", ";", "\t", "|", "=", " ", "\0", "a") }),
);
const topics = texts.filter((text) => text !== "");
/** Numbers that SQLite keeps: no NaN, no infinity, one zero. */
const numbers = fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0);
const payloads = fc.oneof<fc.Arbitrary<Partial<StoredReading>>[]>(
  numbers.map((number) => ({ number })),
  texts.map((text) => ({ text })),
  fc.json().map((json) => ({ json })),
  fc.dictionary(texts, fc.oneof(texts, numbers)).map((object) => ({ json: JSON.stringify(object, null, 2) })),
  fc.uint8Array().map((bytes) => ({ bytes })).filter(({ bytes }) => bytes.length > 0),
  fc.record({ number: numbers, text: texts }),
);
const readings = fc.record({
  payload: payloads,
  topic: topics,
  timeMs: fc.integer({ min: 0, max: 253402300799999 }),
  startMs: fc.option(fc.integer({ min: 0, max: 253402300799999 }), { nil: undefined }),
  qos: fc.constantFrom<StoredReading["qos"][]>(0, 1, 2),
  retain: fc.boolean(),
  truncated: fc.boolean(),
  properties: fc.option(fc.dictionary(texts, texts), { nil: undefined }),
}).map(({ payload, startMs, properties, ...rest }): StoredReading => ({
  ...bare,
  ...rest,
  ...payload,
  ...(startMs === undefined ? {} : { startMs }),
  ...(properties === undefined ? {} : { properties: JSON.stringify({ user_properties: properties }) }),
}));
const zones = fc.constantFrom("UTC", "Europe/Madrid", "Asia/Kathmandu").map((name) => TimeZone.named(name));

Deno.test("export: a CSV parser reads back exactly what was stored, however hostile it is", () => {
  const separators = fc.constantFrom(",", ";", "\t", "|", "'", " ", "=", "/", "_");
  fc.assert(
    fc.property(fc.array(readings, { maxLength: 8 }), separators, zones, (list, separator, zone) => {
      const rows = reread(csv(list, { separator, zone }), separator);
      assert.deepEqual(rows.map(ofRow), list);
    }),
    { numRuns: 300 },
  );
  for (const separator of ["/", "_", " "]) {
    const list = [reading, { ...bare, text: `a${separator}b`, topic: `c${separator}` }, reading];
    assert.deepEqual(reread(csv(list, { separator }), separator).map(ofRow), list);
  }
  for (const text of [...hostile, '"x\n'.repeat(300_000)]) {
    const list = [{ ...bare, text, topic: text || "t" }, reading];
    assert.deepEqual(reread(csv(list)).map(ofRow), list);
  }
});

Deno.test("export: JSON.parse reads back exactly what was stored, however hostile it is", () => {
  fc.assert(
    fc.property(fc.array(readings, { maxLength: 8 }), zones, (list, zone) => {
      const lines = ndjson(list, zone).split("\n");
      assert.equal(lines.pop(), "");
      assert.deepEqual(lines.map((line) => ofLine(JSON.parse(line))), list.map(normal));
    }),
    { numRuns: 300 },
  );
});

/** A reading with its JSON parsed, so that blanks don't count. */
function normal({ json, properties, ...rest }: StoredReading): unknown {
  const user = properties === undefined ? undefined : JSON.parse(properties).user_properties;
  return { ...rest, json: json === undefined ? undefined : JSON.parse(json), user };
}

interface Line {
  "@timestamp": string;
  topic: string;
  value?: number;
  text?: string;
  payload?: unknown;
  payload_base64?: string;
  mqtt: { qos: number; retain: boolean; truncated?: boolean; user_properties?: unknown };
  event: { created: string; start?: string; id: string };
}

function ofLine(line: Line): unknown {
  const { mqtt, event } = line;
  return {
    ...bare,
    id: event.id,
    timeMs: Date.parse(line["@timestamp"]),
    arrivedMs: Date.parse(event.created),
    topic: line.topic,
    ...("value" in line ? { number: line.value } : {}),
    ...("text" in line ? { text: line.text } : {}),
    ...(line.payload_base64 === undefined ? {} : { bytes: Uint8Array.fromBase64(line.payload_base64) }),
    ...(event.start === undefined ? {} : { startMs: Date.parse(event.start) }),
    json: line.payload,
    qos: mqtt.qos,
    retain: mqtt.retain,
    truncated: mqtt.truncated ?? false,
    user: mqtt.user_properties,
  };
}

Deno.test("export: half a surrogate pair survives in NDJSON", () => {
  const [line] = ndjson([{ ...bare, text: "a\ud800b", topic: "\udc00" }]).split("\n");
  const { text, topic } = JSON.parse(new TextDecoder().decode(new TextEncoder().encode(line)));
  assert.deepEqual([text, topic], ["a\ud800b", "\udc00"]);
});

Deno.test("export: for a spreadsheet there is a byte order mark, and no text that it would calculate", () => {
  const formulas = ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "＝1"];
  const list: StoredReading[] = [
    ...formulas.map((text) => ({ ...bare, text, topic: text })),
    { ...bare, number: -2.5 },
  ];
  const text = csv(list, { spreadsheet: true, separator: ";" });
  assert.ok(text.startsWith("\ufefftimestamp;topic;"));
  const rows = reread(text, ";");
  assert.deepEqual(rows.map((row) => row["text"] ?? row["value"]), [
    ...formulas.map((one) => `'${one}`),
    "-2.5",
  ]);
  assert.deepEqual(rows.map((row) => row["topic"]), [...formulas.map((one) => `'${one}`), "hall/t"]);
  assert.match(csv(list), /,-1,/, "without it everything is exact");
});

Deno.test("export: a terminal obeys nothing of what it is shown", () => {
  const evil = "\x1b]0;x\x07\u009b2J\u202e\r\n";
  const list: StoredReading[] = [{ ...bare, text: evil, topic: evil, properties: JSON.stringify({ evil }) }];
  // deno-lint-ignore no-control-regex
  const obeyed = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/;
  assert.ok(!obeyed.test(csv(list, { harmless: true }).replaceAll("\r\n", "")));
  const line = ndjson(list, utc, true);
  assert.ok(!obeyed.test(line));
  assert.equal(JSON.parse(line).text, evil, "and JSON is still exact");
});

Deno.test("export: what another program wrote into the store as JSON and is none stays readable", () => {
  const [line] = ndjson([{ ...bare, json: "{broken\n", properties: "[" }]).split("\n");
  const { payload, mqtt } = JSON.parse(line!);
  assert.deepEqual([payload, mqtt.properties], ["{broken\n", "["]);
});
