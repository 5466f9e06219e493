/** The whole way, as a user has it: the compiled binary between a TLS broker and a TLS Elasticsearch that both want to know who comes. */
import assert from "node:assert/strict";
import { Agent, type Architecture } from "../lab/agent.ts";
import { certificates } from "../lab/certificates.ts";
import { type Elasticsearch, type Found, startElasticsearch } from "../lab/elasticsearch.ts";
import { type Mosquitto, startMosquitto } from "../lab/mosquitto.ts";
import { type Message, Publisher } from "../lab/publisher.ts";

const publishers = 10;
/** In the agent's past, so that the document goes into an index of another day. */
const oldTime = new Date(Math.floor(Date.now() / 1000) * 1000 - 3 * 86_400_000);

/** What a document must say beside what all of them say; `payload` and `values` as they are. */
interface Expected {
  value?: number;
  text?: string;
  values?: Record<string, number>;
  payload?: unknown;
  payload_base64?: string;
  clock?: string;
}

/** Kinds of payloads: what is published, and what must stand in the document. */
const kinds: ((i: number) => [string | Uint8Array, Expected])[] = [
  (i) => [`${i}.5`, { value: i + 0.5 }],
  (i) => [` -3e${i % 9}\n`, { value: -3 * 10 ** (i % 9) }],
  () => ["9007199254740993", { value: 9007199254740992, text: "9007199254740993" }],
  (i) => [
    JSON.stringify({ t: i, "in": { rpm: 1500.5, on: true }, name: "press" }),
    { values: { t: i, "in.rpm": 1500.5 }, payload: { t: i, in: { rpm: 1500.5, on: true }, name: "press" } },
  ],
  (i) => [`puerta ${i} abierta: ñ 漢 🌡`, { text: `puerta ${i} abierta: ñ 漢 🌡` }],
  (
    i,
  ) => [new Uint8Array([0xff, 0xfe, i & 255]), {
    payload_base64: btoa(String.fromCharCode(0xff, 0xfe, i & 255)),
  }],
  () => ["1e400", { text: "1e400" }],
  () => ["", { text: "" }],
  (i) => [`[${i},2]`, { text: `[${i},2]` }],
  (i) => {
    const reading = { value: i, time: oldTime.toISOString() };
    return [JSON.stringify(reading), { value: i, values: { value: i }, payload: reading, clock: "payload" }];
  },
  () => ["0x10", { text: "0x10" }],
  (i) => ["x".repeat(i % 4_000 + 1), { text: "x".repeat(i % 4_000 + 1) }],
];

interface Case {
  message: Message;
  expected: Expected;
}

/** Message `i`: its topic names the publisher and is its own, so that a document shows which message it is. */
function caseOf(i: number): Case {
  const [payload, expected] = kinds[i % kinds.length]!(i);
  const publisher = i % publishers;
  return {
    message: {
      topic: `hall ${publisher % 3}/machine-${publisher}/${i}`,
      payload,
      qos: (Math.floor(i / publishers) % 3) as 0 | 1 | 2,
      // every second publisher speaks MQTT 5
      ...(publisher % 2 === 1 ? { userProperties: [["n", String(i)], ["unit", "°C"]] } : {}),
    },
    expected,
  };
}

function verify(document: Found, { message, expected }: Case, plant: string): void {
  const source = document._source as Record<string, Record<string, unknown>> & { topic: string };
  const { topic, value, text, values, payload, payload_base64, host, labels, mqtt, event } = source;
  const { clock = "synced", ...content } = expected;
  const got = Object.fromEntries(
    Object.entries({ value, text, values, payload, payload_base64 }).filter(([, one]) => one !== undefined),
  );
  assert.deepEqual(got, content, topic);
  const [area, machine] = topic.split("/");
  assert.deepEqual(labels, { plant, area, machine, line: "7" }, topic);
  assert.deepEqual(host, { name: plant, ip: "192.0.2.7" });
  const properties = Object.fromEntries(message.userProperties ?? []);
  const user = message.userProperties === undefined ? {} : { user_properties: properties };
  assert.deepEqual(mqtt, { qos: message.qos, retain: false, ...user }, topic);
  assert.equal(event!.id, document._id);
  assert.equal(event!.clock, clock, topic);
  const time = String(source["@timestamp"]);
  assert.equal(time, clock === "payload" ? oldTime.toISOString() : event!.created, topic);
  assert.ok(Math.abs(Date.parse(String(event!.created)) - Date.now()) < 600_000, topic);
  assert.equal(document._index, `whole-${plant}-${time.slice(0, 10).replaceAll("-", ".")}`);
}

async function publishAll(broker: Mosquitto, caFile: string, cases: Case[]): Promise<void> {
  await Promise.all(Array.from({ length: publishers }, async (_, own) => {
    await using publisher = await Publisher.connect({
      port: broker.port,
      caFile,
      username: "sensor",
      password: "sensor-secret",
      protocol: own % 2 === 1 ? 5 : 4,
    });
    await publisher.publish(cases.filter((_, i) => i % publishers === own).map(({ message }) => message));
  }));
}

async function bringAll(
  architecture: Architecture,
  count: number,
  broker: Mosquitto,
  server: Elasticsearch,
): Promise<void> {
  const { ca } = await certificates();
  const plant = `plant-${architecture.replace("_", "-")}`;
  const key = await server.apiKey({
    agent: {
      cluster: ["monitor", "manage_index_templates"],
      indices: [{ names: ["whole-*"], privileges: ["create_doc", "auto_configure"] }],
    },
  });
  await using agent = await Agent.create({
    architecture,
    config: {
      plant,
      host_ip: "192.0.2.7",
      labels: { line: "7" },
      labels_from_topic: "{area}/{machine}/+",
      mqtt: {
        url: broker.url,
        ca_file: ca.certificate,
        username: "agent",
        password_file: "mqtt-password",
        client_id: plant,
        qos: 2,
        status_topic: `sensorlog/${plant}`,
      },
      outputs: {
        cloud: {
          type: "elasticsearch",
          urls: [server.url],
          ca_file: ca.certificate,
          api_key_file: "elastic-api-key",
          index: `whole-${plant}-%Y.%m.%d`,
        },
      },
    },
    secrets: { "mqtt-password": "agent-secret\n", "elastic-api-key": `${key}\n` },
  });
  agent.start();
  await agent.waitUntilReady(90_000);
  const cases = Array.from({ length: count }, (_, i) => caseOf(i));
  await publishAll(broker, ca.certificate, cases);
  const { outputs: [output], subscriber, alarms } = await agent.waitUntil(
    "all readings to be confirmed",
    ({ outputs: [output] }) => output!.confirmed >= count && output!.waiting === 0,
    120_000,
  );
  const documents = await server.documents(`whole-${plant}-*`);
  const byTopic = new Map(documents.map((document) => [document._source.topic as string, document]));
  assert.equal(documents.length, count, "each once");
  for (const one of cases) {
    const document = byTopic.get(one.message.topic);
    assert.ok(document !== undefined, `${one.message.topic} is missing`);
    verify(document, one, plant);
  }
  const sequences = new Set(documents.map(({ _source }) => (_source.event as { sequence: number }).sequence));
  assert.equal(sequences.size, count);
  const { stored, confirmed, waiting, dead, dropped, damaged } = output!;
  assert.deepEqual([stored, confirmed, waiting, dead, dropped, damaged], [count, count, 0, 0, 0, 0]);
  assert.deepEqual(alarms, []);
  assert.equal(subscriber.protocol, "MQTT 5");
  const status = await agent.command("status", "--json");
  assert.equal(status.code, 0, status.stderr);
  assert.equal(JSON.parse(status.stdout).outputs[0].confirmed, count);
  assert.deepEqual(await agent.stop(60_000), { code: 0, signal: null });
  for (const secret of ["agent-secret", key]) {
    assert.ok(!agent.log.includes(secret), "a secret is in the log");
  }
}

Deno.test("whole: through TLS broker and TLS Elasticsearch each of 20,000 mixed readings arrives once, its fields right; on aarch64 200", async (t) => {
  const made = await certificates();
  const users = { agent: "agent-secret", sensor: "sensor-secret" };
  const extra = ["max_queued_messages 0", "max_inflight_messages 200"];
  await using broker = await startMosquitto({ tls: made.server, users, extra });
  await using server = await startElasticsearch({
    name: "whole",
    security: true,
    tls: { ...made.server, ca: made.ca.certificate },
  });
  await t.step("x86_64: 20,000", () => bringAll("x86_64", 20_000, broker, server));
  await t.step("aarch64: 200", () => bringAll("aarch64", 200, broker, server));
});
