import assert from "node:assert/strict";
import { sumHolds } from "../../agent/status/render_status.ts";
import type { Message } from "../lab/publisher.ts";
import { delay } from "../lab/wait.ts";
import { Scene } from "./commands_scene.ts";

const MiB = 1024 * 1024;
const count = 400;

/** Numbered readings of 64 KiB: 25 MiB in all, more than the smallest spool. */
const readings: Message[] = Array.from({ length: count }, (_, i) => ({
  topic: "hall/t",
  payload: JSON.stringify({ n: i, filling: "x".repeat(64 * 1024) }),
  qos: 1,
}));

const queueing = { persistence: true, extra: ["max_queued_messages 0", "max_queued_bytes 0"] };

Deno.test("cleaner: block: a full spool pauses reception without a loop, and all arrives when the output is back", async () => {
  await using scene = await Scene.open({
    broker: queueing,
    mqtt: { keep_alive: "5s" },
    spool: { max_size: "16MiB" },
  });
  const { agent, sink } = scene;
  sink.fault = { status: 503 };
  await scene.start();
  await scene.publish(readings);
  const full = await agent.waitUntil(
    "a full spool",
    (snapshot) => snapshot.subscriber.state === "paused",
    30_000,
  );
  assert.equal(full.subscriber.reason, "spool full: max_size of 16 MiB is reached");
  const shown = await agent.command("status");
  assert.equal(shown.code, 1);
  assert.match(shown.stdout, /attention spool full: max_size of 16 MiB is reached; nothing is received/);
  await delay(7_000); // longer than the keep-alive
  const later = await agent.snapshot();
  assert.deepEqual(
    [later.subscriber.state, later.subscriber.reconnects, later.spool.stored],
    ["paused", full.subscriber.reconnects, full.spool.stored],
  );
  assert.ok(later.spool.sizeBytes <= 16 * MiB);
  assert.equal(later.outputs[0]!.dropped, 0);

  sink.fault = undefined;
  const done = await agent.waitUntil(
    "all to arrive",
    (snapshot) => snapshot.outputs[0]!.confirmed >= count && snapshot.outputs[0]!.waiting === 0,
    60_000,
  );
  const numbers = new Set(sink.sources().map((source) => (source.values as { n: number }).n));
  assert.equal(numbers.size, count);
  assert.ok(sumHolds(done.outputs[0]!));
  assert.ok(done.subscriber.reconnects < 8, `${done.subscriber.reconnects} reconnects`);
  await agent.waitUntil("the segments to go", (snapshot) => snapshot.spool.sizeBytes < 9 * MiB);
  await agent.waitUntil("no alarm", (snapshot) => snapshot.alarms.length === 0);
});

Deno.test("cleaner: drop_oldest: reception goes on, the oldest go, and the sum says how many", async () => {
  await using scene = await Scene.open({
    broker: queueing,
    spool: { max_size: "16MiB", when_full: "drop_oldest" },
  });
  const { agent, sink } = scene;
  sink.fault = { status: 503 };
  await scene.start();
  await scene.publish(readings);
  const full = await agent.waitUntil(
    "all to be stored",
    (snapshot) => snapshot.spool.stored === count,
    30_000,
  );
  assert.ok(full.spool.sizeBytes <= 16 * MiB);
  assert.ok(full.spool.oldestSequence > 1);
  assert.deepEqual([full.subscriber.state, full.subscriber.reconnects], ["connected", 0]);
  assert.ok(full.alarms.some((alarm) => /oldest readings are dropped/.test(alarm.text)));
  sink.fault = undefined;
  const { outputs } = await agent.waitUntil(
    "the rest",
    (snapshot) => snapshot.outputs[0]!.waiting === 0,
    60_000,
  );
  const { stored, confirmed, dropped, droppedWhy } = outputs[0]!;
  assert.ok(sumHolds(outputs[0]!));
  assert.deepEqual([stored, confirmed + dropped, droppedWhy.drop_oldest], [count, count, dropped]);
  // a batch that was under way when its segment went arrives all the same
  const numbers = sink.sources().map((source) => (source.values as { n: number }).n);
  const [underWay, rest] = [numbers.filter((n) => n < full.spool.oldestSequence - 1), numbers.slice(-100)];
  assert.equal(dropped, full.spool.oldestSequence - 1 - underWay.length);
  assert.deepEqual(rest, Array.from({ length: 100 }, (_, i) => count - 100 + i), "the newest, in order");
  assert.equal(new Set(numbers).size, confirmed);
});
