/** The agent's own broker with clients that are not ours: mosquitto_pub, mosquitto_sub, npm:mqtt. */
import assert from "node:assert/strict";
import { connect as connectSocket } from "node:net";
import { type IClientOptions, MqttClient } from "mqtt";
import { certificates } from "../lab/certificates.ts";
import { finish, type Finished, succeed } from "../lab/command.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";
import { EmbeddedAgent, secret, textOf } from "./embedded_setup.ts";

const place = (agent: EmbeddedAgent) => ["-h", "127.0.0.1", "-p", String(agent.port)];
const pub = (agent: EmbeddedAgent, ...args: string[]) => succeed("mosquitto_pub", [...place(agent), ...args]);
const tryPub = (agent: EmbeddedAgent, ...args: string[]): Promise<Finished> =>
  finish("mosquitto_pub", [...place(agent), "-t", "t", "-m", "m", ...args]);

/** A mosquitto_sub that is subscribed when this returns. */
async function sub(agent: EmbeddedAgent, ...args: string[]): Promise<Running> {
  const running = new Running("stdbuf", ["-oL", "mosquitto_sub", ...place(agent), "-d", ...args]);
  await waitUntil(() => running.stdout.text.includes("Subscribed"), 20_000, "mosquitto_sub to subscribe", {
    explain: () => running.stdout.text + running.stderr.text,
  });
  return running;
}

const messagesOf = (running: Running) =>
  running.stdout.text.split("\n").filter((line) => line !== "" && !/^(Client|Subscribed)/.test(line));

/** A client of npm:mqtt, connected. */
async function mqttClient(agent: EmbeddedAgent, options: IClientOptions = {}): Promise<MqttClient> {
  const client = new MqttClient(() => connectSocket(agent.port, "127.0.0.1"), {
    protocolVersion: 4,
    keepalive: 0,
    reconnectPeriod: 0,
    ...options,
  });
  await new Promise<void>((done, fail) => {
    client.once("connect", () => done());
    client.once("error", fail);
  });
  return client;
}

const publish = (client: MqttClient, topic: string, payload: string, qos: 0 | 1 | 2, retain = false) =>
  new Promise<void>((done, fail) =>
    client.publish(topic, payload, { qos, retain }, (error) => error ? fail(error) : done())
  );
const end = (client: MqttClient) => new Promise<void>((done) => client.end(false, {}, () => done()));

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

Deno.test("embedded broker: npm:mqtt publishes at QoS 0, 1 and 2 at once, and hears of each that it is stored", async () => {
  await using agent = await EmbeddedAgent.start();
  const client = await mqttClient(agent, { clean: false, clientId: "sensor" });
  try {
    const all = Array.from(
      { length: 1_500 },
      (_, i) => publish(client, "t", String(i), (i % 3) as 0 | 1 | 2),
    );
    await Promise.all(all);
    await agent.stored(all.length);
    assert.deepEqual(agent.payloads(), all.map((_, i) => String(i)));
    assert.equal(agent.status.clients, 1);
  } finally {
    await end(client);
  }
  await agent.until("the client to be gone", ({ clients }) => clients === 0);
});

Deno.test("embedded broker: many publishers with the same packet ids share commits, and each gets its own answers", async () => {
  await using agent = await EmbeddedAgent.start();
  let commits = 0;
  const { commit } = agent.spool;
  agent.spool.commit = function () {
    commits++;
    return commit.call(this);
  };
  const publishers = await Promise.all(
    Array.from({ length: 50 }, () => agent.publisher({ qos2InFlightMax: 5 })),
  );
  try {
    await Promise.all(
      publishers.map((publisher, i) =>
        publisher.publish(
          Array.from({ length: 20 }, (_, j) => ({ topic: `p/${i}`, payload: `${i}.${j}`, qos: 2 as const })),
        )
      ),
    );
    const expected = publishers.flatMap((_, i) => Array.from({ length: 20 }, (_, j) => `${i}.${j}`));
    assert.deepEqual(agent.payloads().toSorted(), expected.toSorted());
    assert.ok(commits < 500, `${commits} commits for 1,000 readings`);
    assert.deepEqual([agent.spool.heldCount(), agent.status.duplicates], [0, 0]);
  } finally {
    await Promise.all(publishers.map((publisher) => publisher.close()));
  }
});

Deno.test("embedded broker: subscribers get what others publish, and what was retained", async () => {
  await using agent = await EmbeddedAgent.start();
  await pub(agent, "-q", "1", "-r", "-t", "hall/kept", "-m", "old");
  await pub(agent, "-q", "1", "-r", "-t", "hall/gone", "-m", "old");
  await pub(agent, "-q", "1", "-r", "-t", "hall/gone", "-n");
  await pub(agent, "-q", "1", "-r", "-t", "yard/kept", "-m", "old");
  const subscribers = await Promise.all(
    [0, 1, 2].map((qos) => sub(agent, "-t", "hall/#", "-q", String(qos), "-F", "%t %p %q %r")),
  );
  try {
    await Promise.all(
      subscribers.map((one) =>
        waitUntil(() => messagesOf(one).length === 1, 20_000, "the retained message", {
          explain: () => one.stdout.text,
        })
      ),
    );
    for (const qos of [0, 1, 2]) await pub(agent, "-q", String(qos), "-t", "hall/t", "-m", `at ${qos}`);
    for (const [at, one] of subscribers.entries()) {
      await waitUntil(() => messagesOf(one).length === 4, 20_000, "three more", {
        explain: () => one.stdout.text,
      });
      assert.deepEqual(messagesOf(one), [
        `hall/kept old ${Math.min(at, 1)} 1`,
        ...[0, 1, 2].map((qos) => `hall/t at ${qos} ${Math.min(at, qos)} 0`),
      ]);
    }
    await agent.until("the publishers to be gone", ({ clients }) => clients === 3);
    assert.ok(agent.readings().every((one) => !one.retain), "each message had just come");
    assert.equal(agent.readings().length, 7);
  } finally {
    for (const one of subscribers) await one.stop();
  }
});

Deno.test("embedded broker: the will of a client that vanishes is published and stored; that of one that says goodbye is not", async () => {
  await using agent = await EmbeddedAgent.start();
  const watching = await sub(agent, "-t", "#", "-F", "%t %p");
  try {
    const will = (payload: string) => ({
      topic: "sensor/state",
      payload: payload as never,
      qos: 1 as const,
      retain: false,
    });
    const polite = await mqttClient(agent, { will: will("never") });
    await end(polite);
    const lost = await mqttClient(agent, { will: will("lost") });
    lost.stream.destroy();
    await agent.stored(1);
    assert.deepEqual(agent.payloads(), ["lost"]);
    await waitUntil(() => messagesOf(watching).length > 0, 20_000, "the will");
    assert.deepEqual(messagesOf(watching), ["sensor/state lost"]);
    lost.end(true);
  } finally {
    await watching.stop();
  }
});

Deno.test("embedded broker: wills are not published when the agent stops", async () => {
  await using agent = await EmbeddedAgent.start();
  const client = await mqttClient(agent, {
    will: { topic: "w", payload: "lost" as never, qos: 1, retain: false },
  });
  await publish(client, "t", "m", 1);
  const { spool } = agent;
  const gone = new Promise<void>((done) => client.once("close", () => done()));
  await agent.stop();
  await gone;
  assert.equal(spool.nextSequence(), 2);
  client.end(true);
});

Deno.test("embedded broker: a client for MQTT 5 hears that only 3.1.1 is spoken, and the log says so", async () => {
  await using agent = await EmbeddedAgent.start();
  const { code, stderr, stdout } = await tryPub(agent, "-V", "5");
  assert.notEqual(code, 0, stdout + stderr);
  await agent.until("a line in the log", () => /speaks MQTT 3\.1\.1 only/.test(agent.log.text));
  const client = new MqttClient(() => connectSocket(agent.port, "127.0.0.1"), {
    protocolVersion: 5,
    reconnectPeriod: 0,
  });
  const error = await new Promise<Error & { code?: number }>((done) => client.once("error", done));
  assert.match(error.message, /protocol version/i);
  client.end(true);
  assert.equal((await tryPub(agent, "-V", "311", "-q", "1")).code, 0);
  assert.equal((await tryPub(agent, "-V", "31", "-q", "1")).code, 0);
});

Deno.test("embedded broker: only who knows name and password comes in, and no log shows one", async () => {
  await using agent = await EmbeddedAgent.start({ username: "sensor", password: secret("hunter2") });
  assert.equal((await tryPub(agent, "-u", "sensor", "-P", "hunter2", "-q", "1")).code, 0);
  for (
    const args of [[], ["-u", "sensor"], ["-u", "sensor", "-P", "hunter3"], ["-u", "other", "-P", "hunter2"]]
  ) {
    const { code, stderr } = await tryPub(agent, ...args, "-q", "1");
    assert.notEqual(code, 0);
    assert.match(stderr, /not authori[sz]ed|bad user name or password/i);
  }
  assert.deepEqual([agent.payloads(), agent.status.received], [["m"], 1]);
  agent.reload({ password: secret("hunter3") });
  assert.equal((await tryPub(agent, "-u", "sensor", "-P", "hunter3", "-q", "1")).code, 0);
  assert.doesNotMatch(agent.log.text, /hunter/);
  assert.match(agent.log.text, /wrong user name or password/);
});

Deno.test("embedded broker: over TLS, and not without", async () => {
  const { ca, server } = await certificates();
  const read = (path: string) => Deno.readTextFileSync(path);
  await using agent = await EmbeddedAgent.start({
    listen: { host: "0.0.0.0", port: 0 },
    username: "sensor",
    password: secret("hunter2"),
    certificatePem: read(server.certificate),
    key: secret(read(server.key)),
  });
  assert.match(agent.url, /^mqtts:\/\/0\.0\.0\.0:/);
  const account = ["-u", "sensor", "-P", "hunter2", "-q", "2"];
  assert.equal((await tryPub(agent, "--cafile", ca.certificate, ...account)).code, 0);
  assert.notEqual((await tryPub(agent, ...account)).code, 0);
  assert.deepEqual(agent.payloads(), ["m"]);
});

Deno.test("embedded broker: IPv6", async () => {
  await using agent = await EmbeddedAgent.start({ listen: { host: "::1", port: 0 } });
  assert.match(agent.url, /^mqtt:\/\/\[::1\]:\d+$/);
  await succeed("mosquitto_pub", ["-h", "::1", "-p", String(agent.port), "-t", "t", "-m", "six", "-q", "2"]);
  assert.deepEqual(agent.payloads(), ["six"]);
});

Deno.test("embedded broker: a port that is taken names both ways out", async () => {
  await using agent = await EmbeddedAgent.start();
  const other = EmbeddedAgent.start({ listen: { host: "127.0.0.1", port: agent.port } });
  await assert.rejects(other, /another program listens there already.*mqtt\.url.*mqtt\.listen/);
});

Deno.test("embedded broker: a client id that connects again ends the connection before, as the protocol has it", async () => {
  await using agent = await EmbeddedAgent.start();
  const first = await mqttClient(agent, { clientId: "same" });
  const closed = new Promise<void>((done) => first.once("close", () => done()));
  const second = await mqttClient(agent, { clientId: "same" });
  await closed;
  await publish(second, "t", "m", 2);
  assert.deepEqual(agent.payloads(), ["m"]);
  await end(second);
  first.end(true);
});

Deno.test("embedded broker: filters changed by a reload hold at once, and $SYS is nobody's to write", async () => {
  await using agent = await EmbeddedAgent.start({ exclude: ["hall/noise"] });
  await pub(agent, "-q", "2", "-t", "hall/noise", "-m", "x");
  await pub(agent, "-q", "2", "-t", "hall/t", "-m", "1");
  agent.reload({ topics: ["yard/#"], exclude: [] });
  await pub(agent, "-q", "2", "-t", "hall/t", "-m", "2");
  await pub(agent, "-q", "1", "-t", "yard/t", "-m", "3");
  await finish("mosquitto_pub", [...place(agent), "-q", "1", "-t", "$SYS/x", "-m", "4"]);
  assert.deepEqual(agent.payloads(), ["1", "3"]);
  const { received, excluded, acknowledged } = agent.status;
  assert.deepEqual({ received, excluded, acknowledged }, { received: 4, excluded: 2, acknowledged: 4 });
});
