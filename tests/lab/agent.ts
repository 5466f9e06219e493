/** The agent as a process of its own: the compiled binary with a configuration, secrets and spool that the test gives. */
import { join } from "node:path";
import type { Snapshot } from "../../agent/status/snapshot.ts";
import { finish, type Finished } from "./command.ts";
import { makeLabDir, projectDir } from "./paths.ts";
import { Running } from "./process.ts";
import { Shim } from "./shim.ts";
import { waitUntil } from "./wait.ts";

export type Architecture = "x86_64" | "aarch64";

export interface AgentOptions {
  /** The content of agent.yaml; `spool.dir` and a short `min_free` are added where they are missing. */
  config: Record<string, unknown>;
  /** Files beside agent.yaml, each readable by its owner only. */
  secrets?: Record<string, string>;
  /** The other architecture runs under qemu. Default: the machine's own. */
  architecture?: Architecture;
  /** Runs the sources instead of the binary. */
  fromSources?: boolean;
  /** Ports whose connections count for the shim, by name. */
  ports?: Record<string, number>;
  /** A folder of the test's own for the spool, such as a mounted one; default: a new one. */
  spoolDir?: string;
  /** A folder beside the spool whose files count for the shim, too: of a local store. */
  storeDir?: string;
  env?: Record<string, string>;
}

/** The binary that `deno task compile` makes; LAB_AGENT_DIR names another folder than `dist/` to take it from. */
export function agentBinary(architecture: Architecture = Deno.build.arch): string {
  const dir = Deno.env.get("LAB_AGENT_DIR") ?? join(projectDir, "dist");
  return join(dir, `sensorlog-agent-${architecture}-unknown-linux-gnu`);
}

/** `await using` kills it and removes its folder. */
export class Agent implements AsyncDisposable {
  readonly configFile: string;
  readonly socket: string;
  /** Process and log of the present or last life. */
  #running: Running | undefined;
  #earlierLog = "";
  readonly #program: Program;
  readonly #http: Deno.HttpClient;

  private constructor(
    readonly dir: string,
    readonly spoolDir: string,
    readonly shim: Shim,
    private readonly options: AgentOptions,
  ) {
    this.configFile = join(dir, "agent.yaml");
    this.socket = join(spoolDir, "agent.sock");
    this.#program = programOf(options);
    this.#http = Deno.createHttpClient({
      proxy: { transport: "unix", path: this.socket },
      poolMaxIdlePerHost: 0, // a killed agent leaves no connection to reuse
    });
  }

  /** Writes configuration and secrets; the agent is not started. */
  static async create(options: AgentOptions): Promise<Agent> {
    const dir = await makeLabDir("agent");
    const spoolDir = options.spoolDir ?? join(dir, "spool");
    const { ports, storeDir } = options;
    const watch = {
      folder: spoolDir,
      ...(storeDir === undefined ? {} : { secondFolder: storeDir }),
      ...(ports === undefined ? {} : { ports }),
    };
    const shim = await Shim.create(join(dir, "shim"), watch);
    const agent = new Agent(dir, spoolDir, shim, options);
    await agent.configure(options.config);
    for (const [name, content] of Object.entries(options.secrets ?? {})) {
      await Deno.writeTextFile(join(dir, name), content, { mode: 0o600 });
    }
    return agent;
  }

  /** Replaces agent.yaml. The file is JSON, which is YAML too. */
  async configure(config: Record<string, unknown>): Promise<void> {
    const spool = {
      dir: this.spoolDir,
      min_free: "1MiB",
      ...config.spool as Record<string, unknown> | undefined,
    };
    await Deno.writeTextFile(this.configFile, JSON.stringify({ ...config, spool }, null, 2), { mode: 0o600 });
  }

  /** Starts `run`; does not wait for anything. */
  start(): void {
    if (this.#running !== undefined) throw new Error("this agent runs already");
    const args = [...this.#program.args, "run", "--config", this.configFile];
    const env = { NO_COLOR: "1", ...this.shim.env, ...this.options.env };
    this.#running = new Running(this.#program.path, args, { env });
  }

  get running(): Running {
    if (this.#running === undefined) throw new Error("this agent does not run");
    return this.#running;
  }

  /** Whether a process was started and has not been seen to end. */
  get isRunning(): boolean {
    return this.#running !== undefined && !this.#running.ended;
  }

  /** Everything it logged, over all its lives. */
  get log(): string {
    return this.#earlierLog +
      (this.#running === undefined ? "" : this.#running.stderr.text + this.#running.stdout.text);
  }

  /** Waits until the process has ended by itself, and returns how. */
  async ended(timeoutMs = 10_000): Promise<{ code: number; signal: Deno.Signal | null }> {
    const { running } = this;
    await waitUntil(() => running.ended, timeoutMs, "the agent to end", {
      everyMs: 5,
      explain: () => this.log,
    });
    return await this.#over(running);
  }

  async #over(running: Running): Promise<{ code: number; signal: Deno.Signal | null }> {
    const exit = await running.exit;
    this.#earlierLog = `${this.log}--- ended with ${exit.signal ?? exit.code}\n`;
    this.#running = undefined;
    return exit;
  }

  /** Sends a signal and waits for the end. Does nothing when it does not run. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    if (this.#running === undefined) return;
    this.#running.signal(signal);
    await this.#over(this.#running);
  }

  /** SIGTERM; returns how it ended (SIGKILL after `patienceMs`). */
  async stop(patienceMs = 15_000): Promise<{ code: number; signal: Deno.Signal | null }> {
    const { running } = this;
    await running.stop(patienceMs);
    return await this.#over(running);
  }

  /** Another command of the agent with the same configuration, such as `["status", "--json"]`. */
  async command(...args: string[]): Promise<Finished> {
    return await finish(this.#program.path, [...this.#program.args, ...args, "--config", this.configFile], {
      env: { NO_COLOR: "1", ...this.options.env },
    });
  }

  /** What `status --json` shows, asked at the socket itself. Throws when no agent answers. */
  async snapshot(): Promise<Snapshot> {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch("http://agent/status", { client: this.#http, signal });
    if (!response.ok) throw new Error(`GET /status: ${response.status} ${await response.text()}`);
    return await response.json();
  }

  /** The first snapshot for which `predicate` holds. Throws with log and last snapshot, also when the process ends before. */
  async waitUntil(
    what: string,
    predicate: (snapshot: Snapshot) => boolean,
    timeoutMs = 15_000,
  ): Promise<Snapshot> {
    const { running } = this;
    let last: Snapshot | undefined;
    const found = await waitUntil(
      async () => {
        if (running.ended) return "ended";
        last = await this.snapshot();
        return predicate(last) && last;
      },
      timeoutMs,
      what,
      { explain: () => `${JSON.stringify(last, null, 1)}\n${this.log.slice(-6_000)}` },
    );
    if (found === "ended") {
      throw new Error(`the agent ended while waiting for: ${what}\n${this.log.slice(-6_000)}`);
    }
    return found as Snapshot;
  }

  /** Waits until the broker has granted every filter and every output has been reached. */
  async waitUntilReady(timeoutMs = 15_000): Promise<Snapshot> {
    return await this.waitUntil(
      "the agent to be subscribed and its outputs to be well",
      ({ subscriber, outputs }) =>
        subscriber.state === "connected" &&
        subscriber.filters.every(({ granted }) => typeof granted === "number") &&
        outputs.every(({ state }) => state === "well"),
      timeoutMs,
    );
  }

  /** Resident memory of the process now, bytes. */
  memoryBytes(): number {
    const status = Deno.readTextFileSync(`/proc/${this.running.pid}/status`);
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#http.close();
    this.shim[Symbol.dispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

interface Program {
  path: string;
  args: string[];
}

/** What stands for `sensorlog-agent` on a command line. */
function programOf({ architecture = Deno.build.arch, fromSources }: AgentOptions): Program {
  if (fromSources) {
    const project = ["--config", join(projectDir, "deno.json"), `--lock=${join(projectDir, "deno.lock")}`];
    const args = ["run", "--quiet", ...project, "--frozen", "-A", join(projectDir, "agent/main.ts")];
    return { path: Deno.execPath(), args };
  }
  const binary = agentBinary(architecture);
  if (architecture === Deno.build.arch) return { path: binary, args: [] };
  // the dynamically linked qemu: preloaded into it, the shim answers what the agent asks the kernel for
  const args = ["-U", "LD_PRELOAD", "-L", `/usr/${architecture}-linux-gnu`, binary];
  return { path: `qemu-${architecture}`, args };
}
