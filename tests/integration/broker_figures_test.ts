import assert from "node:assert/strict";
import { join } from "node:path";
import type { Packet } from "mqtt-packet";
import { FakeBroker } from "../fakes/fake_broker.ts";
import { succeed } from "../lab/command.ts";
import { type Mosquitto, startMosquitto } from "../lab/mosquitto.ts";
import { Publisher } from "../lab/publisher.ts";
import { waitUntil } from "../lab/wait.ts";
import { TestAgent, textOf } from "./broker_setup.ts";

/** Figures every second, and room for three messages of a client that is away. */
const extra = ["sys_interval 1", "max_queued_messages 3", "max_inflight_messages 3"];

async function publish(broker: Mosquitto, count: number, topic: string): Promise<void> {
  await using publisher = await Publisher.connect({ port: broker.port });
  const payloads = Array.from({ length: count }, (_, i) => String(i));
  await publisher.publish(payloads.map((payload) => ({ topic, payload, qos: 1 })));
}

/** A client that is away, with a session that subscribes to this. */
function leaveSession(broker: Mosquitto, id: string, topic: string): Promise<string> {
  return succeed("mosquitto_sub", ["-p", String(broker.port), "-i", id, "-c", "-q", "1", "-t", topic, "-E"]);
}

const alarmOf = (agent: TestAgent) => agent.status.alarms.find(({ code }) => code === "broker_drops");

/** Waits until the broker has said how many messages it dropped. */
function looked(agent: TestAgent): Promise<unknown> {
  return agent.until("the figures", ({ broker }) => broker?.dropped !== undefined, 20_000);
}

/** Lets that many minutes of its time pass. */
function minutes(agent: TestAgent, count: number): Promise<unknown> {
  const endMs = agent.clock.bootMs() + count * 60_000;
  return waitUntil(() => agent.clock.bootMs() >= endMs, 20_000, `${count} minutes`);
}

/** Makes the agent begin with MQTT 3.1.1, as after a broker that knew no MQTT 5. */
async function speakOld(agent: TestAgent): Promise<void> {
  await agent.stop();
  const path = join(agent.dir, "session.json");
  const known = JSON.parse(await Deno.readTextFile(path));
  const old = { ...known, protocol: 4, protocolSinceMs: agent.clock.wallMs() };
  await Deno.writeTextFile(path, JSON.stringify(old));
  await agent.start();
  await agent.connected();
}

for (const protocol of ["MQTT 5", "MQTT 3.1.1"] as const) {
  Deno.test(`figures: ${protocol}: a real broker that drops raises the alarm, and nothing of it is stored or counted`, async () => {
    await using broker = await startMosquitto({ extra });
    await using agent = await TestAgent.start({ url: broker.url, topics: ["a"] }, { hurry: 1 });
    await agent.connected();
    if (protocol === "MQTT 3.1.1") await speakOld(agent);
    await looked(agent);
    assert.equal(agent.status.protocol, protocol);
    await leaveSession(broker, "away", "other");
    await publish(broker, 20, "other");
    await agent.until("the alarm", () => alarmOf(agent) !== undefined, 20_000);
    assert.match(alarmOf(agent)!.text, /the broker dropped 17 messages between /);
    await agent.until("the clients", ({ broker: it }) => it?.clientsAway === 1, 20_000);
    const it = agent.status.broker!;
    assert.match(it.version!, /^mosquitto version 2\./);
    assert.equal(it.clientsConnected, 1);
    assert.ok(it.heldBytes! > 0);
    assert.equal(it.dropped, 17);
    const { received, acknowledged, lastMessageMs, ratePerS, qos0Lost } = agent.status;
    assert.deepEqual([received, acknowledged, lastMessageMs, ratePerS, qos0Lost], [0, 0, undefined, 0, 0]);
    assert.equal(agent.spool.nextSequence(), 1);
    assert.match(broker.log, /dropped for client away/);
  });
}

Deno.test("figures: what the broker dropped of the agent's own messages is told when it comes back", async () => {
  await using broker = await startMosquitto({ extra });
  await using agent = await TestAgent.start({ url: broker.url, topics: ["a"] }, { hurry: 1 });
  await agent.connected();
  await looked(agent);
  await agent.stop();
  await publish(broker, 20, "a");
  await agent.start();
  await agent.stored(3);
  await agent.until("the alarm", () => alarmOf(agent) !== undefined, 20_000);
  assert.match(alarmOf(agent)!.text, /dropped 17 messages between /);
  assert.deepEqual(agent.payloads(), ["0", "1", "2"]);
  assert.ok(agent.readings().every((one) => one.queued));
});

Deno.test("figures: a broker that was started again counts from 0, and its next drops are told", async () => {
  await using broker = await startMosquitto({ extra });
  await using agent = await TestAgent.start({ url: broker.url, topics: ["a"] });
  await agent.connected();
  await looked(agent);
  await leaveSession(broker, "away", "other");
  await publish(broker, 20, "other");
  await agent.until("the alarm", ({ broker: it }) => it?.dropped === 17, 20_000);
  await broker.restart();
  await agent.until("the connection back", ({ reconnects }) => reconnects === 1, 20_000);
  await publish(broker, 5, "other"); // the queue is still full
  await agent.until("the sum", ({ broker: it }) => it?.dropped === 22, 20_000);
  assert.match(alarmOf(agent)!.text, /dropped 22 messages/);
});

for (const protocol of ["MQTT 5", "MQTT 3.1.1"] as const) {
  Deno.test(`figures: ${protocol}: the subscriptions live as long as a connection, and a filter of the user's takes their place`, async () => {
    await using broker = await startMosquitto({ extra: ["sys_interval 1"] });
    await using agent = await TestAgent.start({ url: broker.url, topics: ["a"] });
    await agent.connected();
    if (protocol === "MQTT 3.1.1") await speakOld(agent);
    await looked(agent);
    const before = broker.log.length;
    await agent.stop();
    await agent.start();
    await agent.connected();
    await agent.until("the figures again", ({ broker: it }) => it?.version !== undefined, 20_000);
    const asked = /UNSUBSCRIBE from agent[^]*\$SYS\/broker\/version[^]*agent 0 \$SYS\/broker\/version/;
    assert.match(broker.log.slice(before), asked, "taken out before they are asked for");
    assert.equal(agent.spool.nextSequence(), 1);
    const asks = () => broker.log.split("agent 0 $SYS/broker/clients/connected").length;
    const asksBefore = asks();
    agent.reload({ topics: ["a", "$SYS/broker/clients/#"] });
    await agent.until("what the user wants", () => agent.spool.nextSequence() > 1, 20_000);
    await publish(broker, 1, "a");
    await agent.until("the reading", () => agent.readings().some((one) => textOf(one.topic) === "a"), 20_000);
    await agent.until("the clients", ({ broker: it }) => it?.clientsConnected === 1, 20_000);
    const topics = new Set(agent.readings().map((one) => textOf(one.topic)));
    assert.ok(topics.has("$SYS/broker/clients/connected"));
    topics.delete("a");
    for (const topic of topics) assert.match(topic, /^\$SYS\/broker\/clients\//);
    agent.reload({ topics: ["a"] });
    await waitUntil(() => asks() > asksBefore, 20_000, "the agent to ask for itself again");
    const stored = agent.readings().length;
    await leaveSession(broker, "away", "other");
    await agent.until("the client that is away", ({ broker: it }) => it?.clientsAway === 1, 20_000);
    await publish(broker, 1, "a");
    await agent.until("the reading", () => agent.readings().length > stored, 20_000);
    assert.deepEqual(agent.readings().slice(stored).map((one) => textOf(one.topic)), ["a"]);
  });
}

Deno.test("figures: an agent that has lost its session.json sees them all the same, and stores none", async () => {
  await using broker = await startMosquitto({ extra });
  await using agent = await TestAgent.start({ url: broker.url, topics: ["a"] });
  await agent.connected();
  await looked(agent);
  await agent.stop();
  await Deno.remove(join(agent.dir, "session.json"));
  await agent.start();
  await agent.until(
    "what only the retained message tells",
    ({ broker: it }) => it?.version !== undefined,
    20_000,
  );
  assert.equal(agent.status.sessionPresent, true);
  assert.equal(agent.spool.nextSequence(), 1);
});

for (const code of [128, 135]) {
  Deno.test(`figures: a broker that refuses them with ${code} raises no alarm and is not asked again on this connection`, async () => {
    await using broker = new FakeBroker(async (client) => {
      client.answerFigures = (packet) => {
        const granted = packet.cmd === "subscribe" ? packet.subscriptions.map(() => code) : [];
        return client.send({ cmd: "suback", messageId: packet.messageId!, granted } as Packet);
      };
      await client.next("connect");
      const rest = code === 135 ? { reasonCode: 0 } : { returnCode: 0 };
      if (code === 128 && client.version === 5) return client.close();
      await client.send({ cmd: "connack", sessionPresent: false, ...rest } as Packet);
      await client.answerSubscribe();
    });
    await using agent = await TestAgent.start({ url: broker.url }, { hurry: 100 });
    await agent.connected();
    await agent.until("the refusal", () => /does not tell everything/.test(agent.log.text));
    const client = broker.clients.at(-1)!;
    await minutes(agent, 3);
    assert.deepEqual(agent.status.alarms, []);
    assert.equal(agent.status.broker, undefined);
    assert.equal(client.figures.length, 1);
    assert.doesNotMatch(agent.log.text, /warning|error/);
  });
}

Deno.test("figures: a broker that closes the connection when it is asked is not asked a third time", async () => {
  await using broker = new FakeBroker(async (client) => {
    client.answerFigures = () => Promise.resolve(client.close());
    await client.answerConnect();
    await client.answerSubscribe();
  });
  await using agent = await TestAgent.start({ url: broker.url }, { hurry: 100 });
  const client = await broker.client(3, 20_000);
  await agent.connected();
  await waitUntil(
    () => client.received.some(({ cmd }) => cmd === "subscribe"),
    20_000,
    "its filters",
  );
  await minutes(agent, 3);
  assert.deepEqual(broker.clients.map((one) => one.figures.length), [1, 1, 0]);
  assert.deepEqual(agent.status.alarms, []);
});

Deno.test("figures: a broker that never answers the question delivers all the same, and takes changed filters", async () => {
  await using broker = new FakeBroker(async (client) => {
    client.answerFigures = undefined;
    await client.answerConnect();
    await client.answerSubscribe();
    const { messageId } = await client.next("unsubscribe");
    await client.send({ cmd: "unsuback", messageId: messageId!, granted: [0] } as Packet);
    await client.answerSubscribe();
  });
  await using agent = await TestAgent.start({ url: broker.url, topics: ["a"] });
  await agent.connected();
  await waitUntil(() => broker.clients[0]!.figures.length === 1, 20_000, "the question");
  agent.reload({ topics: ["b"] });
  await agent.until(
    "the new filter",
    ({ filters }) => filters[0]!.filter === "b" && filters[0]!.granted === 2,
  );
  assert.deepEqual(agent.status.alarms, []);
});
