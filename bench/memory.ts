/** Rows `memory`: what the agent keeps resident, with an output that takes everything and with one that is down. */
import { join } from "node:path";
import { freePort } from "../tests/lab/ports.ts";
import { Shim } from "../tests/lab/shim.ts";
import { delay, waitUntil } from "../tests/lab/wait.ts";
import { memoryBytes, settledCpuMs } from "./machine.ts";
import { Agent } from "./receivers.ts";
import type { Measured, Scenario } from "./scenario.ts";
import { Sink } from "./sink.ts";
import { Source } from "./source.ts";

const MB = 1e6;
const GiB = 1024 ** 3;
const idleMs = 5_000;
const steadyReadings = 100_000;
const perS = 1_000;
const pacedS = 20;
const waitingPayloadBytes = 4_096;
const window = 20_000;

/** The largest resident size while `work` goes on, looked at every 100 ms. */
async function largestWhile(pid: number, work: Promise<unknown>): Promise<number> {
  let largest = 0;
  let going = true;
  const stop = () => void (going = false);
  work.then(stop, stop);
  while (going) {
    largest = Math.max(largest, memoryBytes(pid));
    await delay(100);
  }
  await work;
  return largest;
}

/** The agent with an output; by the shim it believes the clock of a machine that nobody synchronises. */
function agentWithOutput(dir: string, source: Source, url: string, shim: Shim): Agent {
  const configuration = ["outputs:", "  sink:", "    type: elasticsearch", `    urls: [${url}]`];
  const reception = { dir, port: source.port, qos: 1, clientId: "bench-memory" } as const;
  return new Agent(reception, { configuration, env: shim.env });
}

/** After 100,000 readings have been shipped: idle, and then with 1,000 readings per second coming and going. */
async function steady(dir: string): Promise<Measured> {
  using source = await Source.start();
  using sink = await Sink.start();
  using shim = await Shim.create(join(dir, "shim"), {});
  const agent = agentWithOutput(dir, source, sink.url, shim);
  try {
    await source.subscribed();
    await source.pour({ qos: 1, count: steadyReadings, window, perS: undefined });
    const shipped = async () => (await sink.seen()).documents > steadyReadings;
    await waitUntil(shipped, 60_000, "all readings to be shipped", {
      explain: () => agent.running.stderr.text,
    });
    await delay(idleMs);
    const idle = memoryBytes(agent.pid);
    const paced = source.pour({ qos: 1, count: perS * pacedS, window, perS });
    const busy = await largestWhile(agent.pid, paced);
    return { idle: idle / MB, paced: busy / MB, peak: memoryBytes(agent.pid, "VmHWM") / MB };
  } finally {
    await agent.stop();
  }
}

/** With 1 GiB of payloads on disk, an output that refuses connections, and after a restart over it. */
async function waiting(dir: string): Promise<Measured> {
  using source = await Source.start();
  using shim = await Shim.create(join(dir, "shim"), {});
  const url = `http://127.0.0.1:${freePort()}`;
  const agent = agentWithOutput(dir, source, url, shim);
  let filled: Measured;
  try {
    await source.subscribed();
    const order = { qos: 1, count: GiB / waitingPayloadBytes, window, perS: undefined } as const;
    const filling = await largestWhile(agent.pid, source.pour(order, waitingPayloadBytes));
    if (agent.storedBytes() < GiB) throw new Error(`only ${agent.storedBytes()} bytes wait`);
    await settledCpuMs(agent.pid);
    await delay(idleMs);
    filled = { filling: filling / MB, idle: memoryBytes(agent.pid) / MB };
  } finally {
    await agent.stop();
  }
  const again = agentWithOutput(dir, source, url, shim);
  try {
    await source.subscribed();
    await delay(idleMs);
    return { ...filled, restarted: memoryBytes(again.pid) / MB };
  } finally {
    await again.stop();
  }
}

export function memoryScenarios(): Scenario[] {
  const aim = { kind: "at most", value: 90, of: "ours" } as const;
  const figure = (key: string, what: string) => ({ key, unit: "MB", what, aim }) as const;
  return [
    {
      name: "memory.steady",
      peers: [],
      figures: [
        figure("idle", "resident, idle after 100,000 readings"),
        figure("paced", "resident at most, at 1,000 readings/s"),
        { key: "peak", unit: "MB", what: "resident at most, in the flood before" },
      ],
      rounds: { max: 3 },
      measure: (_side, dir) => steady(dir),
    },
    {
      name: "memory.waiting",
      peers: [],
      figures: [
        figure("idle", "resident with 1 GiB waiting, idle"),
        figure("restarted", "resident after a restart over it"),
        { key: "filling", unit: "MB", what: "resident at most while it comes" },
      ],
      rounds: { max: 3 },
      measure: (_side, dir) => waiting(dir),
    },
  ];
}
