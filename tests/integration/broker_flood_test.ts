import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import process from "node:process";
import { findNumberProperty, findProperty, propertyTypes } from "../../agent/spool/properties.ts";
import { FakeBroker } from "../fakes/fake_broker.ts";
import { startMosquitto } from "../lab/mosquitto.ts";
import { type Message, Publisher } from "../lab/publisher.ts";
import { TestAgent, textOf } from "./broker_setup.ts";

const MiB = 1024 * 1024;

/** Resident memory above what it was when this began, at its highest so far. */
class Growth {
  #highest = 0;
  readonly #start = process.memoryUsage.rss();
  readonly #timer = setInterval(() => this.#look(), 20);

  #look(): void {
    this.#highest = Math.max(this.#highest, process.memoryUsage.rss() - this.#start);
  }
  stop(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#highest;
  }
}

/** Header and head of a PUBLISH of MQTT 5 at QoS 2, in front of `payloadBytes` of payload. */
function publishHead(topic: string, messageId: number, payloadBytes: number): Uint8Array {
  const name = new TextEncoder().encode(topic);
  let length = 2 + name.length + 2 + 1 + payloadBytes;
  const bytes = [0x34];
  for (; length > 127; length = Math.floor(length / 128)) bytes.push(length % 128 | 128);
  return Uint8Array.from([...bytes, length, 0, name.length, ...name, messageId >> 8, messageId & 255, 0]);
}

Deno.test("broker: a message of 250 MB is acknowledged and recorded truncated, with memory flat", async () => {
  const chunk = new Uint8Array(MiB).map((_, i) => i % 251);
  const chunks = 250;
  const sha256 = createHash("sha256");
  await using broker = new FakeBroker(async (client) => {
    client.answerFigures = undefined; // it would come in the middle of the message
    await client.answerConnect();
    await client.answerSubscribe();
    await client.send(
      publishHead("small", 1, 3),
      Uint8Array.from([1, 2, 3]),
      publishHead("big", 2, chunks * MiB),
    );
    await client.next("pubrec"); // of the small one, which must not wait for the big one
    for (let i = 0; i < chunks; i++) {
      sha256.update(chunk);
      await client.send(chunk);
    }
    await client.send(publishHead("behind", 3, 1), Uint8Array.from([9]));
  });
  await using agent = await TestAgent.start({ url: broker.url });
  await agent.connected();
  await agent.stored(1);
  const growth = new Growth();
  await agent.stored(3, 60_000);
  const grown = growth.stop();
  const [, big, behind] = agent.readings();
  assert.equal(textOf(big!.topic), "big");
  assert.equal(big!.truncated, true);
  assert.deepEqual(big!.payload, chunk.slice(0, 65_536));
  assert.equal(findNumberProperty(big!.properties, propertyTypes.fullSize), chunks * MiB);
  assert.deepEqual(findProperty(big!.properties, propertyTypes.sha256), new Uint8Array(sha256.digest()));
  assert.deepEqual([...behind!.payload], [9]);
  assert.equal(agent.status.truncated, 1);
  assert.ok(grown < 40 * MiB, `memory grew by ${Math.round(grown / MiB)} MiB`);
});

Deno.test("broker: 200,000 retained messages at subscribe all arrive, with memory flat", async () => {
  const total = 200_000;
  await using broker = await startMosquitto({
    extra: ["max_queued_messages 0", "max_inflight_messages 1000", "log_type none"],
    persistence: false,
  });
  await using publisher = await Publisher.connect({ port: broker.port });
  function* retained(): Generator<Message> {
    for (let i = 0; i < total; i++) {
      yield { topic: `plant/sensor/${i}`, payload: `value ${i}`, qos: 1, retain: true };
    }
  }
  await publisher.publish(retained());
  await using agent = await TestAgent.start({ url: broker.url, qos: 1 }, { hurry: 1 });
  const growth = new Growth();
  await agent.stored(total, 60_000);
  const grown = growth.stop();
  assert.equal(agent.spool.nextSequence() - 1, total);
  assert.equal(agent.status.acknowledged, total);
  const reader = agent.spool.reader(1);
  const topics = new Set<string>();
  while (topics.size < total) {
    const { readings, fromSequence, nextSequence } = reader.next(10_000, 4 * MiB);
    assert.ok(nextSequence > fromSequence);
    for (const one of readings) topics.add(textOf(one.topic));
  }
  reader.close();
  assert.ok(grown < 40 * MiB, `memory grew by ${Math.round(grown / MiB)} MiB`);
});

Deno.test("broker: a flood at mixed QoS from ten publishers arrives complete, in the order of each topic", async () => {
  const each = 2_000;
  await using broker = await startMosquitto({ extra: ["max_queued_messages 0", "log_type none"] });
  await using agent = await TestAgent.start({ url: broker.url }, { hurry: 1 });
  await agent.connected();
  await Promise.all(Array.from({ length: 10 }, async (_, p) => {
    await using publisher = await Publisher.connect({ port: broker.port });
    await publisher.publish(
      Array.from({ length: each }, (_, i): Message => ({
        topic: `p/${p}`,
        payload: String(i),
        qos: p % 3 as 0 | 1 | 2,
      })),
    );
  }));
  await agent.stored(10 * each, 30_000);
  const next = new Map<string, number>();
  for (const { topic, payload, qos } of agent.readings()) {
    const name = textOf(topic);
    assert.equal(Number(textOf(payload)), next.get(name) ?? 0);
    assert.equal(qos, Number(name.slice(2)) % 3);
    next.set(name, (next.get(name) ?? 0) + 1);
  }
  assert.equal(next.size, 10);
});
