/** A Raspberry Pi with the agent on it, as far as a container can be one: its systemd, its Mosquitto, a sink outside. */
import { join } from "node:path";
import { agentUnit } from "../../installer/units.ts";
import type { Snapshot } from "../../agent/status/snapshot.ts";
import { agentBinary } from "../lab/agent.ts";
import { Container } from "../lab/container.ts";
import { Sink } from "../lab/sink.ts";
import { waitUntil } from "../lab/wait.ts";

export const unit = "sensorlog-agent.service";
export const binaryPath = "/usr/local/bin/sensorlog-agent";
const patienceMs = 90_000;

/** `await using` takes all of it down. */
export class Pi implements AsyncDisposable {
  private constructor(
    readonly container: Container,
    readonly sink: Sink,
    private readonly stack: AsyncDisposableStack,
  ) {}

  /** Booted, with a synchronised clock; the binary lies in /opt, nothing is installed. */
  static async bare(): Promise<Pi> {
    await using stack = new AsyncDisposableStack();
    const container = stack.use(await Container.create());
    await container.boot();
    const sink = stack.use(new Sink({ hostname: container.hostAddress }));
    await container.copyIn(agentBinary(), "/opt/sensorlog-agent", 0o755);
    const pi = new Pi(container, sink, stack.move());
    await pi.setClock();
    return pi;
  }

  /** Like `bare`, with the agent as a service between Mosquitto and sink, put there without the installer. */
  static async withService(): Promise<Pi> {
    const pi = await Pi.bare();
    const { container } = pi;
    const script = `set -e
      cp /opt/sensorlog-agent ${binaryPath}
      useradd --system --home-dir /var/lib/sensorlog --no-create-home --shell /usr/sbin/nologin sensorlog
      install -d -m 750 -o root -g sensorlog /etc/sensorlog`;
    await container.succeed("sh", ["-c", script]);
    const config = JSON.stringify(pi.config(), null, 2);
    await Deno.writeTextFile(join(container.root, "etc/sensorlog/agent.yaml"), config);
    const text = agentUnit({
      credentials: [],
      binary: binaryPath,
      configFile: "/etc/sensorlog/agent.yaml",
      writableDirs: [],
    });
    await Deno.writeTextFile(join(container.root, "etc/systemd/system", unit), text);
    await container.succeed("systemctl", ["daemon-reload"]);
    await container.succeed("systemctl", ["enable", "--quiet", "--now", unit]);
    await pi.connected();
    return pi;
  }

  /** What agent.yaml says of this broker and this sink. */
  config(): Record<string, unknown> {
    return {
      plant: "pi",
      mqtt: { url: "mqtt://127.0.0.1:1883", client_id: "pi" },
      spool: { min_free: "1MiB" },
      outputs: { cloud: { type: "elasticsearch", urls: [this.sink.url] } },
    };
  }

  /** A container's kernel never says that its clock is synchronised; this is how systemd-timesyncd does. */
  async setClock(): Promise<void> {
    const mark = "mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized";
    await this.container.succeed("sh", ["-c", mark]);
  }

  /** `sensorlog-agent status --json`. Throws when no agent answers. */
  async status(): Promise<Snapshot> {
    const { stdout } = await this.container.finish(binaryPath, ["status", "--json"]);
    const snapshot = JSON.parse(stdout) as Snapshot & { error?: string };
    if (snapshot.error !== undefined) throw new Error(snapshot.error);
    return snapshot;
  }

  /** Waits for what `status` is to say. */
  async until(what: string, holds: (status: Snapshot) => boolean): Promise<Snapshot> {
    let last: Snapshot | undefined;
    await waitUntil(async () => holds(last = await this.status()), patienceMs, what, {
      everyMs: 200,
      explain: () => this.container.journal(unit),
    });
    return last!;
  }

  async connected(): Promise<Snapshot> {
    return await this.until("a connection to the broker", ({ subscriber }) => {
      return subscriber.state === "connected" && subscriber.filters.every((one) => one.granted !== "pending");
    });
  }

  /** Publishes at QoS 1 what each line says, on topic `numbers`. */
  async publish(lines: string[]): Promise<void> {
    const args = ["-q", "1", "-t", "numbers", "-l"];
    await this.container.succeed("mosquitto_pub", args, { stdin: lines.map((line) => `${line}\n`).join("") });
  }

  /** Waits until all of these stand in the sink; how often each is there. */
  async arrived(lines: string[]): Promise<Map<string, number>> {
    const counts = () => {
      const found = new Map<string, number>();
      for (const source of this.sink.sources()) {
        const line = String(source.value ?? source.text);
        found.set(line, (found.get(line) ?? 0) + 1);
      }
      return found;
    };
    await waitUntil(() => lines.every((line) => counts().has(line)), patienceMs, "readings in the sink", {
      explain: () => this.container.journal(unit),
    });
    return counts();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}
