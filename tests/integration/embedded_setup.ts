/** The agent's own broker in this process, on a real spool in a folder of its own, and what tests ask of it. */
import { join } from "node:path";
import { realFiles } from "../../agent/base/files.ts";
import type { MqttSettings } from "../../agent/settings.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { Reading, SpoolApi } from "../../agent/spool/spool_types.ts";
import type { SubscriberStatus } from "../../agent/status/snapshot.ts";
import { EmbeddedBroker } from "../../agent/subscriber/embedded_broker.ts";
import { HurriedClock } from "../fakes/hurried_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { Publisher, type PublisherOptions } from "../lab/publisher.ts";
import { durableReadings } from "../lab/readings.ts";
import { waitUntil } from "../lab/wait.ts";
import { mqttSettings, textOf } from "./broker_setup.ts";

export { mqttSettings, secret, textOf } from "./broker_setup.ts";

export interface EmbeddedOptions {
  syncWindowMs?: number;
  /** Instead of the real spool. */
  spool?: (real: SpoolApi) => SpoolApi;
}

/** `await using` ends it and removes its folder. */
export class EmbeddedAgent implements AsyncDisposable {
  readonly log = new MemoryLog();
  readonly clock = new HurriedClock(1);
  /** What the cleaner would answer. */
  full: string | undefined;
  readonly broker: EmbeddedBroker;
  readonly #stop = new AbortController();
  readonly running: Promise<void>;
  #stopped = false;

  private constructor(
    readonly dir: string,
    readonly spool: SpoolApi,
    public settings: MqttSettings,
    options: EmbeddedOptions,
  ) {
    const { clock, log } = this;
    const syncWindowMs = options.syncWindowMs ?? 20;
    const fullReason = () => this.full;
    this.broker = new EmbeddedBroker({ settings, clock, log, spool, fullReason, syncWindowMs });
    this.running = this.broker.run(this.#stop.signal);
    this.running.catch(() => {}); // whoever stops it hears of it
  }

  /** Starts it on a free port of 127.0.0.1 unless the settings say otherwise; it listens when this returns. */
  static async start(
    more: Partial<MqttSettings> = {},
    options: EmbeddedOptions = {},
  ): Promise<EmbeddedAgent> {
    const dir = await Deno.makeTempDir({ prefix: "sensorlog-embedded-" });
    const log = new MemoryLog();
    const real = await Spool.open({ files: realFiles, dir: join(dir, "spool"), log, floorSequence: 0 });
    const settings = mqttSettings({ listen: { host: "127.0.0.1", port: 0 }, ...more });
    const agent = new EmbeddedAgent(dir, options.spool?.(real) ?? real, settings, options);
    await agent.until("the broker to listen", ({ state }) => state === "listening" || state === "stopped");
    if (agent.status.state === "stopped") await agent[Symbol.asyncDispose](); // throws why
    return agent;
  }

  get status(): SubscriberStatus {
    return this.broker.status();
  }

  get url(): string {
    return this.status.url!;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  publisher(options: Partial<PublisherOptions> = {}): Promise<Publisher> {
    return Publisher.connect({ port: this.port, ...options });
  }

  reload(more: Partial<MqttSettings>): void {
    this.settings = { ...this.settings, ...more };
    this.broker.reload(this.settings);
  }

  /** As SIGTERM does. Rejects when the broker did. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stop.abort();
    try {
      await this.running;
    } finally {
      await this.spool.close();
    }
  }

  /** All readings that are durable, in order; copies. */
  readings(): Reading[] {
    return durableReadings(this.spool);
  }

  payloads(): string[] {
    return this.readings().map((one) => textOf(one.payload));
  }

  /** Waits until the status is as wanted. */
  until(what: string, holds: (status: SubscriberStatus) => boolean, timeoutMs = 20_000): Promise<unknown> {
    return waitUntil(() => holds(this.status), timeoutMs, what, {
      everyMs: 5,
      explain: () => `${JSON.stringify(this.status, null, 1)}\n${this.log.text}`,
    });
  }

  stored(count: number, timeoutMs?: number): Promise<unknown> {
    return this.until(`${count} stored readings`, () => this.spool.nextSequence() - 1 >= count, timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.stop();
    } finally {
      await Deno.remove(this.dir, { recursive: true });
    }
  }
}
