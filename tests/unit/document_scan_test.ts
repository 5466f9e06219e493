import assert from "node:assert/strict";
import fc from "fast-check";
import { readJsonObject } from "../../agent/shipper/json_payload.ts";
import { JsonScan } from "../../agent/shipper/json_scan.ts";
import { payload as hostilePayload } from "./document_generated.ts";
import { bytes } from "./shipper_fixture.ts";

const scan = new JsonScan();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Numbers of a payload by the scan; "parser": it is left to the parser. */
function scanned(payload: string | Uint8Array): unknown {
  if (!scan.scan(bytes(payload))) return "parser";
  return scan.values === undefined ? undefined : JSON.parse(text.decode(scan.values));
}

/** Whatever the scan takes is an object, and the parser finds the same numbers in it and keeps the same payload. */
function assertAgrees(payload: Uint8Array): boolean {
  const values = scanned(payload);
  if (values === "parser") return false;
  const whole = text.decode(payload);
  const parsed = readJsonObject(whole);
  assert.ok(parsed !== undefined, whole);
  assert.doesNotMatch(whole, /\n/);
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value ?? null)) as unknown; // -0 is 0
  assert.deepEqual(
    plain(values),
    plain(parsed.values === undefined ? undefined : JSON.parse(parsed.values)),
    whole,
  );
  assert.deepEqual(plain(JSON.parse(whole)), plain(JSON.parse(parsed.payload ?? "null")), whole);
  assert.equal(parsed.reading, undefined);
  return true;
}

/** Objects as sensors send them, here and there with something unusual. */
const sensorObject = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.string({ maxLength: 6 }),
    fc.string({ unit: "grapheme", maxLength: 4 }),
    fc.constantFrom(true, false, null, -0),
    tie("object"),
  ),
  object: fc.dictionary(fc.stringMatching(/^[\w.-]{0,6}$/), tie("value"), { maxKeys: 6 }),
}))["object"]!;

Deno.test("scan: what sensors send is read without the parser", () => {
  assert.deepEqual(scanned('{"t":21.50,"unit":"°C","ok":true,"off":false,"n":null}'), { t: 21.5 });
  assert.deepEqual(scanned('{ "a" : { "b" : -1 , "c" : { "d" : 0 } } ,\t"e" : 5 }'), {
    "a.b": -1,
    "a.c.d": 0,
    e: 5,
  });
  assert.deepEqual(scanned('{"s":"\\"\\\\\\/\\b\\f\\n\\r\\t","n":1}'), { n: 1 });
  assert.equal(scanned("{}"), undefined);
  assert.equal(scanned('{"a":{},"b":"x"}'), undefined);
  assert.deepEqual(scanned('{"a":{"x":1},"b":{"x":2},"x":3}'), { "a.x": 1, "b.x": 2, x: 3 });
  assert.deepEqual(scanned('{"value":21.5,"battery":3.1}'), { value: 21.5, battery: 3.1 });
});

Deno.test("scan: whatever is unusual is left to the parser", () => {
  const unusual = [
    ...[
      '{"a":1e3}',
      '{"a":1E3}',
      '{"a":1234567890123456}',
      '{"a":[1]}',
      '{"a.b":1}',
      '{"":1}',
      '{"a b":1}',
      '{"ñ":1}',
    ],
    ...[
      '{"a":1,"a":2}',
      '{"x":{"a":1,"a":2}}',
      '{"a\\u0041":1}',
      '{"a":"\\u0041"}',
      '{"a":1}\n',
      '{"a":\n1}',
      '{"a":1}x',
    ],
    ...[
      '{"value":1,"time":2}',
      '{"value":1,"age_s":2}',
      `{"a":0.${"1".repeat(40)}}`,
      `{"${"k".repeat(65)}":1}`,
    ],
    ...[
      "",
      "{",
      "}",
      "[]",
      "1",
      '{"a"}',
      '{"a":}',
      '{"a":1,}',
      '{,"a":1}',
      '{"a":1 "b":2}',
      "{a:1}",
      '{"a":01}',
      '{"a":-}',
    ],
    ...[
      '{"a":1.}',
      '{"a":.5}',
      '{"a":+1}',
      '{"a":truex}',
      '{"a":tru}',
      '{"a":nul',
      '{"a":"x}',
      '{"a":"\t"}',
      '{"a":"\\x"}',
    ],
    ...[
      '{"a":"\\',
      '{"a',
      '{"a":{"b":1}',
      `${'{"a":'.repeat(25)}1${"}".repeat(25)}`,
      '{"a":NaN}',
      '{"a":--1}',
    ],
    `{${Array.from({ length: 65 }, (_, i) => `"k${i}":${i}`).join(",")}}`,
  ];
  for (const payload of unusual) assert.equal(scanned(payload), "parser", payload);
  assert.equal(scanned(Uint8Array.from([...bytes('{"a":"'), 0xff, ...bytes('"}')])), "parser");
  assert.equal(scanned(Uint8Array.from([...bytes('{"a":"'), 0xed, 0xa0, 0x80, ...bytes('"}')])), "parser");
});

Deno.test("scan: what it takes, the parser reads the same, whatever comes", () => {
  let taken = 0;
  fc.assert(
    fc.property(sensorObject, (object) => void (assertAgrees(bytes(JSON.stringify(object))) && taken++)),
    {
      numRuns: 3_000,
    },
  );
  assert.ok(taken > 300, `only ${taken} were taken`);
  fc.assert(fc.property(hostilePayload, (payload) => void assertAgrees(bytes(payload))), { numRuns: 500 });
});

Deno.test("scan: a byte changed, left out or put in between never makes it take what is no object", () => {
  const change = fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.constantFrom(0, 1, 2));
  fc.assert(
    fc.property(sensorObject, change, (object, [place, byte, kind]) => {
      const whole = bytes(JSON.stringify(object));
      const at = place % whole.length;
      const middle = kind === 0 ? [byte] : kind === 1 ? [] : [byte, whole[at]!];
      assertAgrees(Uint8Array.from([...whole.subarray(0, at), ...middle, ...whole.subarray(at + 1)]));
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("scan: very long numbers of very many names are left to the parser before the room is full", () => {
  const name = (i: number) => `${"k".repeat(60)}${i}`.slice(-64);
  const inner = `{${Array.from({ length: 50 }, (_, i) => `"${name(i)}":0.${"1".repeat(29)}`).join(",")}}`;
  let nested = inner;
  for (let i = 0; i < 7; i++) nested = `{"${"n".repeat(60)}":${nested}}`;
  assertAgrees(bytes(nested));
  assert.equal(scanned(nested), "parser");
  const few = `{${"abcdefghij".split("").map((letter) => `"${letter}":1`).join(",")}}`;
  const many = `{${Array.from({ length: 60 }, (_, i) => `"k${i}":{"x":${few},"y":${few}}`).join(",")}}`;
  assert.equal(scanned(many), "parser", "1,200 numbers are more than get a field each");
});
