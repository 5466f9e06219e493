import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Packet } from "mqtt-packet";
import { FakeBroker, type FakeClient } from "../fakes/fake_broker.ts";
import { startMosquitto } from "../lab/mosquitto.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { TestAgent } from "./broker_setup.ts";

function publish(payload: string, messageId: number, more: Record<string, unknown> = {}): Packet {
  return {
    cmd: "publish",
    topic: "a",
    payload: Buffer.from(payload),
    qos: 1,
    messageId,
    dup: false,
    retain: false,
    ...more,
  } as Packet;
}

/** Answers CONNECT and SUBSCRIBE as it should. */
async function serve(client: FakeClient, sessionPresent = false): Promise<void> {
  await client.answerConnect(0, sessionPresent);
  await client.answerSubscribe();
}

const refusals: [string, (client: FakeClient) => Promise<void> | void][] = [
  ["return code 1", (client) => client.send(Uint8Array.from([0x20, 2, 0, 1]))],
  ["reason code 132", (client) => client.answerConnect(132)],
  ["a close without CONNACK", (client) => client.close()],
  ["silence", () => {}],
];

for (const [what, refuse] of refusals) {
  Deno.test(`broker: that answers MQTT 5 with ${what} gets 3.1.1, and at once when it is met again`, async () => {
    await using broker = new FakeBroker(async (client) => {
      const connect = await client.next("connect");
      client.received.unshift(connect); // answerConnect takes it from there again
      if (connect.protocolVersion === 5) return await refuse(client);
      await client.send({ cmd: "connack", sessionPresent: false, returnCode: 0 } as Packet);
      await client.answerSubscribe();
    });
    await using agent = await TestAgent.start({ url: broker.url }, { hurry: 50 });
    await agent.connected();
    assert.equal(agent.status.protocol, "MQTT 3.1.1");
    assert.equal(broker.clients.length, 2);
    const client = broker.clients[1]!;
    await client.send(publish("x", 1));
    await client.next("puback");
    await agent.stop();
    await agent.start();
    await agent.connected();
    assert.equal(broker.clients.length, 3, "what worked is remembered for the URL");
    assert.equal(broker.clients[2]!.version, 4);
  });
}

Deno.test("broker: that refuses for another reason is not tried with 3.1.1, and its words are shown", async () => {
  await using broker = new FakeBroker(async (client) => {
    if (broker.clients.length === 1) {
      return await client.answerConnect(136, false, { reasonString: "closed for lunch" });
    }
    await serve(client);
  });
  await using agent = await TestAgent.start({ url: broker.url });
  await agent.until(
    "the reason",
    ({ reason }) => /server unavailable \(136\): closed for lunch/.test(reason ?? ""),
  );
  await agent.connected();
  assert.equal(agent.status.protocol, "MQTT 5");
});

Deno.test("broker: CONNECT asks for a session that lasts, and DISCONNECT keeps it", async () => {
  await using broker = new FakeBroker(serve);
  await using agent = await TestAgent.start({ url: broker.url, clientId: "me", keepAliveS: 17 });
  await agent.connected();
  const client = broker.clients[0]!;
  await waitUntil(() => client.figures.length === 1, 10_000, "all that it asks");
  const connect = client.received.find((packet) => packet.cmd === "connect")!;
  assert.equal(connect.clientId, "me");
  assert.equal(connect.clean, false);
  assert.equal(connect.keepalive, 17);
  assert.equal(connect.properties!.sessionExpiryInterval, 30 * 24 * 3_600);
  assert.ok(connect.properties!.receiveMaximum! > 0);
  assert.equal(connect.properties!.topicAliasMaximum ?? 0, 0);
  assert.equal(connect.properties!.maximumPacketSize, undefined);
  const subscribe = client.received.find((packet) => packet.cmd === "subscribe")!;
  assert.deepEqual(subscribe.subscriptions.map((one) => [one.topic, one.qos, one.rh]), [["#", 2, 1]]);
  await agent.stop();
  const disconnect = await client.next("disconnect");
  assert.equal(disconnect.reasonCode ?? 0, 0);
  assert.equal(disconnect.properties?.sessionExpiryInterval, undefined);
});

Deno.test("broker: a refused filter is an alarm, the others work, and it is asked for again until it is granted", async () => {
  let code = 0x87;
  await using broker = new FakeBroker(async (client) => {
    await client.answerConnect();
    await client.answerSubscribe(code, 1); // npm:mqtt puts a name that is a number first
    while (!client.ended) await client.answerSubscribe(code);
  });
  await using agent = await TestAgent.start({ url: broker.url, topics: ["good", "7"], qos: 1 }, {
    hurry: 100,
  });
  await agent.connected();
  assert.deepEqual(agent.status.filters, [{ filter: "good", granted: 1 }, {
    filter: "7",
    granted: "refused",
  }]);
  const alarm = agent.status.alarms[0]!;
  assert.equal(alarm.code, "filter_refused");
  assert.match(alarm.text, /7: not authorized \(135\)/);
  code = 1;
  await agent.until("the alarm to end", ({ alarms }) => alarms.length === 0);
  assert.deepEqual(agent.status.filters[1], { filter: "7", granted: 1 });
  await agent.stop();
});

Deno.test("broker: a filter that is granted less than was asked shows what was granted", async () => {
  await using broker = new FakeBroker(async (client) => {
    await client.answerConnect();
    await client.answerSubscribe(0);
  });
  await using agent = await TestAgent.start({ url: broker.url, qos: 2 });
  await agent.connected();
  assert.deepEqual(agent.status.filters, [{ filter: "#", granted: 0 }]);
  assert.match(agent.log.text, /grants a filter less/);
});

Deno.test("broker: that keeps the session for an hour only is warned about", async () => {
  await using broker = new FakeBroker(async (client) => {
    await client.answerConnect(0, false, { sessionExpiryInterval: 3_600 });
    await client.answerSubscribe();
  });
  await using agent = await TestAgent.start({ url: broker.url });
  await agent.connected();
  assert.match(agent.log.text, /keeps the session for a short time.*3600/);
});

Deno.test("broker: reason 142 says at once that the client id is in use twice", async () => {
  await using broker = new FakeBroker(async (client) => {
    await serve(client);
    if (client.number > 1) return;
    await client.send(
      { cmd: "disconnect", reasonCode: 142, properties: { reasonString: "again" } } as Packet,
    );
    await delay(20);
    client.close();
  });
  await using agent = await TestAgent.start({ url: broker.url });
  await agent.until("the alarm", ({ alarms }) => alarms.some((one) => one.code === "client_id_in_use"));
  await agent.until(
    "the connection back",
    ({ state, reconnects }) => state === "connected" && reconnects === 1,
  );
  assert.match(agent.log.text, /session taken over \(142\): again/);
});

Deno.test("broker: redirects and reason codes that nobody knows do no harm", async () => {
  await using broker = new FakeBroker(async (client) => {
    if (client.number === 1) {
      return await client.answerConnect(157, false, { serverReference: "other.example:8883" });
    }
    await serve(client);
    if (client.number === 2) {
      await client.send(
        { cmd: "disconnect", reasonCode: 156, properties: { serverReference: "third.example" } } as Packet,
      );
      await delay(20);
      client.close();
    } else if (client.number === 3) await client.send(Uint8Array.from([0xe0, 1, 0xee]));
  });
  await using agent = await TestAgent.start({ url: broker.url });
  await agent.until(
    "the first",
    ({ reason }) => /server moved \(157\): it names other.example:8883/.test(reason ?? ""),
  );
  await agent.until(
    "the second",
    ({ reason }) => /use another server \(156\): it names third/.test(reason ?? ""),
  );
  await agent.until("the third", ({ reason }) => /malformed: DISCONNECT/.test(reason ?? ""), 20_000);
  await agent.until(
    "the fourth",
    ({ state, reconnects }) => state === "connected" && reconnects === 2,
    20_000,
  );
});

const malformed: [string, number[]][] = [
  ["QoS 3", [0x36, 6, 0, 1, 0x61, 0, 9, 0]],
  ["an empty topic", [0x30, 3, 0, 0, 0]],
  ["a topic that is not UTF-8", [0x30, 4, 0, 1, 0xff, 0]],
  ["a wildcard in its topic", [0x30, 4, 0, 1, 0x23, 0]],
  ["a topic alias", [0x30, 7, 0, 1, 0x61, 3, 0x23, 0, 1]],
  ["a remaining length without end", [0x30, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ["a packet that only clients send", [0x82, 5, 0, 1, 0, 0, 0]],
  ["a SUBACK without content", [0x90, 0]],
  ["PUBREL with packet id 0", [0x62, 2, 0, 0]],
];

for (const [what, bytes] of malformed) {
  Deno.test(`broker: ${what} closes the connection with a reason, after what came before is acknowledged`, async () => {
    await using broker = new FakeBroker(async (client) => {
      await serve(client, client.number > 1);
      if (client.number === 1) {
        await client.send(publish("before", 5), Uint8Array.from(bytes), publish("behind", 6));
      } else await client.send(publish("after", 7));
    });
    await using agent = await TestAgent.start({ url: broker.url });
    const first = await broker.client(1);
    await first.next("puback");
    const disconnect = await first.next("disconnect");
    assert.equal(disconnect.reasonCode, 0x81);
    await agent.until("the reason in the log", () => /malformed: /.test(agent.log.text));
    await agent.stored(2);
    assert.deepEqual(agent.payloads(), ["before", "after"]);
    assert.ok(!first.received.some((packet) => packet.cmd === "puback" && packet.messageId === 6));
    assert.deepEqual(agent.status.alarms, [], "our closing says nothing about the client id");
  });
}

Deno.test("broker: a malformed packet every time leads to backoff, not to a loop", async () => {
  await using broker = new FakeBroker(async (client) => {
    await serve(client);
    await client.send(Uint8Array.from([0x30, 3, 0, 0, 0]));
  });
  await using agent = await TestAgent.start({ url: broker.url }, { hurry: 50 });
  await waitUntil(() => agent.clock.bootMs() > 1_000_000 + 120_000, 10_000, "two minutes");
  assert.ok(broker.clients.length <= 12, `${broker.clients.length} connections in two minutes`);
  assert.ok(broker.clients.length >= 3);
});

Deno.test("broker: acknowledgements never wait for more messages", async () => {
  await using broker = new FakeBroker(serve);
  await using agent = await TestAgent.start({ url: broker.url }, { hurry: 1 });
  await agent.connected();
  const client = broker.clients[0]!;
  for (let i = 1; i <= 20; i++) { // a broker that sends one message at a time
    await client.send(publish(String(i), i, { qos: 2 }));
    await client.next("pubrec", 1_000);
    await client.send({ cmd: "pubrel", messageId: i } as Packet);
    await client.next("pubcomp", 1_000);
  }
  assert.equal(agent.status.acknowledged, 20);
});

Deno.test("broker: PINGRESP that never comes ends the connection, also half-way through a packet", async () => {
  await using broker = new FakeBroker(async (client) => {
    client.answerFigures = undefined; // nothing comes behind half a packet
    await serve(client, client.number > 1);
    if (client.number === 1) await client.send(Uint8Array.from([0x32, 0x7f, 0, 1]));
  });
  await using agent = await TestAgent.start({ url: broker.url, keepAliveS: 1 });
  await agent.connected();
  await agent.until("the end of patience", ({ reason }) => /no answer to PINGREQ/.test(reason ?? ""), 5_000);
  await agent.until("a new connection", ({ reconnects }) => reconnects === 1);
  assert.ok(broker.clients[0]!.received.some((packet) => packet.cmd === "pingreq"));
});

Deno.test("broker: a marker that is not let through is reported, and the quiet second does instead", async () => {
  await using broker = new FakeBroker(async (client) => {
    await serve(client, client.number > 1);
    while (!client.ended) {
      const { messageId } = await client.next("publish", 60_000);
      await client.send({ cmd: "puback", messageId: messageId!, reasonCode: 135 } as Packet);
    }
  });
  await using agent = await TestAgent.start({ url: broker.url, statusTopic: "s" });
  await agent.connected();
  await agent.stop();
  await agent.start();
  await agent.until("the alarm", ({ alarms }) => alarms[0]?.code === "marker_missing");
  assert.match(agent.status.alarms[0]!.text, /s\/marker.*Not authorized/);
  assert.equal(agent.status.state, "connected");
  await agent.stop();
});

Deno.test("broker: a killed agent's session goes on with a real broker where its SUBACK was never read", async () => {
  await using broker = await startMosquitto();
  await using agent = await TestAgent.start({ url: broker.url });
  await agent.until("CONNACK", ({ state }) => state === "connected");
  await agent.stop(); // before SUBACK, perhaps before SUBSCRIBE
  await agent.start();
  await agent.connected();
  assert.deepEqual(agent.status.filters, [{ filter: "#", granted: 2 }]);
});
