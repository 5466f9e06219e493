/** One crash run: broker, proxy, the compiled agent and a sink, a plan of deaths, and what was seen at its end. */
import { Agent } from "../lab/agent.ts";
import type { Elasticsearch } from "../lab/elasticsearch.ts";
import { makeLabDir } from "../lab/paths.ts";
import { type Mosquitto, startMosquitto } from "../lab/mosquitto.ts";
import { RecordingProxy, type WireEvent } from "../lab/proxy.ts";
import { Publisher } from "../lab/publisher.ts";
import { type Misbehaviour, Sink } from "../lab/sink.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import {
  allAnswered,
  check,
  type IndexedReading,
  numberOf,
  type PublishedReading,
  type Sum,
  type Violation,
} from "./crash_check.ts";
import type { CrashPlan, Death, SinkFault } from "./crash_plan.ts";
import { StoreDir, storeIndex } from "./store_dir.ts";

export interface CrashResult {
  violations: Violation[];
  /** How each life but the last ended: `write half …seg`, or `after a time`. */
  deaths: string[];
  readings: number;
  documents: number;
  redelivered: number;
  elapsedMs: number;
  /** For the report of a run that failed: the agent's log over all lives, what was on the wire and in the index. */
  log: string;
  wire: WireEvent[];
  indexed: IndexedReading[];
}

/** How long the last life may take until everything has arrived. */
const finishMs = 40_000;
/** Nothing is expected any more when nothing was left to do for so long. */
const quietMs = 3_000;
/** A life that never gets so far as to connect ends after this. */
const lifeMsMax = 4_000;
const suback = 9;

/** Runs the plan. Throws only when the lab itself fails; what the agent does wrong is in the result. */
export async function crashRun(
  plan: CrashPlan,
  elasticsearch: Elasticsearch | undefined,
): Promise<CrashResult> {
  const startMs = performance.now();
  const extra = ["max_queued_messages 0", `max_inflight_messages ${plan.brokerInFlight}`];
  await using broker = await startMosquitto({ extra, persistence: false });
  await using proxy = new RecordingProxy({ to: { port: broker.port }, payloadBytesMax: 32 });
  await using sink = new Sink();
  sink.fault = (request) => misbehaviour(plan.sinkFault, request);
  const real = plan.elasticsearch ? elasticsearch : undefined;
  const index = `crash-${plan.seed}`;
  await using store = new StoreDir(await makeLabDir("store"));
  const { outputs } = plan;
  await using agent = await Agent.create({
    config: configOf(plan, proxy.port, {
      cloud: { type: "elasticsearch", urls: [real?.url ?? sink.url], index: `${index}-%Y.%m.%d` },
      local: { type: "local", dir: store.dir },
    }),
    ports: { broker: proxy.port, output: real?.port ?? sink.port },
    storeDir: store.dir,
  });
  const run = new CrashRun(plan, broker, proxy, agent, async (output) => {
    if (output === "local") return store.documents();
    return real === undefined ? sinkDocuments(sink) : await realDocuments(real, index);
  });
  await run.live();
  const wire = proxy.events;
  const violations = [...run.violations];
  const documents: IndexedReading[] = [];
  for (const output of outputs) {
    const there = await run.documents(output);
    const { published } = run;
    const sums = run.sums.get(output) ?? [];
    const sinkViolations = output === "local" ? store.faults() : sink.violations;
    const finalSum = run.finalSums?.get(output);
    const found = check({ published, sums, finalSum, wire, documents: there, sinkViolations });
    violations.push(...found.map(({ rule, text }) => ({ rule, text: `${output}: ${text}` })));
    documents.push(...there);
  }
  for (const name of new Set(documents.map((document) => document.index))) {
    if (name !== storeIndex) await real?.must("DELETE", `/${name}`);
  }
  return {
    violations,
    deaths: run.deaths,
    readings: run.published.length,
    documents: documents.length,
    redelivered: wire.filter((event) => event.kind === "publish" && event.duplicate).length,
    elapsedMs: performance.now() - startMs,
    log: agent.log,
    wire,
    indexed: documents,
  };
}

class CrashRun {
  readonly published: PublishedReading[] = [];
  /** By output. */
  readonly sums = new Map<string, Sum[]>();
  readonly deaths: string[] = [];
  readonly violations: Violation[] = [];
  finalSums: Map<string, Sum> | undefined;
  #publishing = true;
  #quietSinceMs = Infinity;

  constructor(
    private readonly plan: CrashPlan,
    private readonly broker: Mosquitto,
    private readonly proxy: RecordingProxy,
    private readonly agent: Agent,
    readonly documents: (output: string) => Promise<IndexedReading[]>,
  ) {}

  /** All lives, the publisher beside them. */
  async live(): Promise<void> {
    const over = new AbortController();
    const beside = Promise.all([this.#publish(over.signal), this.#cut(over.signal)]);
    try {
      for (const death of this.plan.deaths) await this.#liveAndDie(death);
      await this.#liveToTheEnd();
    } finally {
      over.abort();
      await beside;
    }
  }

  /** From the first subscription on: what was published before it was never meant for the agent. */
  async #subscribed(over: AbortSignal): Promise<void> {
    const isSuback = () => this.proxy.events.some((event) => event.kind === "other" && event.type === suback);
    while (!over.aborted && !isSuback()) await delay(5);
  }

  async #publish(over: AbortSignal): Promise<void> {
    await this.#subscribed(over);
    await using publisher = await Publisher.connect({ port: this.broker.port });
    for (const { readings, pauseMs } of this.plan.batches) {
      if (over.aborted) return;
      const published = readings.map((reading) => ({ ...reading, taken: false }));
      this.published.push(...published);
      await publisher.publish(published, (message) => (message as PublishedReading).taken = true);
      await delay(pauseMs);
    }
    this.#publishing = false;
  }

  async #cut(over: AbortSignal): Promise<void> {
    if (this.plan.cutsMs.length === 0) return;
    await this.#subscribed(over);
    const startMs = performance.now();
    for (const cutMs of this.plan.cutsMs.toSorted((a, b) => a - b)) {
      while (!over.aborted && performance.now() - startMs < cutMs) await delay(5);
      this.proxy.cut();
    }
  }

  async #liveAndDie({ point, since, afterMs, signal }: Death): Promise<void> {
    const { agent, proxy } = this;
    const before = proxy.connections;
    agent.shim.startCounting();
    if (point !== undefined) agent.shim.killAt(point);
    agent.start();
    const { running } = agent;
    const startMs = performance.now();
    let fromMs = since === "start" ? startMs : Infinity;
    let askedMs = startMs;
    while (
      !running.ended && performance.now() - fromMs < afterMs && performance.now() - startMs < lifeMsMax
    ) {
      await delay(3);
      if (proxy.connections > before) fromMs = Math.min(fromMs, performance.now());
      if (performance.now() - askedMs < 100) continue;
      askedMs = performance.now();
      await this.#noteSums();
    }
    running.signal(signal);
    const exit = await agent.ended(20_000);
    agent.shim.disarm();
    const hit = agent.shim.hit();
    const moment = proxy.connections > before ? "while it worked" : "while it started";
    this.deaths.push(hit === undefined ? `${signal} ${moment}` : pointName(hit));
    if (exit.signal === "SIGKILL" || signal === "SIGTERM" && exit.signal === null && exit.code === 0) return;
    // a signal that comes before the agent listens ends it at once
    if (signal === "SIGTERM" && exit.signal === "SIGTERM") return;
    this.violations.push({ rule: "stays up", text: `it ended by itself with ${exit.signal ?? exit.code}` });
  }

  async #liveToTheEnd(): Promise<void> {
    const { agent } = this;
    agent.shim.startCounting();
    agent.start();
    try {
      await waitUntil(() => this.#finished(), finishMs, "everything to arrive", { everyMs: 25 });
    } catch (error) {
      this.violations.push({ rule: "sum", text: error instanceof Error ? error.message : String(error) });
      return await agent.kill();
    }
    const exit = await agent.stop();
    if (exit.code !== 0) {
      this.violations.push({ rule: "stays up", text: `SIGTERM: it ended with ${exit.signal ?? exit.code}` });
    }
  }

  /**
   * Whether all has been published, answered and confirmed; then the last sum is taken. What has not arrived a while
   * after nothing was left to do will never arrive: the check says so.
   */
  async #finished(): Promise<boolean | string> {
    if (this.agent.running.ended) return "the agent ended";
    if (this.#publishing) return false;
    if (!allAnswered(this.proxy.events)) return false;
    const sums = await this.#noteSums();
    const { outputs } = this.plan;
    const allConfirmed = outputs.every((output) => sums.get(output)?.waiting === 0);
    if (!allConfirmed || !allAnswered(this.proxy.events)) {
      this.#quietSinceMs = Infinity;
      return false;
    }
    this.#quietSinceMs = Math.min(this.#quietSinceMs, performance.now());
    for (const output of outputs) {
      const arrived = new Set((await this.documents(output)).map((document) => document.number));
      const missing = this.published.some(({ number, qos }) => qos > 0 && !arrived.has(number));
      if (missing && performance.now() - this.#quietSinceMs < quietMs) return false;
    }
    this.finalSums = sums;
    return true;
  }

  /** The sums of all outputs now; empty while the agent is not up, or gone. */
  async #noteSums(): Promise<Map<string, Sum>> {
    const sums = new Map<string, Sum>();
    try {
      for (const output of (await this.agent.snapshot()).outputs) {
        sums.set(output.name, output);
        this.sums.set(output.name, [...this.sums.get(output.name) ?? [], output]);
      }
    } catch {
      // not up yet, or gone
    }
    return sums;
  }
}

function configOf(
  plan: CrashPlan,
  brokerPort: number,
  outputs: Record<CrashPlan["outputs"][number], unknown>,
): Record<string, unknown> {
  return {
    plant: "crash",
    mqtt: {
      url: `mqtt://127.0.0.1:${brokerPort}`,
      client_id: "crash",
      topics: ["r/#"],
      qos: 2,
      ...(plan.statusTopic ? { status_topic: "status/crash" } : {}),
    },
    spool: { sync_window: `${plan.syncWindowMs}ms` },
    outputs: Object.fromEntries(plan.outputs.map((output) => [output, outputs[output]])),
    log: { level: "debug" },
  };
}

function misbehaviour(fault: SinkFault | undefined, request: number): Misbehaviour | undefined {
  if (fault === undefined || request < fault.fromRequest || request > fault.untilRequest) return undefined;
  switch (fault.kind) {
    case "503":
      return { status: 503 };
    case "429 for some":
      return { refuse: (id) => /[02468]$/.test(id) ? 429 : undefined };
    case "cut before":
      return { cut: "before" };
    case "cut after":
      return { cut: "after" };
    case "slow":
      return { delayMs: 300 };
  }
}

/** `write half 00000001-…-….seg` without what differs from run to run. */
function pointName(hit: string): string {
  return hit.replace(/\d{8,}-\d{16}-[0-9a-f]{16}/, "segment").replace(
    /sensorlog-lab-store-[0-9a-f]+/,
    "store",
  );
}

interface Source {
  topic: string;
  value?: number;
  text?: string;
  mqtt: { qos: number };
  event: { id: string; sequence: number };
}

function indexed(index: string, id: string, source: Source): IndexedReading {
  const payload = source.text ?? String(source.value);
  const { topic, mqtt: { qos }, event: { sequence } } = source;
  return { index, id, topic, qos, sequence, payload, number: numberOf(payload) };
}

/** What is in the sink, as readings. */
export function sinkDocuments(sink: Sink): IndexedReading[] {
  return [...sink.documents.values()].map(({ index, id, line }) => indexed(index, id, JSON.parse(line)));
}

async function realDocuments(server: Elasticsearch, index: string): Promise<IndexedReading[]> {
  const found = await server.documents(`${index}-*`);
  return found.map(({ _index, _id, _source }) => indexed(_index, _id, _source as unknown as Source));
}
