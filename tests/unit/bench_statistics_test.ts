import assert from "node:assert/strict";
import fc from "fast-check";
import { type Aim, quantile, ratios, reached, spread } from "../../bench/statistics.ts";

Deno.test("bench: median and range of odd and even numbers of rounds", () => {
  assert.deepEqual(spread([3, 1, 2]), { median: 2, min: 1, max: 3, rounds: 3 });
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4, rounds: 4 });
  assert.deepEqual(spread([7]), { median: 7, min: 7, max: 7, rounds: 1 });
});

Deno.test("bench: numbers are sorted as numbers, and what was handed in stays as it is", () => {
  const values = [100, 9, 3];
  assert.equal(spread(values).median, 9);
  assert.deepEqual(values, [100, 9, 3]);
});

Deno.test("bench: no rounds and rounds without a figure are errors, never a row", () => {
  assert.throws(() => spread([]), /no rounds/);
  assert.throws(() => spread([1, NaN]), /measured NaN/);
  assert.throws(() => spread([Infinity, 1]), /measured Infinity/);
  assert.throws(() => ratios([1, 2], [1]), /2 rounds of ours, 1 of the peer/);
});

Deno.test("bench: as many rounds lie below the median as above, all within the range", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: 0, max: 1e9 }), { minLength: 1 }), (values) => {
      const { median, min, max, rounds } = spread(values);
      assert.equal(rounds, values.length);
      assert.ok(values.every((value) => min <= value && value <= max));
      const below = values.filter((value) => value < median).length;
      const above = values.filter((value) => value > median).length;
      assert.ok(below <= rounds / 2 && above <= rounds / 2);
    }),
  );
});

Deno.test("bench: ratios are taken round by round", () => {
  assert.deepEqual(ratios([1, 6], [4, 8]), [0.25, 0.75]);
});

Deno.test("bench: an aim is reached by the median; rounds that say otherwise are named", () => {
  const most: Aim = { kind: "at most", value: 0.2 };
  assert.equal(reached(most, spread([0.1, 0.2, 0.15])), "yes");
  assert.equal(reached(most, spread([0.1, 0.3, 0.15])), "yes, not in all rounds");
  assert.equal(reached(most, spread([0.1, 0.3, 0.25])), "no, but in some rounds");
  assert.equal(reached(most, spread([0.3, 0.21, 0.25])), "no");
  const least: Aim = { kind: "at least", value: 1.2 };
  assert.equal(reached(least, spread([1.2, 1.3])), "yes");
  assert.equal(reached(least, spread([1.1, 1.3, 1.4])), "yes, not in all rounds");
  assert.equal(reached(least, spread([1.1, 1.1, 1.4])), "no, but in some rounds");
  assert.equal(reached(least, spread([1, 1.1])), "no");
});

Deno.test("bench: a quantile is one of the values, by the nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal(quantile(hundred, 0.5), 50);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile(hundred, 1), 100);
  assert.equal(quantile([10, 9], 0.99), 10);
  assert.equal(quantile(Float64Array.of(7), 0.01), 7);
  assert.throws(() => quantile([], 0.5), /no values/);
});
