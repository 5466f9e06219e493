/** A real Mosquitto of the test's own. */
import { join } from "node:path";
import { succeed } from "./command.ts";
import { isRoot, makeLabDir } from "./paths.ts";
import { accepts, freePort } from "./ports.ts";
import { Running } from "./process.ts";
import { waitUntil } from "./wait.ts";

export interface MosquittoOptions {
  /** Server certificate and key (PEM files); with `clientCa`, clients must show a certificate of that CA. */
  tls?: { certificate: string; key: string; clientCa?: string };
  /** Name and password of each user; without, everybody may come in. The file holds hashes. */
  users?: Record<string, string>;
  /** Lines of an access list, such as `user agent`, `topic readwrite #`. */
  acl?: string[];
  /** More lines of its configuration. */
  extra?: string[];
  /** Keeps sessions and messages on disk; default true. Saved every `autosaveS` seconds (default 1,800) and at its end. */
  persistence?: boolean;
  autosaveS?: number;
  hostname?: "127.0.0.1" | "::1";
  port?: number;
}

const program = "/usr/sbin/mosquitto";

/** A broker that was started by `startMosquitto`. */
export class Mosquitto {
  readonly port: number;
  /** `mqtt://127.0.0.1:PORT`, or `mqtts:` with TLS. */
  readonly url: string;
  readonly hostname: string;
  #running: Running | undefined;
  #earlierLog = "";

  constructor(
    /** Holds `mosquitto.conf` and, with persistence, `mosquitto.db`. */
    readonly dir: string,
    private readonly options: MosquittoOptions,
  ) {
    this.hostname = options.hostname ?? "127.0.0.1";
    this.port = options.port ?? freePort(this.hostname);
    const host = this.hostname.includes(":") ? `[${this.hostname}]` : this.hostname;
    this.url = `${options.tls === undefined ? "mqtt" : "mqtts"}://${host}:${this.port}`;
  }

  /** Everything that it logged, over all its lives. */
  get log(): string {
    return this.#earlierLog + (this.#running?.stderr.text ?? "");
  }

  get pid(): number {
    if (this.#running === undefined) throw new Error("this Mosquitto does not run");
    return this.#running.pid;
  }

  #configuration(extra: string[]): string {
    const { tls, users, acl, persistence = true, autosaveS = 1_800 } = this.options;
    const lines = [
      `listener ${this.port} ${this.hostname}`,
      `allow_anonymous ${users === undefined}`,
      "log_dest stderr",
      "log_type all",
      "connection_messages true",
    ];
    if (isRoot) lines.unshift("user root"); // else it drops to a user who can't read this folder
    if (users !== undefined) lines.push(`password_file ${join(this.dir, "passwords")}`);
    if (acl !== undefined) lines.push(`acl_file ${join(this.dir, "acl")}`);
    if (tls !== undefined) lines.push(`certfile ${tls.certificate}`, `keyfile ${tls.key}`);
    if (tls?.clientCa !== undefined) lines.push(`cafile ${tls.clientCa}`, "require_certificate true");
    if (persistence) {
      lines.push("persistence true", `persistence_location ${this.dir}/`, `autosave_interval ${autosaveS}`);
    }
    return [...lines, ...this.options.extra ?? [], ...extra, ""].join("\n");
  }

  /** Starts it (again) over what it kept; `extra` are lines for this life only. */
  async start(extra: string[] = []): Promise<void> {
    const { users, acl } = this.options;
    await Deno.writeTextFile(join(this.dir, "mosquitto.conf"), this.#configuration(extra));
    if (users !== undefined) {
      const path = join(this.dir, "passwords");
      const lines = Object.entries(users).map(([name, password]) => `${name}:${password}\n`);
      await Deno.writeTextFile(path, lines.join(""), { mode: 0o600 });
      await succeed("mosquitto_passwd", ["-U", path]);
    }
    if (acl !== undefined) {
      await Deno.writeTextFile(join(this.dir, "acl"), acl.join("\n") + "\n", { mode: 0o600 });
    }
    const running = new Running(program, ["-c", join(this.dir, "mosquitto.conf")]);
    this.#running = running;
    await waitUntil(
      async () => {
        if (running.ended) return true;
        return await accepts(this.port, this.hostname);
      },
      10_000,
      `Mosquitto on port ${this.port}`,
      { everyMs: 10, explain: () => this.log },
    );
    if (running.ended) throw new Error(`Mosquitto ended at once:\n${running.stderr.text}`);
  }

  /** Sends a signal and waits for its end. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    running.signal(signal);
    await running.exit;
    this.#earlierLog += running.stderr.text;
    this.#running = undefined;
  }

  /** Stops it in order if it runs, and starts it on the same port over the same data. */
  async restart(extra: string[] = []): Promise<void> {
    await this.kill("SIGTERM");
    await this.start(extra);
  }

  /** Makes it write its database now, and returns that file's path. */
  async save(): Promise<string> {
    const path = join(this.dir, "mosquitto.db");
    const stamp = () => Deno.stat(path).then((info) => `${info.ino} ${info.mtime?.getTime()}`, () => "none");
    const before = await stamp();
    Deno.kill(this.pid, "SIGUSR1");
    await waitUntil(async () => await stamp() !== before, 5_000, "Mosquitto's database to be saved");
    return path;
  }

  /** SIGHUP: reads passwords, access list and certificates again. */
  reload(): void {
    Deno.kill(this.pid, "SIGHUP");
  }

  /** Stops it and removes its folder. */
  async stop(): Promise<void> {
    await this.kill("SIGTERM");
    await Deno.remove(this.dir, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Starts a broker on a free port; returns when it accepts connections. `await using` stops it. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const broker = new Mosquitto(await makeLabDir("mosquitto"), options);
  try {
    await broker.start();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}
