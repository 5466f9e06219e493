import assert from "node:assert/strict";
import { Sensors } from "../../agent/demo/sensors.ts";
import { waitUntil } from "../lab/wait.ts";
import { seededRandom } from "../fakes/seeded_random.ts";
import { EmbeddedAgent } from "./embedded_setup.ts";

Deno.test("demo sensors: they publish at QoS 1, come back by themselves when there was no room, and end without a rest", async () => {
  await using agent = await EmbeddedAgent.start();
  agent.full = "no room on the disk";
  await agent.until("the broker to refuse", ({ state }) => state === "paused");
  const sensors = Sensors.start(agent.url, seededRandom(3));
  try {
    assert.equal(sensors.acknowledgedAfterMs(), undefined);
    await waitUntil(() => agent.log.text.includes("was disconnected"), 30_000, "sensors to be refused", {
      explain: () => agent.log.text,
    });
    agent.full = undefined;
    await agent.until(
      "all four to publish",
      ({ clients, acknowledged }) => clients === 4 && acknowledged >= 12,
      30_000,
    );
    agent.full = "no room on the disk"; // whoever publishes now is disconnected
    await agent.until("the broker to refuse", ({ clients }) => clients === 0, 30_000);
    agent.full = undefined;
    await agent.until("all four to come back", ({ clients }) => clients === 4, 30_000);
  } finally {
    await sensors.stop();
  }
  await agent.until("all four to be gone", ({ clients }) => clients === 0);
  const topics = new Set(agent.readings().map(({ topic }) => new TextDecoder().decode(topic)));
  assert.deepEqual([...topics].sort(), [
    "greenhouse/humidity",
    "greenhouse/temperature",
    "hall1/pump",
    "tank/level",
  ]);
  assert.ok(agent.readings().every(({ qos }) => qos === 1));
  assert.ok(sensors.acknowledgedAfterMs()! > 0);
});
