import assert from "node:assert/strict";
import fc from "fast-check";
import {
  sameBytes,
  TopicFilter,
  topicFilterFault,
  topicNameFault,
} from "../../agent/subscriber/topic_filter.ts";
import { utf8Fault } from "../../agent/subscriber/utf8.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

function matches(filter: string, topic: string): boolean {
  const bytes = bytesOf(`..${topic}..`); // it lies in the middle of other bytes
  return new TopicFilter(filter).matches(bytes, 2, bytes.length - 2);
}

Deno.test("topic: filters match as the specification's examples say (4.7.1)", () => {
  for (
    const [filter, topic] of [
      ["sport/tennis/player1/#", "sport/tennis/player1"],
      ["sport/tennis/player1/#", "sport/tennis/player1/ranking"],
      ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"],
      ["sport/#", "sport"],
      ["#", "sport/tennis"],
      ["#", "/"],
      ["sport/tennis/+", "sport/tennis/player1"],
      ["sport/+", "sport/"],
      ["+/+", "/finance"],
      ["/+", "/finance"],
      ["+", "finance"],
      ["+/tennis/#", "sport/tennis"],
      ["$SYS/#", "$SYS/broker/uptime"],
      ["$SYS/monitor/+", "$SYS/monitor/Clients"],
      ["a/$b/+", "a/$b/c"],
      ["a//b", "a//b"],
      ["temperatura/válvula", "temperatura/válvula"],
      ["$share/group/sport/+", "sport/x"],
      ["$share/group/#", "sport"],
      ["$share/group//a", "/a"],
    ] as const
  ) assert.ok(matches(filter, topic), `${filter} matches ${topic}`);
  for (
    const [filter, topic] of [
      ["sport/tennis/+", "sport/tennis/player1/ranking"],
      ["sport/+", "sport"],
      ["+", "/finance"],
      ["sport/#", "sports"],
      ["sport", "sport/"],
      ["sport/", "sport"],
      ["#", "$SYS/broker"],
      ["+/monitor/Clients", "$SYS/monitor/Clients"],
      ["$share/group/#", "$SYS/broker"],
      ["$share/group/sport", "$share/group/sport"],
      ["ACCOUNTS", "Accounts"],
      ["a//b", "a/b"],
    ] as const
  ) assert.ok(!matches(filter, topic), `${filter} does not match ${topic}`);
});

/** The rule of 4.7.1.2 and 4.7.1.3 in strings: slow and plain. */
function matchesPlainly(filter: string[], topic: string[]): boolean {
  if (topic[0]!.startsWith("$") && ["+", "#"].includes(filter[0]!)) return false;
  const wild = filter.at(-1) === "#";
  const levels = wild ? filter.slice(0, -1) : filter;
  if (wild ? topic.length < levels.length : topic.length !== levels.length) return false;
  return levels.every((level, i) => level === "+" || level === topic[i]);
}

Deno.test("topic: matching on bytes agrees with the plain rule on levels", () => {
  const level = fc.constantFrom("", "a", "b", "ab", "$a", "ñ");
  const filter = fc.tuple(
    fc.array(fc.oneof(level, fc.constant("+")), { minLength: 1, maxLength: 4 }),
    fc.boolean(),
  ).map(([levels, wild]) => wild ? [...levels, "#"] : levels);
  fc.assert(
    fc.property(filter, fc.array(level, { minLength: 1, maxLength: 5 }), (levels, topic) => {
      assert.equal(matches(levels.join("/"), topic.join("/")), matchesPlainly(levels, topic));
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("topic: what can't be a topic name is refused with its reason", () => {
  const fault = (bytes: Uint8Array) => topicNameFault(bytes, 0, bytes.length);
  assert.equal(fault(bytesOf("plant/área/1")), undefined);
  assert.equal(fault(bytesOf("")), "is empty");
  assert.equal(fault(bytesOf("a/+")), "contains a wildcard");
  assert.equal(fault(bytesOf("a/#/b")), "contains a wildcard");
  assert.equal(fault(bytesOf("a\0b")), "contains U+0000");
  assert.equal(fault(new Uint8Array([0x61, 0xc3])), "is not UTF-8");
  assert.equal(fault(new Uint8Array([0xed, 0xa0, 0x80])), "is not UTF-8"); // a surrogate, U+D800
  assert.equal(fault(new Uint8Array([0xc0, 0xaf])), "is not UTF-8"); // an overlong slash
});

Deno.test("topic: UTF-8 is judged as TextDecoder judges it", () => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const wellFormed = (bytes: Uint8Array) => {
    try {
      return !decoder.decode(bytes).includes("\0");
    } catch {
      return false;
    }
  };
  const interesting = fc.constantFrom(0, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf);
  const leading = fc.constantFrom(0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff);
  const bytes = fc.oneof(
    fc.array(fc.oneof(interesting, leading), { maxLength: 5 }).map((list) => Uint8Array.from(list)),
    fc.string({ unit: "binary" }).map(bytesOf),
  );
  fc.assert(
    fc.property(bytes, (one) => {
      assert.equal(utf8Fault(one, 0, one.length) === undefined, wellFormed(one));
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("topic: filters that no broker takes are named with their fault", () => {
  for (const filter of ["#", "+", "a/+/b", "a/#", "/", "$share/g/#", "$share/g/a/+", "$SYS/#", "+/+/#"]) {
    assert.equal(topicFilterFault(filter), undefined, filter);
  }
  assert.match(topicFilterFault("")!, /empty/);
  assert.match(topicFilterFault("a/#/b")!, /#/);
  assert.match(topicFilterFault("a#")!, /#/);
  assert.match(topicFilterFault("a+/b")!, /\+/);
  assert.match(topicFilterFault("a\0")!, /U\+0000/);
  assert.match(topicFilterFault("$share/g")!, /GROUP/);
  assert.match(topicFilterFault("$share//a")!, /GROUP/);
  assert.match(topicFilterFault("$share/g+/a")!, /GROUP/);
  assert.match(topicFilterFault("$share/g/")!, /GROUP/);
  assert.match(topicFilterFault("x".repeat(65_536))!, /65,535/);
});

Deno.test("topic: bytes are the same only in full", () => {
  const all = bytesOf("xxabcyy");
  assert.ok(sameBytes(bytesOf("abc"), all, 2, 5));
  assert.ok(!sameBytes(bytesOf("abc"), all, 2, 6));
  assert.ok(!sameBytes(bytesOf("abd"), all, 2, 5));
  assert.ok(sameBytes(bytesOf(""), all, 2, 2));
});
