/** Rows `flood`, `live`, `drain` and `trickle`: the receiving side against mosquitto_sub. */
import { delay, waitUntil } from "../tests/lab/wait.ts";
import { Broker, type BrokerSettings } from "./broker.ts";
import { cpuMs, settledCpuMs } from "./machine.ts";
import type { Qos } from "./packets.ts";
import { nowMs } from "./pour.ts";
import { publish } from "./publisher.ts";
import { Agent, MosquittoSub, type Receiver, type Reception } from "./receivers.ts";
import { type Amounts, type Measured, ours, type Scenario, type Side } from "./scenario.ts";
import { Source } from "./source.ts";

const peers = ["mosquitto_sub -F %J"];
/** As max_inflight_messages of the wide settings. */
const wideWindow = 20_000;
/** Readings that a publisher has under way at most; the broker acknowledges it at once. */
const publisherWindow = 1_000;
const clientId = "bench-receiver";
const tricklePerS = 1_000;

function receive(side: Side, reception: Reception): Receiver {
  return side === ours ? new Agent(reception) : new MosquittoSub(reception);
}

/** Throws unless all readings and the end message were stored. */
async function assertStored(receiver: Receiver, count: number): Promise<void> {
  const stored = await receiver.stored();
  if (stored !== count + 1) throw new Error(`${stored} stored of ${count} readings and the end message`);
}

const perMessageUs = (ms: number, count: number): number => ms * 1000 / count;
const perS = (count: number, elapsedMs: number): number => count / elapsedMs * 1000;

/** From our own source: nothing but the receiver limits the rate. */
async function flood(side: Side, dir: string, qos: Qos, count: number): Promise<Measured> {
  using source = await Source.start();
  const receiver = receive(side, { dir, port: source.port, qos, clientId });
  try {
    await source.subscribed();
    const before = await settledCpuMs(receiver.pid);
    const { startedMs, doneMs } = await source.pour({ qos, count, window: wideWindow, perS: undefined });
    const used = await settledCpuMs(receiver.pid) - before;
    await assertStored(receiver, count);
    return { cpu: perMessageUs(used, count), rate: perS(count, doneMs - startedMs) };
  } finally {
    await receiver.stop();
  }
}

interface Live {
  qos: Qos;
  count: number;
  settings: BrokerSettings;
  /** Readings per second; undefined: as fast as the broker takes them. */
  perS: number | undefined;
}

/** Through a real Mosquitto while it is published. */
async function live(side: Side, dir: string, { qos, count, settings, perS: pace }: Live): Promise<Measured> {
  await using broker = await Broker.start(dir, settings);
  const receiver = receive(side, { dir, port: broker.port, qos, clientId });
  try {
    await broker.subscribed(clientId, 1);
    const before = await settledCpuMs(receiver.pid);
    const startMs = nowMs();
    await publish(broker.port, { qos, count, window: publisherWindow, perS: pace });
    await waitUntil(() => receiver.hasEnd(), 120_000, "the end message to be stored", { everyMs: 5 });
    const elapsedMs = nowMs() - startMs;
    const used = await settledCpuMs(receiver.pid) - before;
    await assertStored(receiver, count);
    return { cpu: perMessageUs(used, count), rate: perS(count, elapsedMs) };
  } finally {
    await receiver.stop();
  }
}

/**
 * A backlog that Mosquitto kept for the session. Rate and CPU count from the first readings on disk to the end message,
 * so the start of the process and the connecting are left out on both sides.
 */
async function drain(side: Side, dir: string, count: number, settings: BrokerSettings): Promise<Measured> {
  await using broker = await Broker.start(dir, settings);
  const reception: Reception = { dir, port: broker.port, qos: 1, clientId };
  const first = receive(side, reception);
  await broker.subscribed(clientId, 1);
  await first.stop();
  const emptyBytes = first.storedBytes();
  await publish(broker.port, { qos: 1, count, window: publisherWindow, perS: undefined });
  const receiver = receive(side, reception);
  try {
    const firstBytes = await growth(receiver, emptyBytes);
    const startMs = nowMs();
    const before = cpuMs(receiver.pid);
    await waitUntil(() => receiver.hasEnd(), 300_000, "the backlog's end to be stored", { everyMs: 5 });
    const elapsedMs = nowMs() - startMs;
    const used = await settledCpuMs(receiver.pid) - before;
    await assertStored(receiver, count);
    // what was there when the clock started does not count
    const counted = count * (1 - (firstBytes - emptyBytes) / (receiver.storedBytes() - emptyBytes));
    return { cpu: perMessageUs(used, counted), rate: perS(counted, elapsedMs) };
  } finally {
    await receiver.stop();
  }
}

/** Waits for more than a new segment's header, and returns the size then. */
async function growth(receiver: Receiver, fromBytes: number): Promise<number> {
  const endMs = nowMs() + 30_000;
  while (receiver.storedBytes() < fromBytes + 4096) {
    if (nowMs() > endMs) {
      throw new Error(`nothing arrived within 30 s:\n${receiver.running.stderr.text.slice(-2000)}`);
    }
    await delay(1);
  }
  return receiver.storedBytes();
}

const cpuAim = { kind: "at most", value: 1 / 10, of: "ratio" } as const;

/** All rows of receiving. */
export function receiveScenarios({ messages: count }: Amounts): Scenario[] {
  const cpu = { key: "cpu", unit: "us", what: "CPU per message" } as const;
  const rate = { key: "rate", unit: "per s", what: "messages per second" } as const;
  const scenarios: Scenario[] = ([0, 1, 2] as const).map((qos) => ({
    name: `flood.qos${qos}`,
    peers,
    figures: [qos === 2 ? cpu : { ...cpu, aim: cpuAim }, rate],
    measure: (side, dir) => flood(side, dir, qos, count),
  }));
  const fast = { count, settings: "wide", perS: undefined } as const;
  scenarios.push(
    {
      name: "live.qos0",
      peers,
      figures: [cpu, rate],
      measure: (side, dir) => live(side, dir, { qos: 0, ...fast }),
    },
    {
      name: "live.qos1",
      peers,
      figures: [cpu, rate],
      measure: (side, dir) => live(side, dir, { qos: 1, ...fast }),
    },
    {
      name: "drain.wide",
      peers,
      figures: [cpu, { ...rate, aim: { kind: "at least", value: 1.2, of: "ratio" } }],
      measure: (side, dir) => drain(side, dir, count, "wide"),
    },
    {
      name: "drain.default",
      peers,
      figures: [cpu, { ...rate, aim: { kind: "at least", value: 1.2, of: "ratio" } }],
      measure: (side, dir) => drain(side, dir, count, "queue only"),
    },
    {
      name: "trickle",
      peers,
      figures: [cpu],
      measure: (side, dir) =>
        live(side, dir, { qos: 1, count: tricklePerS * 10, settings: "defaults", perS: tricklePerS }),
    },
  );
  return scenarios;
}
