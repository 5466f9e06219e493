/** The two that receive: mosquitto_sub writing to a file, and the agent writing to its spool. */
import { join } from "node:path";
import { finish } from "../tests/lab/command.ts";
import { projectDir } from "../tests/lab/paths.ts";
import { Running } from "../tests/lab/process.ts";
import type { Snapshot } from "../agent/status/snapshot.ts";
import { endTopic } from "./messages.ts";
import type { Qos } from "./packets.ts";

/** A receiving process with a fixed client id and a session that the broker keeps. */
export interface Receiver {
  readonly pid: number;
  readonly running: Running;
  /** Bytes that it has written of what it received. */
  storedBytes(): number;
  /** Whether the end message stands behind everything. */
  hasEnd(): boolean;
  /** Readings that it has stored, the end message included. */
  stored(): Promise<number>;
  /** SIGTERM; the session stays. */
  stop(): Promise<void>;
}

export interface Reception {
  /** Folder of its own, on a real disk; kept between two starts of one session. */
  dir: string;
  port: number;
  qos: Qos;
  clientId: string;
}

const tailBytes = 4096;

/** Whether the last 4 KiB of a file hold the end message's topic. */
function endsWithEnd(path: string): boolean {
  const file = Deno.openSync(path);
  try {
    const size = file.statSync().size;
    file.seekSync(Math.max(0, size - tailBytes), Deno.SeekMode.Start);
    const tail = new Uint8Array(tailBytes);
    const n = file.readSync(tail) ?? 0;
    return new TextDecoder("latin1").decode(tail.subarray(0, n)).includes(endTopic);
  } finally {
    file.close();
  }
}

export class MosquittoSub implements Receiver {
  readonly running: Running;
  readonly #file: string;

  constructor({ dir, port, qos, clientId }: Reception) {
    this.#file = join(dir, "received.ndjson");
    const args = [
      "-h",
      "127.0.0.1",
      "-p",
      `${port}`,
      "-q",
      `${qos}`,
      "-c",
      "-i",
      clientId,
      "-t",
      "#",
      "-F",
      "%J",
    ];
    this.running = new Running("sh", ["-c", 'exec mosquitto_sub "$@" >> "$OUT"', "sh", ...args], {
      env: { OUT: this.#file },
    });
  }

  get pid(): number {
    return this.running.pid;
  }
  storedBytes(): number {
    try {
      return Deno.statSync(this.#file).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0; // its shell has not made it yet
      throw error;
    }
  }
  hasEnd(): boolean {
    return endsWithEnd(this.#file);
  }
  async stored(): Promise<number> {
    let lines = 0;
    const file = await Deno.open(this.#file);
    for await (const chunk of file.readable) {
      for (const byte of chunk) if (byte === 0x0a) lines++;
    }
    return lines;
  }
  async stop(): Promise<void> {
    await this.running.stop();
  }
}

/** Beyond what every run needs; lines of `outputs:` and the environment of the process. */
export interface AgentExtras {
  configuration?: string[];
  env?: Record<string, string>;
}

/** The compiled binary for this machine, or what `--agent` names. */
export const agentProgram = {
  path: join(projectDir, `dist/sensorlog-agent-${Deno.build.arch}-unknown-linux-gnu`),
};

export class Agent implements Receiver {
  readonly running: Running;
  readonly configFile: string;
  readonly #spool: string;

  constructor(
    { dir, port, qos, clientId }: Reception,
    { configuration = ["outputs: {}"], env = {} }: AgentExtras = {},
  ) {
    this.#spool = join(dir, "spool");
    this.configFile = join(dir, "agent.yaml");
    const lines = [
      "plant: bench",
      "mqtt:",
      `  url: mqtt://127.0.0.1:${port}`,
      `  client_id: ${clientId}`,
      `  qos: ${qos}`,
      "spool:",
      `  dir: ${this.#spool}`,
      ...configuration,
      "",
    ];
    Deno.writeTextFileSync(this.configFile, lines.join("\n"));
    this.running = new Running(agentProgram.path, ["run", "--config", this.configFile], { env });
  }

  get pid(): number {
    return this.running.pid;
  }
  /** Its segments, oldest first. */
  #segments(): string[] {
    try {
      const names = [...Deno.readDirSync(this.#spool)].map((entry) => entry.name);
      return names.filter((name) => name.endsWith(".seg")).sort().map((name) => join(this.#spool, name));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }
  storedBytes(): number {
    return this.#segments().reduce((sum, path) => sum + Deno.statSync(path).size, 0);
  }
  hasEnd(): boolean {
    const last = this.#segments().at(-1);
    return last !== undefined && endsWithEnd(last);
  }
  async status(): Promise<Snapshot> {
    const args = ["status", "--json", "--config", this.configFile];
    const { code, stdout, stderr } = await finish(agentProgram.path, args);
    // 1: something wants attention, such as that there is no output
    if (code > 1) {
      throw new Error(`status ended with ${code}: ${stderr}${this.running.stderr.text}`.trimEnd());
    }
    return JSON.parse(stdout) as Snapshot;
  }
  async stored(): Promise<number> {
    return (await this.status()).spool.stored;
  }
  async stop(): Promise<void> {
    await this.running.stop();
  }
}
