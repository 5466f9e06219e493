import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AccountTopics,
  aclFilterFault,
  aclText,
  agentTopics,
  parseAcl,
} from "../../installer/broker/acl.ts";

const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
const level = fc.oneof(
  fc.constantFrom("+", "a b", "écurie", "#x", "user", "topic", "read", ""),
  fc.string({ maxLength: 8 }),
);
const filter = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"))
  .filter((text) => aclFilterFault(text) === undefined);
const filters = fc.uniqueArray(filter, { maxLength: 4 });
const account = fc.record<AccountTopics>({ name, read: filters, write: filters }, { noNullPrototype: true });
const accounts = fc.uniqueArray(account, { selector: (one) => one.name, maxLength: 6 });

Deno.test("broker access list: what is written is read back, whatever the topics are called", () => {
  fc.assert(fc.property(accounts, (all) => assert.deepEqual(parseAcl(aclText(all)), all)), { numRuns: 300 });
});

Deno.test("broker access list: no name and no filter can bring in a line of its own", () => {
  fc.assert(fc.property(fc.string(), fc.string(), (name, filter) => {
    let text: string;
    try {
      text = aclText([{ name, read: [], write: [filter] }]);
    } catch {
      return;
    }
    assert.deepEqual(text.split("\n").slice(1), ["", `user ${name}`, `topic write ${filter}`, ""]);
  }));
  const hostile = ["a\nuser agent", "a\ntopic #", " a", "a ", "$share/g/a", "a/#/b", "a+", "", "a\0", "a\r"];
  for (const one of hostile) {
    assert.throws(() => aclText([{ name: "a", read: [], write: [one] }]), /filter .* of a: it /);
  }
  for (const one of ["", "a b", "a\n", "a:b", "x".repeat(65), "é"]) {
    assert.throws(() => aclText([{ name: one, read: [], write: [] }]), /account .*: it has to be/);
  }
});

Deno.test("broker access list: the agent reads all, $SYS too, and writes below its status topic", () => {
  const lines = aclText([agentTopics("sensorlog/vigo")]).split("\n").filter((line) =>
    line.startsWith("topic")
  );
  assert.deepEqual(lines, ["topic read #", "topic read $SYS/#", "topic write sensorlog/vigo/#"]);
});

Deno.test("broker access list: what can't be written again as it was is not read", () => {
  const lines: [string, RegExp][] = [
    ["topic read #\n", /line 1: it gives a right to everybody/],
    ["user a\npattern write %u/#\n", /line 2: it is of another kind/],
    ["user a\ntopic deny x\n", /line 2: it takes a right away/],
    ["user a\ntopic read a/#/b\n", /line 2: it has a #/],
    ["user a b\n", /line 1: it has to be/],
  ];
  for (const [text, why] of lines) assert.throws(() => parseAcl(text), why);
});

Deno.test("broker access list: readwrite and no word at all are both rights, and an account may stand twice", () => {
  const text = "user a\ntopic readwrite x\ntopic y\n# a note\n\nuser b\nuser a\ntopic read x\r\n";
  assert.deepEqual(parseAcl(text), [
    { name: "a", read: ["x", "y"], write: ["x", "y"] },
    { name: "b", read: [], write: [] },
  ]);
});
