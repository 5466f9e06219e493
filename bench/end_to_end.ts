/** Rows `end-to-end`: from a real broker to the index, against what people use for it today. */
import { waitUntil } from "../tests/lab/wait.ts";
import { lostAndDoubled } from "./arrivals.ts";
import { Broker } from "./broker.ts";
import {
  type Chain,
  chainOf,
  clientId,
  pidsOf,
  preparePeers,
  rsyslog,
  rsyslogBare,
  stopChain,
  telegraf,
  wordsOf,
} from "./chains.ts";
import { forgetPeak, peakBytes, settledCpuMs, writtenBytes } from "./machine.ts";
import { publish } from "./publisher.ts";
import { RealIndex } from "./real_index.ts";
import type { Amounts, Figure, Measured, Scenario, Side } from "./scenario.ts";
import { Sink } from "./sink.ts";
import { quantile } from "./statistics.ts";

const MB = 1e6;
const publisherWindow = 1_000;
/** How long a flood may take to be indexed, from the slowest peer into the slowest place. */
const patienceMs = 180_000;
export const say = (line: string): void => console.error(`bench: ${line}`);

/** One stretch of publishing: at full speed, or at a pace for some seconds. */
export interface Phase {
  key: string;
  count: number;
  perS: number | undefined;
}

/** At these paces. */
export function paced(perS: number, seconds: number): Phase {
  return { key: `${perS}/s`, count: perS * seconds, perS };
}

/** What a phase is measured with: the chain at work, the broker, and the place where it all arrives. */
export interface Scene {
  chain: Chain;
  broker: Broker;
  sink: Sink;
}

/** Publishes one phase, waits until all of it is indexed, and says what that cost. Numbers go from `from` on. */
export async function observe(scene: Scene, { key, count, perS }: Phase, from: number): Promise<Measured> {
  const { chain, broker, sink } = scene;
  const pids = pidsOf(chain);
  const cpuBefore = await settledCpuMs(pids);
  const writtenBefore = writtenBytes(pids);
  forgetPeak(pids);
  const order = { qos: 1, count, window: publisherWindow, perS, numberedFrom: from } as const;
  const { startedMs, sentMs } = await publish(broker.port, order);
  const wanted = from + count;
  await waitUntil(
    async () => (await sink.seen()).distinct >= wanted,
    patienceMs,
    `${key}: all to be indexed`,
    {
      everyMs: 20,
      explain: () => wordsOf(chain),
    },
  );
  const cpu = await settledCpuMs(pids) - cpuBefore;
  const { firstMs } = await sink.arrived();
  const latencies = firstMs.subarray(from, wanted).map((atMs, i) => atMs - sentMs![i]!);
  const lastMs = firstMs.subarray(from, wanted).reduce((a, b) => Math.max(a, b));
  return {
    [`${key}.cpu`]: cpu * 1000 / count,
    [`${key}.memory`]: peakBytes(pids) / MB,
    [`${key}.rate`]: count / (lastMs - startedMs) * 1000,
    [`${key}.median`]: quantile(latencies, 0.5),
    [`${key}.late`]: quantile(latencies, 0.99),
    [`${key}.written`]: (writtenBytes(pids) - writtenBefore) / count,
  };
}

/** Starts a chain between a new broker and the sink; `work` has it until it is stopped. */
export async function withChain<T>(
  side: Side,
  dir: string,
  sink: Sink,
  work: (scene: Scene) => Promise<T>,
): Promise<T> {
  await using broker = await Broker.start(dir, "wide");
  const chain = chainOf(side, { dir, brokerPort: broker.port, sinkPort: sink.port });
  try {
    await chain.start();
    await broker.subscribed(clientId, 1);
    return await work({ chain, broker, sink });
  } finally {
    await stopChain(chain);
  }
}

/** One life of a chain through all phases. Throws unless each reading has exactly one document. */
async function life(
  side: Side,
  dir: string,
  phases: Phase[],
  upstream: string | undefined,
): Promise<Measured> {
  using sink = await Sink.start();
  const count = phases.reduce((sum, phase) => sum + phase.count, 0);
  await sink.note(count, upstream);
  return await withChain(side, dir, sink, async (scene) => {
    const measured: Measured = {};
    let from = 0;
    for (const phase of phases) {
      Object.assign(measured, await observe(scene, phase, from));
      from += phase.count;
    }
    const { lost, doubled } = lostAndDoubled((await sink.arrived()).documents);
    if (lost + doubled > 0) throw new Error(`${lost} readings lost and ${doubled} doubled of ${count}`);
    return measured;
  });
}

function figuresOf({ key, perS }: Phase): Figure[] {
  if (key === "first") {
    return [{ key: "first.cpu", unit: "us", what: "CPU per reading in a process's first flood" }];
  }
  const at = perS === undefined ? "in a flood" : `at ${perS.toLocaleString("en-US")}/s`;
  const cpu = { key: `${key}.cpu`, unit: "us", what: `CPU per reading ${at}` } as const;
  const memory = { key: `${key}.memory`, unit: "MB", what: `resident at most ${at}` } as const;
  if (perS === undefined) {
    return [
      { ...cpu, aim: { kind: "at most", value: 1 / 5, of: "ratio" } },
      { key: `${key}.rate`, unit: "per s", what: "readings per second, published to indexed" },
      memory,
    ];
  }
  return [
    perS >= 1_000 ? { ...cpu, aim: { kind: "at most", value: 1 / 2, of: "ratio" } } : cpu,
    memory,
    { key: `${key}.median`, unit: "ms", what: `published to indexed ${at}, median` },
    { key: `${key}.late`, unit: "ms", what: `published to indexed ${at}, 99th percentile` },
    { key: `${key}.written`, unit: "B", what: `written to disk per reading ${at}` },
  ];
}

const peers = [rsyslog, telegraf];

export interface EndToEndAmounts extends Amounts {
  /** How long each pace is kept up. */
  seconds: number;
}

/** Rows of the whole way, into a sink that costs nothing and into a real Elasticsearch. */
export function endToEndScenarios({ messages, seconds }: EndToEndAmounts): Scenario[] {
  const flood: Phase = { key: "flood", count: Math.ceil(messages / 2), perS: undefined };
  // what an agent costs that runs for months is seen when V8 has compiled
  const floods: Phase[] = [{ ...flood, key: "first" }, flood];
  const phases = [...floods, paced(1_000, seconds), paced(10, seconds)];
  const common = {
    peers,
    figures: phases.flatMap(figuresOf),
    prepare: () => preparePeers(peers, say),
    rounds: { max: 3 },
  };
  const index = new RealIndex();
  const bare = [rsyslogBare];
  return [
    {
      ...common,
      name: "end-to-end.sink",
      measure: (side, dir) => life(side, dir, phases, undefined),
    },
    {
      ...common,
      name: "end-to-end.bare",
      peers: bare,
      figures: floods.flatMap(figuresOf),
      prepare: () => preparePeers(bare, say),
      measure: (side, dir) => life(side, dir, floods, undefined),
    },
    {
      ...common,
      name: "end-to-end.elasticsearch",
      measure: async (side, dir) => await life(side, dir, phases, await index.empty(dir)),
      finish: () => index.stop(),
      rounds: { max: 2 },
    },
  ];
}
