import assert from "node:assert/strict";
import { certificates } from "./certificates.ts";
import { type Mosquitto, startMosquitto } from "./mosquitto.ts";
import { Running } from "./process.ts";
import { type Message, Publisher } from "./publisher.ts";
import { delay, waitUntil } from "./wait.ts";

/** A mosquitto_sub that is subscribed when this returns. */
async function subscribe(broker: Mosquitto, count: number): Promise<Running> {
  const args = ["-p", String(broker.port), "-t", "#", "-q", "2", "-F", "%t %q %r %p", "-C", String(count)];
  const running = new Running("mosquitto_sub", args);
  await waitUntil(() => broker.log.includes("Sending SUBACK"), 5_000, "mosquitto_sub to subscribe");
  return running;
}

Deno.test("publisher: every message arrives once and in order, at each QoS, in MQTT 3.1.1 and 5, plain and over TLS", async () => {
  const made = await certificates();
  for (const protocol of [4, 5] as const) {
    for (const tls of [undefined, made.server]) {
      await using broker = await startMosquitto({
        ...(tls === undefined ? {} : { tls }),
        users: { agent: "secret" },
      });
      await using publisher = await Publisher.connect({
        port: broker.port,
        protocol,
        username: "agent",
        password: "secret",
        ...(tls === undefined ? {} : { caFile: made.ca.certificate }),
      });
      const messages = Array.from({ length: 900 }, (_, i): Message => ({
        topic: `t/${i % 3}`,
        payload: String(i),
        qos: (i % 3) as 0 | 1 | 2,
      }));
      const taken: Message[] = [];
      await publisher.publish(messages, (message) => taken.push(message));
      assert.equal(publisher.taken, 900);
      assert.equal(taken.length, 900);
    }
  }
});

Deno.test("publisher: a subscriber gets what was published, in order", async () => {
  await using broker = await startMosquitto({
    // with a window (20 by default) Mosquitto 2.0.11 itself lets a message overtake another of its topic and QoS
    extra: ["max_queued_messages 0", "max_inflight_messages 0"],
  });
  const count = 3_000;
  const subscriber = await subscribe(broker, count);
  await using publisher = await Publisher.connect({ port: broker.port });
  const qosOf = (i: number) => (i % 3) as 0 | 1 | 2;
  await publisher.publish(Array.from({ length: count }, (_, i) => ({
    topic: `t/${qosOf(i)}`,
    payload: i === 7 ? "x".repeat(600_000) : String(i),
    qos: qosOf(i),
  })));
  await subscriber.exit;
  const lines = subscriber.stdout.text.trimEnd().split("\n");
  assert.equal(lines.length, count);
  for (const qos of [0, 1, 2]) {
    const own = lines.filter((line) => line.startsWith(`t/${qos} ${qos} 0 `)).map((line) => line.slice(8));
    const wanted = Array.from({ length: count }, (_, i) => i).filter((i) => qosOf(i) === qos)
      .map((i) => i === 7 ? "x".repeat(600_000) : String(i));
    assert.deepEqual(own, wanted);
  }
});

Deno.test("publisher: a broker that goes away, or refuses, is an error and not a silence", async () => {
  await using broker = await startMosquitto({ users: { agent: "secret" } });
  const login = { port: broker.port, username: "agent" };
  await assert.rejects(Publisher.connect({ ...login, password: "wrong" }), /refused the publisher: reason 5/);
  await using publisher = await Publisher.connect({ ...login, password: "secret" });
  await publisher.publish([{ topic: "a", payload: "1", qos: 1 }]);
  Deno.kill(broker.pid, "SIGSTOP");
  const endless = function* (): Generator<Message> {
    while (true) yield { topic: "a", payload: "x".repeat(1000), qos: 1 };
  };
  const publishing = publisher.publish(endless());
  publishing.catch(() => {});
  await delay(50);
  await broker.kill();
  await assert.rejects(publishing);
});
