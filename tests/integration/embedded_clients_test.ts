/** The agent's own broker with clients that are not ours: mosquitto_pub, mosquitto_sub, npm:mqtt. */
import assert from "node:assert/strict";
import { succeed } from "../lab/command.ts";
import { EmbeddedAgent, textOf } from "./embedded_setup.ts";

const pub = (agent: EmbeddedAgent, ...args: string[]) =>
  succeed("mosquitto_pub", ["-h", "127.0.0.1", "-p", String(agent.port), ...args]);

Deno.test("embedded broker: what mosquitto_pub publishes is on disk, at each QoS as it was sent", async () => {
  await using agent = await EmbeddedAgent.start();
  for (const qos of [0, 1, 2]) await pub(agent, "-q", String(qos), "-t", `hall/${qos}`, "-m", `at ${qos}`);
  await agent.stored(3);
  const readings = agent.readings();
  assert.deepEqual(readings.map((one) => [textOf(one.topic), textOf(one.payload), one.qos, one.packetId]), [
    ["hall/0", "at 0", 0, 0],
    ["hall/1", "at 1", 1, 0],
    ["hall/2", "at 2", 2, 0],
  ]);
  assert.equal(agent.spool.heldCount(), 0);
  const { received, acknowledged, state, url } = agent.status;
  assert.deepEqual([received, acknowledged, state], [3, 2, "listening"]);
  assert.match(url!, /^mqtt:\/\/127\.0\.0\.1:\d+$/);
});

for (const qos of [0, 1, 2] as const) {
  Deno.test(`embedded broker: a fast publisher at QoS ${qos} is taken whole and in order`, async () => {
    await using agent = await EmbeddedAgent.start();
    await using publisher = await agent.publisher({ qos2InFlightMax: 500 });
    const payloads = Array.from({ length: 5_000 }, (_, i) => String(i));
    await publisher.publish(payloads.map((payload) => ({ topic: "t", payload, qos })));
    await agent.stored(payloads.length);
    assert.deepEqual(agent.payloads(), payloads);
  });
}
