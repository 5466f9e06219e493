import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { Model } from "../../agent/demo/model.ts";
import { makePlace } from "../../agent/demo/place.ts";
import { screen, sparkline } from "../../agent/demo/screen.ts";
import { sensors } from "../../agent/demo/sensors.ts";

const reading = (topic: string, payload: string) => ({
  ...{ id: "a-1", sequence: 1, topic, payload, qos: 1 as const, retain: false },
  ...{ arrived: "2026-01-01T00:00:00.000Z", clock_synchronised: "yes" as const },
});

const view = (columns: number, rows: number, nowMs = 0) => ({
  ...{ columns, rows, nowMs, colour: false, elapsedMs: 1_000, url: "mqtt://127.0.0.1:1" },
  nextSteps: [["sensorlog-agent status --config /tmp/x", "what it says"]] as [string, string][],
});

Deno.test("demo: the screen fits any window, whatever was published", () => {
  fc.assert(fc.property(
    fc.array(fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), { maxLength: 10 }),
    fc.integer({ min: 10, max: 250 }),
    fc.integer({ min: 1, max: 80 }),
    (messages, columns, rows) => {
      const model = new Model();
      for (const [topic, payload] of messages) model.add(reading(topic, payload), 0);
      const lines = screen(model, view(columns, rows));
      assert.ok(lines.length <= rows);
      for (const line of lines) {
        assert.ok([...line].length < columns, line);
        assert.doesNotMatch(line, /\p{Cc}/u);
      }
    },
  ));
});

Deno.test("demo: a sparkline rises with its values, and one value alone has a middle bar", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([5, 1, 9], 2), "▁█");
  assert.equal(sparkline([5], 3), "  ▄");
});

Deno.test("demo: a sensor that says nothing is shown as silent, and since when", () => {
  const model = new Model();
  model.add(reading("cellar/door", "1"), 0);
  const shown = (nowMs: number) =>
    screen(model, view(100, 40, nowMs)).find((line) => /cellar\/door/.test(line))!;
  assert.match(shown(1_000), / 1$/);
  assert.match(shown(9_000), /silent for 9 s/);
  const door = sensors.find(({ topic }) => topic === "cellar/door")!;
  const talks = Array.from({ length: 90 }, (_, s) => door.payload(s * 1_000, Math.random) !== undefined);
  assert.ok(talks.includes(true) && talks.includes(false));
});

Deno.test("demo: what a killed demo left is removed, what runs or is another's is not", async () => {
  const top = await Deno.makeTempDir();
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", top);
  try {
    const running = makePlace();
    for (const [name, pid] of [["left", "4194304 1"], ["reused", `${Deno.pid} 1`]] as const) {
      await Deno.mkdir(join(top, `sensorlog-demo-${name}`));
      await Deno.writeTextFile(join(top, `sensorlog-demo-${name}`, "pid"), pid);
    }
    await Deno.mkdir(join(top, "other"));
    const another = makePlace();
    assert.equal(Deno.statSync(another).mode! & 0o777, 0o700);
    const names = [...Deno.readDirSync(top)].map(({ name }) => join(top, name)).sort();
    assert.deepEqual(names, [running, another, join(top, "other")].sort());
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
    await Deno.remove(top, { recursive: true });
  }
});
