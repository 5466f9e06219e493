import assert from "node:assert/strict";
import fc from "fast-check";
import { Board } from "../../agent/demo/board.ts";
import { makeSensors } from "../../agent/demo/curves.ts";
import { Sparkline } from "../../agent/demo/sparkline.ts";
import { topicFilterFault } from "../../agent/base/topic_filter.ts";
import { seededRandom } from "../fakes/seeded_random.ts";
import { emptyModel, readingOf, snapshotOf } from "./demo_fixture.ts";

function lineOf(values: (number | undefined)[]): Sparkline {
  const line = new Sparkline();
  for (const [s, value] of values.entries()) if (value !== undefined) line.add(value, s * 1_000 + 1);
  return line;
}

Deno.test("demo sparkline: rises with its values; one alone has a middle bar; the newest stands at the right", () => {
  assert.equal(lineOf([0, 1, 2, 3, 4, 5, 6, 7]).text(8, 7_500, 2_000), "▁▂▃▄▅▆▇█");
  assert.equal(lineOf([5, 1, 9]).text(2, 2_500, 2_000), "▁█");
  assert.equal(lineOf([5]).text(3, 500, 2_000), "  ▄");
  assert.equal(new Sparkline().text(3, 500, 2_000), "   ");
});

Deno.test("demo sparkline: an ordinary pause is bridged, silence is a gap that stays one", () => {
  const line = lineOf([1, undefined, 9, undefined, undefined, undefined, undefined, undefined, 1]);
  assert.equal(line.text(9, 8_500, 3_000), "▁▁█     ▁");
  assert.equal(
    line.text(9, 12_500, 3_000),
    "    ▄▄   ",
    "the newest value does not stand for long",
  );
  assert.equal(line.text(3, 60_000, 3_000), "   ");
});

Deno.test("demo sparkline: holds a bounded number of seconds, and never more columns than asked for", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 300 }),
      fc.integer({ min: 1, max: 200 }),
      (values, columns) => {
        const text = lineOf(values).text(columns, values.length * 1_000, 5_000);
        assert.equal([...text].length, columns);
        assert.match(text, /^[ ▁-█]*$/);
      },
    ),
  );
});

Deno.test("demo board: numbers of a payload each have a line, with the decimals they have had; text has none", () => {
  const board = new Board([]);
  const shown = (payload: string) => {
    board.add(readingOf("t", payload), 0);
    return board.topics[0]!.numbers.map(({ name, shown }) => `${name}=${shown}`).join(" ") ||
      board.topics[0]!.text;
  };
  assert.equal(shown("21.55"), "=21.55");
  assert.equal(shown("21.5"), "=21.50");
  assert.equal(shown("-3e-9"), "=-3e-9");
  assert.equal(shown('{"a":1,"b":"x","c":2.5,"d":3,"e":4}'), "a=1 c=2.5 d=3");
  for (const text of ['{"a":"b"}', "[1,2]", "on", "null", "NaN", `{"a":1,"x":"${"y".repeat(5_000)}"}`]) {
    assert.equal(shown(text), text.slice(0, 200));
  }
  assert.equal(shown(""), "(empty)");
  board.add({ ...readingOf("t", ""), payload: undefined as never, payload_base64: "/w==" }, 0);
  assert.equal(board.topics[0]!.text, "base64:/w==");
});

Deno.test("demo board: a flood of topics pushes out the quietest of others, never a sensor", () => {
  const board = new Board(makeSensors(Math.random));
  for (let at = 0; at < 10_000; at++) board.add(readingOf(`flood/${at}`, "1"), at);
  const topics = board.topics.map(({ topic }) => topic);
  assert.equal(topics.length, 10);
  assert.deepEqual(topics.slice(0, 4), makeSensors(Math.random).map(({ topic }) => topic));
  assert.deepEqual(topics.slice(-6), [4, 5, 6, 7, 8, 9].map((at) => `flood/999${at}`));
  assert.ok(board.recent.length <= 60);
});

Deno.test("demo board: who published once is never silent, who published regularly is after a while, until the next", () => {
  const board = new Board([]);
  board.add(readingOf("t", "1"), 0);
  const view = board.topics[0]!;
  assert.equal(view.isSilent(1e9), false);
  for (let s = 1; s <= 5; s++) board.add(readingOf("t", "1"), s * 10_000);
  assert.equal(view.isSilent(90_000), false);
  assert.equal(view.isSilent(110_000), true);
  board.add(readingOf("t", "1"), 500_000);
  assert.equal(view.isSilent(540_000), false, "a silence changes nothing about what is usual");
  assert.equal(view.isSilent(560_000), true);
});

Deno.test("demo model: rates follow the last seconds, and what has just moved is marked", () => {
  const model = emptyModel();
  for (let timeMs = 0; timeMs <= 20_000; timeMs += 200) model.update(snapshotOf(timeMs / 100), timeMs);
  assert.ok(Math.abs(model.stages.onDisk.perS - 10) < 0.5, `${model.stages.onDisk.perS}`);
  assert.equal(model.stages.onDisk.moves, true);
  for (let timeMs = 20_200; timeMs <= 26_000; timeMs += 200) model.update(snapshotOf(200), timeMs);
  assert.deepEqual(model.stages.inStore, { count: 200, perS: 0, moves: false });
  assert.equal(model.settledBelow, 201);
});

Deno.test("demo sensors: humidity goes against temperature, the pump has several numbers, the tank is silent for a while", () => {
  const [temperature, humidity, pump, tank] = makeSensors(seededRandom(7));
  const seconds = Array.from({ length: 120 }, (_, s) => s);
  const warm = seconds.map((s) => Number(temperature!.payload(s * 1_000)));
  const humid = seconds.map((s) => Number(humidity!.payload(s * 1_000)));
  assert.ok(correlation(warm, humid) < -0.9, `${correlation(warm, humid)}`);
  assert.ok(Math.max(...warm) - Math.min(...warm) > 8 && warm.every((one) => one > 10 && one < 35));
  assert.ok(humid.every((one) => one >= 20 && one <= 98));
  const flows = seconds.map((s) => (JSON.parse(pump!.payload(s * 1_000)!) as { flow: number }).flow);
  assert.ok(flows.some((one) => one > 12) && flows.some((one) => one < 1) && flows.every((one) => one >= 0));
  assert.deepEqual(Object.keys(JSON.parse(pump!.payload(200_000)!)), Object.keys(pump!.units));
  const talks = seconds.map((s) => tank!.payload(s * 1_000) === undefined ? "-" : "x").join("");
  assert.match(
    talks,
    /^x{10,20}-{10,20}x{10,20}-{10,20}/,
    "within half a minute it falls silent and comes back",
  );
  for (const { topic } of makeSensors(Math.random)) {
    assert.equal(topicFilterFault(topic), undefined);
    assert.doesNotMatch(topic, /[+#]/);
  }
});

function correlation(a: number[], b: number[]): number {
  const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  const product = (x: number[], meanX: number, y: number[], meanY: number) =>
    x.reduce((sum, one, at) => sum + (one - meanX) * (y[at]! - meanY), 0);
  return product(a, meanA, b, meanB) / Math.sqrt(product(a, meanA, a, meanA) * product(b, meanB, b, meanB));
}
