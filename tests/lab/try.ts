/**
 * `deno task try`: a real Mosquitto and a real Elasticsearch, both with TLS and passwords, the agent between them, ten
 * readings published and shown as they stand in the index. Brings what is missing, and leaves nothing running.
 */
import { Agent } from "./agent.ts";
import { certificates } from "./certificates.ts";
import { type Elasticsearch, type Found, startElasticsearch } from "./elasticsearch.ts";
import { install } from "./install.ts";
import { type Mosquitto, startMosquitto } from "./mosquitto.ts";
import { type Message, Publisher } from "./publisher.ts";
import { waitUntil } from "./wait.ts";

/** Ten readings of four sensors: numbers, JSON, text. */
const readings: [topic: string, payload: string][] = [
  ["cellar/north/temperature", "11.4"],
  ["cellar/north/humidity", "78"],
  ["cellar/south/temperature", "12.1"],
  ["cellar/south/humidity", "81"],
  ["press/1/state", '{"pressure":{"bar":6.2},"speed":1450,"mode":"auto"}'],
  ["press/1/door", "closed"],
  ["greenhouse/2/co2", '{"value":612,"age_s":30}'],
  ["cellar/north/temperature", "11.5"],
  ["press/1/state", '{"pressure":{"bar":6.4},"speed":1452,"mode":"auto"}'],
  ["press/1/door", "open"],
];

const terminal = Deno.stdout.isTerminal();
const bold = (text: string) => terminal ? `\x1b[1m${text}\x1b[0m` : text;
const dim = (text: string) => terminal ? `\x1b[2m${text}\x1b[0m` : text;

/** Says what is being done, and how long it took. */
async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  await Deno.stdout.write(new TextEncoder().encode(`${what} … `));
  const result = await work();
  console.log(dim(`${((performance.now() - startMs) / 1000).toFixed(1)} s`));
  return result;
}

async function broker(): Promise<Mosquitto> {
  const { server } = await certificates();
  return await startMosquitto({ tls: server, users: { agent: "agent-password", sensor: "sensor-password" } });
}

async function elasticsearch(): Promise<Elasticsearch> {
  const { server, ca } = await certificates();
  return await startElasticsearch({ security: true, tls: { ...server, ca: ca.certificate } });
}

async function agentBetween(broker: Mosquitto, server: Elasticsearch): Promise<Agent> {
  const { ca } = await certificates();
  const apiKey = await server.apiKey({
    agent: {
      cluster: ["monitor", "manage_index_templates"],
      indices: [{ names: ["mqtt-*"], privileges: ["create_doc", "auto_configure", "view_index_metadata"] }],
    },
  });
  return await Agent.create({
    fromSources: true,
    config: {
      plant: "try",
      labels_from_topic: "{area}/{machine}/+",
      mqtt: {
        url: broker.url,
        ca_file: ca.certificate,
        username: "agent",
        password_file: "mqtt-password",
        status_topic: "sensorlog/try",
      },
      outputs: {
        cloud: {
          type: "elasticsearch",
          urls: [server.url],
          ca_file: ca.certificate,
          api_key_file: "elastic-api-key",
        },
      },
    },
    secrets: { "mqtt-password": "agent-password", "elastic-api-key": apiKey },
  });
}

async function publish(broker: Mosquitto): Promise<void> {
  const { ca } = await certificates();
  await using publisher = await Publisher.connect({
    port: broker.port,
    caFile: ca.certificate,
    username: "sensor",
    password: "sensor-password",
  });
  await publisher.publish(readings.map(([topic, payload], i): Message => {
    return { topic, payload: new TextEncoder().encode(payload), qos: i % 2 === 0 ? 1 : 2 };
  }));
}

/** One line per document: when, where from, what. */
function table(documents: Found[]): string[] {
  const rows = documents.map(({ _source }) => {
    const { topic, value, text, payload, event, "@timestamp": time } = _source as {
      topic: string;
      value?: number;
      text?: string;
      payload?: unknown;
      event: { sequence: number; clock: string };
      "@timestamp": string;
    };
    const shown = payload === undefined ? value ?? JSON.stringify(text) : JSON.stringify(payload);
    return [String(event.sequence), time, topic, event.clock, String(shown)];
  }).sort((a, b) => Number(a[0]) - Number(b[0]));
  const head = ["event.sequence", "@timestamp", "topic", "event.clock", "value, text or payload"];
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: string[]) => cells.map((cell, at) => cell.padEnd(widths[at]!)).join("  ").trimEnd();
  return [bold(line(head)), ...rows.map(line)];
}

async function main(): Promise<void> {
  Deno.umask(0o022); // another user runs Elasticsearch
  await step("what is needed: Mosquitto, Elasticsearch, Java", install);
  await using mosquitto = await step("Mosquitto, with TLS and passwords", broker);
  await using server = await step("Elasticsearch, with TLS and API keys", elasticsearch);
  await using agent = await agentBetween(mosquitto, server);
  await step("the agent between them", async () => {
    agent.start();
    await agent.waitUntil("a subscription", ({ subscriber }) => {
      return subscriber.filters.length > 0 &&
        subscriber.filters.every(({ granted }) => granted !== "pending");
    }, 60_000);
  });
  await step(`${readings.length} readings published`, () => publish(mosquitto));
  await step("all of them in the index", async () => {
    const arrived = async () => await server.count("mqtt-*") === readings.length;
    await waitUntil(arrived, 60_000, "the readings in the index", { explain: () => agent.log });
  });
  console.log(`\n${table(await server.documents("mqtt-*")).join("\n")}\n`);
  console.log(bold("sensorlog-agent status"));
  console.log((await agent.command("status")).stdout);
  await step("everything stopped and removed", () => agent.stop());
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(`\ntry: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
