import assert from "node:assert/strict";
import fc from "fast-check";
import { lineDiff, shortDiff } from "../../installer/line_diff.ts";

Deno.test("installer: a diff holds both texts, and no more lines than it must", () => {
  const text = fc.array(fc.constantFrom("a", "b", "c", ""), { maxLength: 12 })
    .map((lines) => lines.map((line) => `${line}\n`).join(""));
  const side = (before: string, after: string, sign: string) =>
    lineDiff(before, after).filter((line) => line.sign === " " || line.sign === sign)
      .map((line) => `${line.text}\n`).join("");
  fc.assert(fc.property(text, text, (before, after) => {
    assert.equal(side(before, after, "-"), before);
    assert.equal(side(before, after, "+"), after);
  }));
  fc.assert(fc.property(text, (same) => assert.ok(lineDiff(same, same).every(({ sign }) => sign === " "))));
  assert.deepEqual(shortDiff("1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nfive\n6\n7\n8\n"), [
    ...["  3", "  4", "- 5", "+ five", "  6", "  7", "…"],
  ]);
});

Deno.test("installer: a diff of huge texts takes no time, and a missing line feed shows", () => {
  const many = (word: string) => Array.from({ length: 50_000 }, (_, n) => `${word} ${n}\n`).join("");
  assert.equal(lineDiff(many("a"), many("b")).length, 100_000);
  assert.deepEqual(shortDiff("a\n", "a"), ["- a", "+ a (no line feed at the end)"]);
  assert.deepEqual(shortDiff("", "a\n"), ["+ a"]);
});
