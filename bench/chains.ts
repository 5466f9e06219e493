/**
 * The chains that are measured from broker to index: the agent, mosquitto_sub with rsyslog, Telegraf. Each can be killed
 * and started again over what it left. Their configurations are in `peers/`.
 */
import { join } from "node:path";
import { projectDir } from "../tests/lab/paths.ts";
import { accepts, freePort } from "../tests/lab/ports.ts";
import { Running } from "../tests/lab/process.ts";
import { Shim } from "../tests/lab/shim.ts";
import { waitUntil } from "../tests/lab/wait.ts";
import { prepareRsyslog, prepareTelegraf, rsyslogProgram, telegrafProgram } from "./peers.ts";
import { Agent } from "./receivers.ts";
import { ours, type Side } from "./scenario.ts";

/** The session's name at the broker. */
export const clientId = "bench-chain";

export const rsyslog = "mosquitto_sub + rsyslog";
/** What is published goes into the index as it is: no topic, no time, nothing is looked at on the way. */
export const rsyslogBare = "mosquitto_sub + rsyslog, payload only";
export const rsyslogDisk = "mosquitto_sub + rsyslog, disk queue";
export const telegraf = "Telegraf (custom build)";
export const telegrafDisk = "Telegraf (custom build), disk buffer";

/** From which broker to which place, and a folder of its own on a real disk. */
export interface Way {
  dir: string;
  brokerPort: number;
  sinkPort: number;
}

export interface Chain {
  /** The processes that do the work. */
  readonly running: Running[];
  start(): Promise<void>;
}

export const pidsOf = ({ running }: Chain): number[] => running.map(({ pid }) => pid);

/** SIGTERM, first to what is nearest to the broker. */
export async function stopChain({ running }: Chain): Promise<void> {
  for (const one of running) await one.stop();
}

/** kill -9 to all of it at once. */
export async function killChain({ running }: Chain): Promise<void> {
  for (const one of running) one.signal("SIGKILL");
  await Promise.all(running.map(({ exit }) => exit));
}

/** The end of what its processes said. */
export function wordsOf({ running }: Chain): string {
  return running.map(({ stderr, stdout }) => (stdout.text + stderr.text).slice(-1_000)).join("\n");
}

/** Fills a configuration of `peers/` in; returns the path of the result. */
function configure(name: string, dir: string, values: Record<string, string | number>): string {
  const text = Deno.readTextFileSync(join(projectDir, "bench/peers", name));
  const path = join(dir, name);
  Deno.writeTextFileSync(
    path,
    text.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
      const value = values[key];
      if (value === undefined) throw new Error(`${name}: nothing to fill in for {{${key}}}`);
      return `${value}`;
    }),
  );
  return path;
}

class AgentChain implements Chain {
  running: Running[] = [];
  constructor(private readonly way: Way) {}

  async start(): Promise<void> {
    const { dir, brokerPort, sinkPort } = this.way;
    // by the shim it believes the clock of a machine that nobody synchronises
    using shim = await Shim.create(join(dir, "shim"), {});
    const configuration = ["outputs:", "  sink:", "    type: elasticsearch"];
    configuration.push(`    urls: ["http://127.0.0.1:${sinkPort}"]`);
    const reception = { dir, port: brokerPort, qos: 1, clientId } as const;
    this.running = [new Agent(reception, { configuration, env: shim.env }).running];
  }
}

/** With `-F %J` topic, QoS and time come along, as the other chains keep them, whatever is in topic and payload. */
const bridge = 'exec mosquitto_sub "$@" > "/dev/tcp/127.0.0.1/$PORT"';

class RsyslogChain implements Chain {
  running: Running[] = [];
  readonly #input = freePort();
  readonly #config: string;
  constructor(private readonly way: Way, config: string, private readonly keepsTopic = true) {
    const { dir, sinkPort } = way;
    this.#config = configure(config, dir, { dir, sink: sinkPort, input: this.#input });
  }

  async start(): Promise<void> {
    const { dir, brokerPort } = this.way;
    const pidFile = join(dir, "rsyslogd.pid");
    await Deno.remove(pidFile).catch(() => {}); // it does not start over that of one that was killed
    const server = new Running(rsyslogProgram, ["-n", "-f", this.#config, "-i", pidFile]);
    this.running = [server];
    await waitUntil(() => accepts(this.#input), 20_000, "rsyslogd", {
      everyMs: 10,
      explain: () => server.stderr.text,
    });
    const args = ["-h", "127.0.0.1", "-p", `${brokerPort}`, "-q", "1", "-c", "-i", clientId, "-t", "#"];
    if (this.keepsTopic) args.push("-F", "%J");
    const sub = new Running("bash", ["-c", bridge, "bash", ...args], { env: { PORT: `${this.#input}` } });
    this.running = [sub, server];
  }
}

class TelegrafChain implements Chain {
  running: Running[] = [];
  readonly #config: string;
  constructor({ dir, brokerPort, sinkPort }: Way, config: string) {
    this.#config = configure(config, dir, { dir, broker: brokerPort, sink: sinkPort, client: clientId });
  }

  start(): Promise<void> {
    this.running = [new Running(telegrafProgram, ["--config", this.#config])];
    return Promise.resolve();
  }
}

/** The chain of a side, not yet started. */
export function chainOf(side: Side, way: Way): Chain {
  switch (side) {
    case ours:
      return new AgentChain(way);
    case rsyslog:
      return new RsyslogChain(way, "rsyslog.conf");
    case rsyslogBare:
      return new RsyslogChain(way, "rsyslog.conf", false);
    case rsyslogDisk:
      return new RsyslogChain(way, "rsyslog-disk.conf");
    case telegraf:
      return new TelegrafChain(way, "telegraf.conf");
    case telegrafDisk:
      return new TelegrafChain(way, "telegraf-disk.conf");
  }
  throw new Error(`there is no chain "${side}"`);
}

/** Brings the peers' programs; returns why some can't be measured here, by name. */
export async function preparePeers(
  peers: Side[],
  say: (line: string) => void,
): Promise<Record<Side, string>> {
  const absent: Record<Side, string> = {};
  const note = (own: Side[], why: string | undefined) => {
    for (const peer of peers) if (why !== undefined && own.includes(peer)) absent[peer] = why;
  };
  const failed = (error: unknown) => `not installed: ${error instanceof Error ? error.message : error}`;
  note([rsyslog, rsyslogBare, rsyslogDisk], await prepareRsyslog(say).then(() => undefined, failed));
  note([telegraf, telegrafDisk], await prepareTelegraf(say));
  return absent;
}
