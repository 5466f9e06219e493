import assert from "node:assert/strict";
import fc from "fast-check";
import { columnsOf, fit, padEnd, padStart } from "../../agent/demo/columns.ts";
import { introduction, isComplete, plainLine, summary } from "../../agent/demo/plain.ts";
import { fold } from "../../agent/demo/screen.ts";
import { draw, emptyModel, filledModel, readingOf, snapshotOf, steps } from "./demo_fixture.ts";

// deno-lint-ignore no-control-regex
const control = /[\x00-\x1f\x7f-\x9f]/;

Deno.test("demo screen: fits any window, whatever was published", () => {
  const text = fc.string({ unit: "binary", maxLength: 60 });
  const messages = fc.array(fc.tuple(text, fc.oneof(text, fc.json(), fc.double().map(String))), {
    maxLength: 12,
  });
  fc.assert(fc.property(
    messages,
    fc.integer({ min: 5, max: 250 }),
    fc.integer({ min: 1, max: 80 }),
    fc.boolean(),
    (messages, columns, rows, hasUrl) => {
      const model = filledModel();
      for (const [topic, payload] of messages) model.board.add(readingOf(topic, payload), 60_000);
      const lines = draw(model, { columns, rows, url: hasUrl ? "mqtt://127.0.0.1:1" : undefined });
      assert.ok(lines.length <= rows, `${lines.length} lines`);
      for (const line of lines) {
        assert.ok(columnsOf(line) < columns, JSON.stringify(line));
        assert.doesNotMatch(line, control);
      }
    },
  ));
});

Deno.test("demo screen: a window of 80 by 24 shows the whole way, every sensor, the sum and what to try", () => {
  const text = draw(filledModel(), { columns: 80, rows: 24 }).join("\n");
  for (const place of ["received", "on disk", "acknowledged", "in the store"]) {
    assert.ok(text.includes(`╭─ ${place} ─`), place);
  }
  for (const { topic } of filledModel().board.topics) assert.ok(text.includes(topic), topic);
  assert.match(text, /\d+ stored = \d+ confirmed \+ 3 waiting \+ 0 dead \+ 0 dropped \+ 0 damaged ✓/);
  for (const { command } of steps) assert.ok(text.includes(` ${command}`), command);
  assert.match(text, /°C .*[▁▂▃▄▅▆▇█]{20}/);
});

Deno.test("demo screen: the sum is the last to go from a low window, and goes whole", () => {
  for (const columns of [60, 80, 200]) {
    for (let rows = 6; rows < 40; rows++) {
      const text = draw(filledModel(), { columns, rows }).join(" ");
      assert.match(text, /stored =.* confirmed \+.*\+ 0 damaged ✓/, `${columns} x ${rows}`);
      assert.match(text, /in the store/);
    }
  }
});

Deno.test("demo screen: a sum that does not hold is said, and an alarm with its remedy", () => {
  const model = filledModel();
  model.update(snapshotOf(100, 0, { confirmed: 98 }), 61_000);
  assert.match(
    draw(model, { columns: 120 }).join("\n"),
    /100 stored = 98 confirmed .*✗ the numbers do not add up/,
  );
  assert.equal(isComplete(model), false);
  const full = snapshotOf(100);
  full.alarms = [{ code: "disk_low", text: "the disk\x1b[2J is full", remedy: "make room", sinceMs: 0 }];
  model.update(full, 62_000);
  assert.match(draw(model).join("\n"), /! the disk\\x1b\[2J is full; make room/);
  model.update(snapshotOf(100), 63_000);
  model.noteTrouble("a client was disconnected", 60_000);
  assert.match(draw(model).join("\n"), /! a client was disconnected/);
  assert.doesNotMatch(draw(model, { nowMs: 90_000 }).join("\n"), /! /, "it is long ago");
  model.update(full, 64_000);
  assert.doesNotMatch(draw(model).join("\n"), /disconnected/, "the alarm says it");
});

Deno.test("demo screen: a reading is on disk first, then stored; who falls silent is called so, with the age", () => {
  const model = emptyModel();
  for (let s = 0; s <= 6; s++) model.board.add(readingOf("tank/level", "5.5", s + 1), s * 1_000);
  model.update(snapshotOf(7, 1), 6_000);
  const line = (nowMs: number) => draw(model, { nowMs }).find((one) => one.includes("tank/level"))!;
  assert.match(line(6_200), /5\.5 %.* 0\.2 s +disk$/);
  model.update(snapshotOf(7, 0), 7_000);
  assert.match(line(7_200), / 1\.2 s +stored$/);
  assert.match(line(15_000), / 9\.0 s +silent$/);
  assert.match(line(150_000), / 2 min +silent$/);
});

Deno.test("demo screen: in a tall window each of the last readings shows how far it has come", () => {
  const model = emptyModel();
  model.board.add(readingOf("a/b", "1", 1), 0);
  model.board.add(readingOf("a/b", '{"x":"y"}', 2), 0);
  model.board.add({ ...readingOf("a/b", "3", 3), qos: 0 }, 0);
  model.update(snapshotOf(3, 2), 0);
  const lines = draw(model, { rows: 50, nowMs: 0 });
  const ways = lines.slice(lines.findIndex((one) => one.includes("on their way")) + 1).slice(0, 3);
  assert.match(ways[0]!, /\.789 {2}a\/b {2}1 +disk ▶ acknowledged ▶ stored$/);
  assert.match(ways[1]!, / \{"x":"y"\} +disk ▶ acknowledged$/);
  assert.match(ways[2]!, / 3 +disk$/, "QoS 0 has no acknowledgement");
  assert.match(lines.join("\n"), /│ 1 at QoS 0 +│/);
});

Deno.test("demo screen: without colour there is no escape sequence, with it each is ended", () => {
  assert.ok(draw(filledModel()).every((line) => !line.includes("\x1b")));
  const lines = draw(filledModel(), { colour: true });
  assert.ok(lines.some((line) => line.includes("\x1b[36m")));
  // deno-lint-ignore no-control-regex
  const escape = /\x1b\[[\d;]+m/g;
  for (const line of lines) {
    assert.equal(line.match(escape)?.length ?? 0, 2 * (line.split("\x1b[0m").length - 1));
  }
  const bare = lines.map((line) => line.replaceAll(escape, ""));
  assert.deepEqual(bare, draw(filledModel()), "colour changes nothing else");
});

Deno.test("demo screen: a command that is too long is folded as a shell takes it", () => {
  fc.assert(fc.property(
    fc.array(fc.stringMatching(/^[\w./=-]+$/), { minLength: 1, maxLength: 12 }),
    fc.integer({ min: 10, max: 90 }),
    (words, columns) => {
      const lines = fold(words.join(" "), columns);
      assert.equal(lines.join("\n").replaceAll(/ \\\n +/g, " "), words.join(" "));
      for (const line of lines) {
        const single = line.replace(/ \\$/, "").trim().includes(" ") === false;
        assert.ok(line.length <= columns || single, line);
      }
    },
  ));
});

Deno.test("demo columns: wide and combining characters are counted as terminals show them", () => {
  const cases: [string, number][] = [
    ["abc", 3],
    ["温度", 4],
    ["三十℃", 5],
    ["e\u0301", 1],
    ["🔥", 2],
    ["ｱ", 1],
    ["Ａ", 2],
    ["한", 2],
    ["▁█─▶", 4],
    ["", 0],
  ];
  for (const [text, columns] of cases) assert.equal(columnsOf(text), columns, text);
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.nat(40), (text, columns) => {
    assert.ok(columnsOf(fit(text, columns)) <= columns);
    assert.equal(columnsOf(padEnd(text, columns)), columns);
    assert.equal(columnsOf(padStart(text, columns)), columns);
  }));
  assert.equal(fit("温度计", 4), "温…");
  assert.equal(fit("温度", 4), "温度");
});

Deno.test("demo in a pipe: a line has counts, latest values and who is silent, and nothing that a terminal obeys", () => {
  const model = filledModel();
  model.board.add(readingOf("evil/\x1b[2J", "a\nb"), 60_000);
  const line = plainLine(model, 60_400, 60_400);
  assert.match(
    line,
    /^60 s: \d+ received, \d+ on disk, \d+ acknowledged, \d+ in the store; greenhouse\/temp/,
  );
  assert.match(
    line,
    /greenhouse\/temperature \d+\.\d\d °C; greenhouse\/humidity \d+\.\d %; hall1\/pump flow /,
  );
  assert.match(line, /tank\/level [\d.]+ % \(silent for 17 s\)/);
  assert.match(line, /evil\/\\x1b\[2J a\\nb$/);
  assert.doesNotMatch(line, control);
  assert.ok(introduction("mqtt://127.0.0.1:1", steps).some((one) => one.includes(steps[2]!.command)));
});

Deno.test("demo: the sum at the end says whether every reading is accounted for", () => {
  const model = emptyModel();
  assert.deepEqual(summary(model, 0, "x"), [], "nothing was begun");
  model.update(snapshotOf(12), 0);
  assert.ok(isComplete(model));
  assert.match(
    summary(model, 5_000, "README.").join("\n"),
    /ran for 5 s and took 12 readings; every one is accounted for:\n {2}12 stored = 12 confirmed \+ 0 waiting .*\n.*README\.$/,
  );
  model.update(snapshotOf(12, 2), 0);
  assert.equal(isComplete(model), false);
  assert.match(summary(model, 5_000, "x")[0]!, /not all of them arrived/);
  const lost = snapshotOf(12);
  lost.subscriber.qos0Lost = 1;
  model.update(lost, 0);
  assert.equal(isComplete(model), false);
});
