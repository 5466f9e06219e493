/**
 * `deno task try`: a real Mosquitto and a real Elasticsearch on this machine, the agent between them, ten readings
 * published and found. Ends by itself and leaves nothing but what `lab:install` brought.
 */
import { table } from "../../agent/commands/table.ts";
import { Agent } from "./agent.ts";
import { type Elasticsearch, startElasticsearch } from "./elasticsearch.ts";
import { install } from "./install.ts";
import { startMosquitto } from "./mosquitto.ts";
import { type Message, Publisher } from "./publisher.ts";

const onTerminal = Deno.stdout.isTerminal();
const colour = onTerminal && (Deno.env.get("NO_COLOR") ?? "") === "";
const paint = (code: number, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
const bold = (text: string) => paint(1, text);
const dim = (text: string) => paint(2, text);

const write = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text));

/** A step with its time; on a terminal it is shown while it runs. Returns what the work returns. */
async function step<T>(what: string, work: () => Promise<[T, string]>): Promise<T> {
  const startMs = performance.now();
  const seconds = () => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  const wheel = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇"];
  let turn = 0;
  const show = () => write(`\r\x1b[K${wheel[turn++ % wheel.length]} ${what} ${dim(seconds())}`);
  const timer = onTerminal ? setInterval(show, 100) : undefined;
  try {
    const [result, said] = await work();
    write(`${onTerminal ? "\r\x1b[K" : ""}${paint(32, "✓")} ${said} ${dim(`(${seconds()})`)}\n`);
    return result;
  } catch (error) {
    write(`${onTerminal ? "\r\x1b[K" : ""}${paint(31, "✗")} ${what}\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** Readings as sensors send them, of every kind that a document shows differently. */
function readings(): Message[] {
  const minuteAgo = new Date(Date.now() - 60_000).toISOString();
  return [
    { topic: "vigo/oven/temperature", payload: "184.5", qos: 1 },
    { topic: "vigo/oven/temperature", payload: "185.25", qos: 1 },
    { topic: "vigo/oven/door", payload: "closed", qos: 2 },
    { topic: "vigo/press/energy", payload: '{"kwh": 1204.5, "phase": {"l1": 230.1, "l2": 229.8}}', qos: 1 },
    { topic: "vigo/press/cycles", payload: "120934", qos: 2 },
    { topic: "vigo/press/alarm", payload: "presión baja en el circuito 2", qos: 2 },
    { topic: "vigo/tank/level", payload: JSON.stringify({ value: 61.2, time: minuteAgo }), qos: 1 },
    { topic: "vigo/tank/level", payload: '{"value": 61.0, "age_s": 30}', qos: 1 },
    { topic: "vigo/line/state", payload: "[1, 0, 1]", qos: 0 },
    { topic: "vigo/oven/temperature", payload: "-3e2", qos: 1 },
  ];
}

interface Source {
  "@timestamp": string;
  topic: string;
  value?: number;
  text?: string;
  values?: Record<string, number>;
  mqtt: { qos: number };
  event: { sequence: number; clock: string };
}

/** The documents in the order of the spool, as lines of a table. */
function documentTable(sources: Source[]): string[] {
  const rows = sources.toSorted((a, b) => a.event.sequence - b.event.sequence).map((source) => [
    String(source.event.sequence),
    source["@timestamp"],
    source.topic,
    source.value === undefined ? "" : String(source.value),
    source.text ?? (source.values === undefined ? "" : JSON.stringify(source.values)),
    String(source.mqtt.qos),
    source.event.clock,
  ]);
  const head = ["#", "@timestamp", "topic", "value", "text or values", "qos", "event.clock"];
  const [first, ...rest] = table([head, ...rows], [0, 3]);
  return [bold(first!), ...rest];
}

async function startAgent(
  brokerUrl: string,
  server: Elasticsearch,
  stack: AsyncDisposableStack,
): Promise<Agent> {
  const agent = stack.use(
    await Agent.create({
      // nothing has to be compiled for it; as everywhere in the lab, it is told that the machine's clock is synchronised
      fromSources: true,
      config: {
        plant: "vigo",
        mqtt: {
          url: brokerUrl,
          client_id: "sensorlog-try",
          topics: ["vigo/#"],
          qos: 2,
          status_topic: "sensorlog/vigo",
        },
        outputs: { cloud: { type: "elasticsearch", urls: [server.url] } },
      },
    }),
  );
  agent.start();
  await agent.waitUntilReady(180_000); // on a fresh machine it fetches its packages first
  return agent;
}

/** All of it; what is started goes onto the stack. */
async function tryIt(stack: AsyncDisposableStack): Promise<void> {
  await step("looking for Mosquitto, Elasticsearch and what they need", async () => {
    await install((line) => write(`${onTerminal ? "\r\x1b[K" : ""}  ${dim(line)}\n`));
    return [undefined, "Mosquitto and Elasticsearch are installed"];
  });
  const starting = startElasticsearch(); // 10 to 20 s
  stack.defer(async () => await (await starting.catch(() => undefined))?.stop());
  const broker = await step("starting Mosquitto", async () => {
    const broker = await startMosquitto();
    return [broker, `Mosquitto listens at ${broker.url}`];
  });
  stack.use(broker);
  const server = await step("starting Elasticsearch", async () => {
    const server = await starting;
    return [server, `Elasticsearch answers at ${server.url}`];
  });
  const agent = await step("starting the agent", async () => {
    return [
      await startAgent(broker.url, server, stack),
      "the agent is subscribed to vigo/# and has put its index template",
    ];
  });
  const messages = readings();
  await step("publishing", async () => {
    await using publisher = await Publisher.connect({ port: broker.port });
    await publisher.publish(messages);
    return [undefined, `${messages.length} readings published and taken by Mosquitto`];
  });
  const { outputs: [output] } = await step("waiting for them in Elasticsearch", async () => {
    const all = messages.length;
    const snapshot = await agent.waitUntil(
      "confirmation",
      ({ outputs: [one] }) => one!.confirmed >= all,
      30_000,
    );
    return [snapshot, "the agent says that all are confirmed"];
  });
  const documents = await server.documents("mqtt-*");
  write(`\nwhat stands in ${bold([...new Set(documents.map((one) => one._index))].sort().join(", "))}:\n\n`);
  for (const line of documentTable(documents.map((one) => one._source as unknown as Source))) {
    write(`${line}\n`);
  }
  const { stored, confirmed, waiting, dead, dropped, damaged } = output!;
  write(
    `\nstored ${stored} = confirmed ${confirmed} + waiting ${waiting} + dead ${dead} + dropped ${dropped} + ` +
      `damaged ${damaged}\n`,
  );
  if (documents.length !== messages.length) {
    throw new Error(`${documents.length} documents, ${messages.length} wanted`);
  }
  await step("taking everything down", async () => {
    await agent.stop();
    await stack.disposeAsync();
    return [undefined, "everything is stopped and its data removed"];
  });
}

/** Rejects when the user has had enough; a second time ends the process at once. */
function interrupted(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  let times = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (++times > 1) Deno.exit(130);
      reject(new Error("interrupted, taking everything down"));
    });
  }
  return promise;
}

async function main(): Promise<number> {
  Deno.umask(0o022); // another user runs Elasticsearch
  write(
    `${
      bold("sensorlog-agent")
    }: a real broker and a real Elasticsearch on this machine, the agent between them\n\n`,
  );
  await using stack = new AsyncDisposableStack();
  const trying = tryIt(stack);
  try {
    await Promise.race([trying, interrupted()]);
    return 0;
  } catch (error) {
    trying.catch(() => {}); // it fails too when everything goes away under it
    console.error(`${onTerminal ? "\r\x1b[K" : ""}try: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
