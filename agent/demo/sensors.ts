/** Four simulated sensors: real MQTT clients, with values that one might meet in a greenhouse. */
import { connectAsync, type MqttClient } from "mqtt";

/** One sensor. A day passes in two minutes, so that a curve is seen. */
export interface Sensor {
  topic: string;
  unit: string;
  everyMs: number;
  /** The payload at a time since the demo's start; undefined: it says nothing then. `random` gives 0 to 1. */
  payload(timeMs: number, random: () => number): string | undefined;
  /** The number of a payload that is drawn. */
  value(payload: string): number | undefined;
}

const dayMs = 120_000;
/** The last sensor talks for a while and is silent for longer. */
const doorCycleMs = 45_000;
const doorTalksMs = 12_000;

/** -1 at night, 1 at noon; a demo begins in the morning. */
const sun = (timeMs: number) => Math.sin((2 * Math.PI * timeMs) / dayMs);
const noise = (random: () => number) => random() + random() - 1;
const temperature = (timeMs: number) => 21 + 6 * sun(timeMs - dayMs / 24);

/** A number as it stands, or that of a JSON object's `key`. */
function numberOf(payload: string, key?: string): number | undefined {
  try {
    const json = JSON.parse(payload) as unknown;
    const value = key === undefined ? json : (json as Record<string, unknown> | null)?.[key];
    return typeof value === "number" ? value : undefined;
  } catch {
    return undefined;
  }
}

export const sensors: Sensor[] = [
  {
    topic: "greenhouse/temperature",
    unit: "°C",
    everyMs: 500,
    payload: (timeMs, random) => (temperature(timeMs) + 0.15 * noise(random)).toFixed(2),
    value: numberOf,
  },
  {
    topic: "greenhouse/humidity",
    unit: "%",
    everyMs: 1_000,
    // warm air holds more water
    payload: (timeMs, random) => (62 - 2.6 * (temperature(timeMs) - 21) + 0.8 * noise(random)).toFixed(1),
    value: numberOf,
  },
  {
    topic: "cellar/pump",
    unit: "bar",
    everyMs: 1_000,
    payload: (timeMs, random) => {
      const runs = timeMs % 20_000 < 14_000;
      const bar = runs ? 3.2 + 0.3 * Math.sin(timeMs / 900) + 0.05 * noise(random) : 0.4;
      const rpm = runs ? 1_450 + Math.round(12 * noise(random)) : 0;
      return JSON.stringify({ bar: Number(bar.toFixed(2)), rpm, on: runs });
    },
    value: (payload) => numberOf(payload, "bar"),
  },
  {
    topic: "cellar/door",
    unit: "",
    everyMs: 1_500,
    payload: (timeMs, random) => timeMs % doorCycleMs > doorTalksMs ? undefined : random() < 0.3 ? "1" : "0",
    value: numberOf,
  },
];

/** Connects every sensor to the broker at `url` and lets it publish at QoS 1 until `signal` aborts; resolves then. */
export async function runSensors(url: string, signal: AbortSignal): Promise<void> {
  const clients: MqttClient[] = [];
  const timers: number[] = [];
  try {
    const startMs = performance.now();
    for (const sensor of sensors) {
      const client = await connectAsync(url, {
        clientId: `demo-${sensor.topic.replace("/", "-")}`,
        reconnectPeriod: 200,
      });
      client.on("error", () => {}); // it connects again by itself; what was not acknowledged is sent again
      clients.push(client);
      const publish = () => {
        const payload = sensor.payload(performance.now() - startMs, Math.random);
        if (payload !== undefined) client.publish(sensor.topic, payload, { qos: 1 }, () => {});
      };
      publish();
      timers.push(setInterval(publish, sensor.everyMs));
    }
    if (!signal.aborted) {
      await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
    }
  } finally {
    for (const timer of timers) clearInterval(timer);
    // what is under way gets its acknowledgement, or does not: the broker is about to go
    await Promise.all(clients.map((client) => client.endAsync(true)));
  }
}
