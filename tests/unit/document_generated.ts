/** Readings as nobody would send them, generated: for the property tests of the encoder, without and with a real Elasticsearch. */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { encodeProperty, encodeUserProperty, propertyTypes } from "../../agent/spool/properties.ts";
import { arrivalMs, bytes, makeOutgoing } from "./shipper_fixture.ts";

const dayMs = 86_400_000;
/** Lengths around what an index takes, rare among short ones. */
const lengths = fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 40 }) }, {
  weight: 1,
  arbitrary: fc.constantFrom(499, 500, 501, 1_024, 2_001, 8_191, 8_192, 32_766, 32_767, 40_000, 65_535),
});

/** Names that are empty, blank, dotted, reserved, long, or hold what no name should. */
const hostileName = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.constantFrom(
    "",
    " ",
    ".",
    "..",
    "a.",
    ".a",
    "a..b",
    "a. .b",
    "\n",
    "\0",
    "a\0b",
    "\u3000",
    "\ud800",
    "*",
    "?",
  ),
  fc.constantFrom(
    "__proto__",
    "constructor",
    "toString",
    "_id",
    "_source",
    "value",
    "time",
    "age_s",
    '"',
    "\\",
  ),
  lengths.map((length) => "k".repeat(length)),
  fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 12 }),
);

const hostileLeaf = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.double(),
  fc.constantFrom(0, -0, 1e308, 2 ** 53, null, true, false, "", "\0", "\ud800", "v".repeat(40_000), {}, []),
);

const hostileTree = fc.letrec((tie) => ({
  tree: fc.oneof({ depthSize: "medium", maxDepth: 5 }, hostileLeaf, tie("list"), tie("object")),
  list: fc.array(tie("tree"), { maxLength: 4 }),
  object: fc.array(fc.tuple(hostileName, tie("tree")), { maxLength: 5 }).map((pairs) =>
    Object.fromEntries(pairs)
  ),
}))["object"]!;

const nested = fc.tuple(fc.nat({ max: 60 }), fc.constantFrom(['{"a":', "}"], ["[", "]"], ['{"":[', "]}"]))
  .map(([depth, [open, close]]) => `{"x":${open!.repeat(depth)}1${close!.repeat(depth)}}`);

/** Objects with a key that comes twice, numbers beyond all measure, escapes of half characters. */
const rawObject = fc.constantFrom(
  '{"a":1,"a":{"b":2},"a":3}',
  '{"a":1e400,"b":-1e400,"c":123456789012345678901234567890,"d":1e-999999}',
  '{"\\ud800":"\\udc00","\\u0000":"\\u0000"}',
  `{"many":[${"1,".repeat(5_000)}1]}`,
  `{${Array.from({ length: 3_000 }, (_, i) => `"k${i}":${i}`).join(",")}}`,
  `{"digits":0.${"3".repeat(2_000)}}`,
);

const reading = fc.tuple(
  fc.jsonValue({ maxDepth: 1 }),
  fc.oneof(fc.integer(), fc.string(), fc.date({ noInvalidDate: true })),
)
  .map(([value, time]) => JSON.stringify({ value, time, age_s: time }));

export const payload: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: fc.constantFrom(..."0123456789.-+eE \t\n"), maxLength: 25 }),
  fc.double().map(String),
  fc.bigInt().map(String),
  fc.json({ stringUnit: "binary" }),
  hostileTree.map((tree) => JSON.stringify(tree)),
  fc.dictionary(hostileName, hostileLeaf, { maxKeys: 5 }).map((object) => JSON.stringify(object)),
  nested,
  rawObject,
  reading,
  lengths.map((length) => "x".repeat(length)),
  lengths.map((length) => "9".repeat(length)),
);

const properties = fc.array(
  fc.oneof(
    fc.tuple(hostileName, hostileName).map(([key, value]) => {
      return encodeUserProperty(bytes(key).subarray(0, 65_535), bytes(value).subarray(0, 65_535));
    }),
    fc.tuple(fc.constantFrom(...Object.values(propertyTypes), 999), fc.uint8Array({ maxLength: 40 })).map(
      ([type, value]) => encodeProperty(type, value),
    ),
  ),
  { maxLength: 4 },
).chain((list) => {
  const whole = new Uint8Array(Buffer.concat(list));
  return fc.oneof(fc.constant(whole), fc.nat({ max: whole.length }).map((end) => whole.subarray(0, end)));
});

/** A reading with everything that may differ, sequences aside. The times lie in one month, so that few indices are needed. */
export const hostileOutgoing: fc.Arbitrary<Outgoing> = fc.record({
  topic: fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    lengths.map((length) => "t".repeat(length)),
  ),
  payload,
  properties,
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  retain: fc.boolean(),
  truncated: fc.boolean(),
  offsetMs: fc.nat({ max: 25 * dayMs }),
  startMs: fc.option(fc.constant(arrivalMs - dayMs), { nil: undefined }),
  mark: fc.constantFrom(
    "unsynced" as const,
    "retained" as const,
    "queued" as const,
    "corrected" as const,
    "synced" as const,
  ),
}).map(({ offsetMs, startMs, mark, topic, ...parts }) => {
  const utf8 = bytes(topic).subarray(0, 65_535);
  return makeOutgoing({ ...parts, topic: utf8, wallMs: arrivalMs + offsetMs }, { startMs, mark });
});
