import assert from "node:assert/strict";
import fc from "fast-check";
import { countText, durationText, safeJson, safeText, sizeText } from "../../agent/base/display.ts";

/** What could move a cursor, change colours, turn a line around or hide. */
const harmful = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

Deno.test("display: sizes have at most one digit behind the point", () => {
  const sizes = [0, 1, 1023, 1024, 1536, 1024 ** 2 - 1, 1024 ** 2, 2 * 1024 ** 3, 5.55 * 1024 ** 4];
  assert.deepEqual(sizes.map(sizeText), [
    "0 bytes",
    "1 byte",
    "1023 bytes",
    "1 KiB",
    "1.5 KiB",
    "1 MiB",
    "1 MiB",
    "2 GiB",
    "5.5 TiB",
  ]);
});

Deno.test("display: durations have two units at most, and never sixty of the smaller", () => {
  const s = 1_000;
  const durations = [
    -5,
    0,
    850,
    1_499,
    119 * s,
    120 * s,
    7_199 * s,
    7_200 * s,
    3.5 * 3_600 * s,
    50 * 3_600 * s,
    1e15,
  ];
  assert.deepEqual(durations.map(durationText), [
    "0 ms",
    "0 ms",
    "850 ms",
    "1 s",
    "119 s",
    "2 min",
    "2 h",
    "2 h",
    "3 h 30 min",
    "2 days",
    "more than a year",
  ]);
});

Deno.test("display: counts have a comma every three digits", () => {
  assert.deepEqual([0, 999, 1_000, 1_234_567].map(countText), ["0", "999", "1,000", "1,234,567"]);
});

Deno.test("display: escape sequences, line feeds and direction marks are shown, not obeyed", () => {
  assert.equal(safeText("a\x1b[31mred\x07\n\t\r"), "a\\x1b[31mred\\x07\\n\\t\\r");
  assert.equal(
    safeText("\x9b2J \u202egnp.exe \u200b \u2028"),
    "\\x9b2J \\u{202e}gnp.exe \\u{200b} \\u{2028}",
  );
  assert.equal(safeText("\ud800 Grüße 温度 😀"), "\\u{d800} Grüße 温度 😀");
});

Deno.test("display: no text is harmful, and what is harmless stays as it is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const safe = safeText(text);
      assert.ok(!harmful.test(safe));
      assert.equal(safeText(safe), safe);
    }),
    { numRuns: 50 },
  );
});

Deno.test("display: JSON stays the same value and is never harmful, indented or not", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.string({ unit: "binary" }), (value, text) => {
    const whole = { value, text, [text]: 1 };
    for (const indent of [undefined, 2]) {
      const shown = safeJson(whole, indent);
      assert.ok(!harmful.test(shown.replaceAll("\n", "")), shown);
      if (indent === undefined) assert.ok(!shown.includes("\n"));
      assert.deepEqual(JSON.parse(shown), JSON.parse(JSON.stringify(whole)));
    }
  }));
});
