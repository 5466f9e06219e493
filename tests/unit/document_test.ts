import assert from "node:assert/strict";
import { BulkEncoder } from "../../agent/shipper/bulk_encoder.ts";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { parseTopicPattern } from "../../agent/shipper/topic_labels.ts";
import {
  encodeNumberProperty,
  encodeProperty,
  encodeUserProperty,
  propertyTypes,
} from "../../agent/spool/properties.ts";
import { arrivalMs, bytes, encoder, makeOutgoing, type ReadingParts } from "./shipper_fixture.ts";

type Document = Record<string, unknown>;
const facts = { hostName: "vigo", hostIp: "10.8.0.6", labels: { plant: "vigo" }, topicPattern: undefined };

/** The document of a reading as Elasticsearch would see it. */
function documentOf(
  outgoing: Outgoing,
  encoderFacts: ConstructorParameters<typeof BulkEncoder>[0] = facts,
): Document {
  const lines = new TextDecoder("utf-8", { fatal: true }).decode(
    new BulkEncoder(encoderFacts).encodeOne(outgoing),
  );
  const [, document, rest] = lines.split("\n");
  assert.equal(rest, "");
  return JSON.parse(document!) as Document;
}

const of = (payload: string | Uint8Array, parts: ReadingParts = {}) =>
  documentOf(makeOutgoing({ ...parts, payload }));
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

Deno.test("document: a number payload has the fields of the README", () => {
  assert.deepEqual(of("21.5"), {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    topic: "hall/press/temperature",
    host: { name: "vigo", ip: "10.8.0.6" },
    labels: { plant: "vigo" },
    value: 21.5,
    mqtt: { qos: 1, retain: false },
    event: {
      created: "2026-01-02T03:04:05.678Z",
      clock: "synced",
      id: "0123456789abcdef-77",
      sequence: 77,
    },
  });
});

Deno.test("document: payloads are numbers by the grammar of JSON alone", () => {
  const numbers = {
    "21.5": 21.5,
    "-3e2": -300,
    " 7 ": 7,
    "\t\r\n-0.5E+1\n": -5,
    "0": 0,
    "-0": -0,
    "1E5": 1e5,
    "1e-400": 0,
  };
  for (const [payload, value] of Object.entries(numbers)) {
    const { value: got, text } = of(payload);
    assert.deepEqual([got, text], [value, undefined], payload);
  }
  const texts = [
    "0x10",
    "1,5",
    "NaN",
    "Infinity",
    "1e400",
    "-1e400",
    "01",
    "-",
    "+1",
    ".5",
    "5.",
    "1e",
    "1e+",
    "1.e5",
    "--1",
  ];
  texts.push(
    "1 2",
    "12a",
    "",
    " ",
    "0 0",
    "\u00a05",
    "\v5",
    "5\f",
    "１",
    "1_000",
    "true",
    "null",
    '"5"',
    "[1]",
    "on",
  );
  for (const payload of texts) {
    const { value, text } = of(payload);
    assert.deepEqual([value, text], [undefined, payload], JSON.stringify(payload));
  }
});

Deno.test("document: a whole number beyond 2^53 is kept as text as well", () => {
  const two53 = 2 ** 53;
  assert.deepEqual([of("9007199254740993").value, of("9007199254740993").text], [two53, "9007199254740993"]);
  assert.deepEqual([of("-9007199254740993").value, of("-9007199254740993").text], [
    -two53,
    "-9007199254740993",
  ]);
  assert.deepEqual([of("9007199254740992").value, of("9007199254740992").text], [two53, undefined]);
  assert.deepEqual([of("1000000000000000").value, of("1000000000000000").text], [1e15, undefined]);
  const long = "9".repeat(300);
  assert.deepEqual([of(long).value, of(long).text], [Number(long), long]);
  const tooLong = "9".repeat(310);
  assert.deepEqual([of(tooLong).value, of(tooLong).text], [undefined, tooLong]);
});

Deno.test("document: a number of thousands of digits is written so that a parser takes it", () => {
  const { value, text } = of(`0.${"1".repeat(5_000)}`);
  assert.deepEqual([value, text], [0.1111111111111111, undefined]);
});

Deno.test("document: the numbers of a JSON object stand in values by their path, the whole in payload", () => {
  const document = of('{"t":21.5,"s":"on","deep":{"a":{"b":-1}},"list":[1,{"x":2},[3]],"n":null,"t.c":4}');
  assert.deepEqual(document["values"], { t: 21.5, "deep.a.b": -1, list: [1, 3], "list.x": 2, "t.c": 4 });
  assert.deepEqual(document["payload"], {
    t: 21.5,
    s: "on",
    deep: { a: { b: -1 } },
    list: [1, { x: 2 }, [3]],
    n: null,
    "t.c": 4,
  });
  assert.deepEqual([document["value"], document["text"]], [undefined, undefined]);
  const empty = of("{}");
  assert.deepEqual([empty["values"], empty["payload"]], [undefined, {}]);
});

Deno.test("document: what looks like an object and is none is text", () => {
  for (const payload of ["{", "{}}", "{'a':1}", '{"a":1,}', '{"a":NaN}', "{a:1}", "\ufeff{}"]) {
    assert.deepEqual([of(payload)["text"], of(payload)["payload"]], [payload, undefined], payload);
  }
});

Deno.test("document: a key that comes twice stands in the payload once", () => {
  assert.deepEqual(of('{"a":1,"a":2}')["payload"], { a: 2 });
});

Deno.test("document: names of values are cleaned of what Elasticsearch refuses", () => {
  const keys = {
    "": 1,
    " ": 2,
    ".": 3,
    "a.": 4,
    ".b": 5,
    "c..d": 6,
    "e. .f": 7,
    "\n": 8,
    "g\u0000h": 9,
    "\u3000": 10,
  };
  assert.deepEqual(of(JSON.stringify(keys))["values"], { a: 4, b: 5, "c.d": 6, "e.f": 7, "g h": 9 });
  assert.deepEqual(of('{" ":{"x":1},"a":{"":{"b":2},"c":3}}')["values"], { "a.c": 3 });
  assert.deepEqual(of('{"a\\ud800":1}')["values"], { "a\ufffd": 1 });
  assert.deepEqual(of('{"__proto__":{"x":1},"constructor":2}')["values"], {
    "__proto__.x": 1,
    constructor: 2,
  });
  assert.equal(of(JSON.stringify({ ["k".repeat(513)]: 1 }))["values"], undefined);
});

Deno.test("document: a payload that no flattened field takes is text, its numbers are found all the same", () => {
  const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
  assert.notEqual(of(nested(20))["payload"], undefined);
  for (const payload of [nested(21), nested(5_000), `{"a":${"[".repeat(30)}1${"]".repeat(30)}}`]) {
    assert.deepEqual([of(payload)["payload"], of(payload)["text"]], [undefined, payload]);
  }
  const nul = '{"a\\u0000b":1,"c":2}';
  assert.deepEqual([of(nul)["payload"], of(nul)["text"], of(nul)["values"]], [undefined, nul, {
    "a b": 1,
    c: 2,
  }]);
  const long = JSON.stringify({ ["k".repeat(30_000)]: "v" });
  assert.deepEqual([of(long)["payload"], of(long)["text"]], [undefined, long]);
});

Deno.test("document: at most 1,000 values, all numbers in the payload", () => {
  const keys = Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [`k${i}`, i]));
  const document = of(JSON.stringify(keys));
  assert.equal(Object.keys(document["values"] as Document).length, 1_000);
  assert.deepEqual(document["payload"], keys);
});

Deno.test("document: numbers in a payload that a double can't hold keep their digits", () => {
  const document = of('{"id":12345678901234567890,"big":1e400,"ok":1.25,"e":1e3}');
  assert.deepEqual(document["payload"], { id: "12345678901234567890", big: "1e400", ok: 1.25, e: 1000 });
  assert.deepEqual(document["values"], { id: 12345678901234567000, ok: 1.25, e: 1000 });
});

Deno.test("document: text is escaped byte by byte, bytes that are no text are base64", () => {
  const text = 'on "off" \\ \u0000\u001f\u007f ñ € 🌡 \u2028';
  assert.equal(of(text)["text"], text);
  for (
    const payload of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0x31, 0xff], [0x7b, 0xff, 0x7d], [0xc0, 0x80]]
  ) {
    const document = of(Uint8Array.from(payload));
    assert.deepEqual([...Uint8Array.fromBase64(document["payload_base64"] as string)], payload);
    assert.equal(document["text"], undefined);
  }
});

Deno.test("document: properties of MQTT 5", () => {
  const user = (key: string, value: string) => encodeUserProperty(bytes(key), bytes(value));
  const properties = join(
    user("unit", "°C"),
    user("site", "a"),
    user("site", "b"),
    encodeProperty(propertyTypes.contentType, bytes("text/plain")),
    encodeProperty(999, bytes("of a later agent")),
  );
  assert.deepEqual(of("1", { properties })["mqtt"], {
    qos: 1,
    retain: false,
    content_type: "text/plain",
    user_properties: { unit: "°C", site: ["a", "b"] },
  });
  const hostile = join(user("a\0b", "\0"), user("k".repeat(65_535), "x"), user("__proto__", "p"));
  const { user_properties: got } = of("1", { properties: hostile })["mqtt"] as { user_properties: Document };
  assert.deepEqual(Object.keys(got), ["a\ufffdb", "k".repeat(500), "__proto__"]);
});

Deno.test("document: a truncated reading says so, with the size and SHA-256 of the whole", () => {
  const properties = join(
    encodeNumberProperty(propertyTypes.fullSize, 5_000_000, 8),
    encodeProperty(propertyTypes.sha256, new Uint8Array(32).fill(0xab)),
  );
  const cut = encoder.encode("21.5 caña €").subarray(0, -1);
  const document = of(cut, { truncated: true, properties });
  assert.equal(document["text"], "21.5 caña ");
  assert.deepEqual(document["mqtt"], {
    ...{ qos: 1, retain: false, truncated: true },
    ...{ payload_size: 5_000_000, payload_sha256: "ab".repeat(32) },
  });
  assert.equal(of("123", { truncated: true, properties })["value"], undefined);
  assert.notEqual(
    of(Uint8Array.of(0xff, 0xc3), { truncated: true, properties })["payload_base64"],
    undefined,
  );
});

Deno.test("document: labels come from configuration and topic", () => {
  const topicPattern = parseTopicPattern("{area}/{machine}/+");
  const withLabels = { ...facts, hostIp: undefined, labels: { plant: "vigo", line: "2" }, topicPattern };
  const labels = (topic: string) => documentOf(makeOutgoing({ topic }), withLabels)["labels"];
  assert.deepEqual(labels("hall/press/t"), { plant: "vigo", line: "2", area: "hall", machine: "press" });
  assert.deepEqual(labels("hall/press"), { plant: "vigo", line: "2" });
  assert.deepEqual(labels("hall/press/t/x"), { plant: "vigo", line: "2" });
  assert.deepEqual(labels("hall//t"), { plant: "vigo", line: "2", area: "hall" });
  assert.deepEqual(documentOf(makeOutgoing(), withLabels)["host"], { name: "vigo" });
});

Deno.test("document: patterns of labels know words, + and #", () => {
  const labels = (pattern: string, topic: string) => {
    return documentOf(makeOutgoing({ topic }), {
      ...facts,
      labels: {},
      topicPattern: parseTopicPattern(pattern),
    })["labels"];
  };
  assert.deepEqual(labels("plant/{area}/#", "plant/hall"), { area: "hall" });
  assert.deepEqual(labels("plant/{area}/#", "plant/hall/x/y"), { area: "hall" });
  assert.deepEqual(labels("plant/{area}/#", "other/hall/x"), {});
});

Deno.test("document: a topic that is no UTF-8 and hash collisions of topics do no harm", () => {
  const encoderOfAll = new BulkEncoder(facts);
  const topicOf = (topic: string | Uint8Array) => {
    const lines = new TextDecoder().decode(encoderOfAll.encodeOne(makeOutgoing({ topic })));
    return (JSON.parse(lines.split("\n")[1]!) as Document)["topic"];
  };
  assert.equal(topicOf(Uint8Array.of(0x61, 0xff, 0x62)), "a\ufffdb");
  // 31 * 65 + 66 = 31 * 66 + 35: the same hash
  assert.equal(topicOf("AB"), "AB");
  assert.equal(topicOf("B#"), "B#");
  assert.equal(topicOf("AB"), "AB");
  assert.equal(topicOf("/"), "/");
  assert.equal(topicOf("t".repeat(65_535)), "t".repeat(65_535));
});

Deno.test("document: times before 1970 and after 9999 are brought into what Elasticsearch takes", () => {
  const stamp = (wallMs: number) => documentOf(makeOutgoing({ wallMs }))["@timestamp"];
  assert.equal(stamp(-1), "1970-01-01T00:00:00.000Z");
  assert.equal(stamp(Date.UTC(2026, 0, 1) + 0.7), "2026-01-01T00:00:00.000Z");
  assert.equal(stamp(Number.MAX_SAFE_INTEGER), "9999-12-31T23:59:59.999Z");
});

Deno.test("document: event.start is there for queued readings", () => {
  const startMs = arrivalMs - 60_000;
  const { event } = documentOf(makeOutgoing({ queued: true }, { mark: "queued", startMs })) as {
    event: Document;
  };
  assert.deepEqual([event["start"], event["clock"]], ["2026-01-02T03:03:05.678Z", "queued"]);
});
