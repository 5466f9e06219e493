/** A subscriber in this process, on a real spool in a folder of its own, and what tests ask of it. */
import { join } from "node:path";
import { realFiles } from "../../agent/base/files.ts";
import type { MqttSettings, SecretFile } from "../../agent/settings.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { Reading, SpoolApi } from "../../agent/spool/spool_types.ts";
import type { SubscriberStatus } from "../../agent/status/snapshot.ts";
import { Subscriber } from "../../agent/subscriber/subscriber.ts";
import { HurriedClock } from "../fakes/hurried_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { durableReadings } from "../lab/readings.ts";
import { waitUntil } from "../lab/wait.ts";

export const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

export function secret(text: string): SecretFile {
  return { path: "/secrets/of-a-test", read: () => text };
}

export function mqttSettings(more: Partial<MqttSettings> = {}): MqttSettings {
  return {
    url: undefined,
    listen: undefined,
    caPem: undefined,
    fingerprintSha256: undefined,
    username: undefined,
    password: undefined,
    certificatePem: undefined,
    key: undefined,
    clientId: "agent",
    topics: ["#"],
    exclude: [],
    qos: 2,
    maxPayloadBytes: 1024 * 1024,
    statusTopic: undefined,
    keepAliveS: 60,
    ...more,
  };
}

export interface AgentOptions {
  /** How much faster than a clock its time runs; default 10. */
  hurry?: number;
  /** Instead of the real spool. */
  spool?: SpoolApi;
}

/** A subscriber that can be stopped and started again over the same folder. `await using` ends it. */
export class TestAgent implements AsyncDisposable {
  readonly log = new MemoryLog();
  readonly clock: HurriedClock;
  /** What the cleaner would answer. */
  full: string | undefined;
  spool!: SpoolApi;
  subscriber!: Subscriber;
  #stop = new AbortController();
  #running: Promise<void> | undefined;

  private constructor(
    readonly dir: string,
    public settings: MqttSettings,
    private readonly options: AgentOptions,
  ) {
    this.clock = new HurriedClock(options.hurry ?? 10);
  }

  static async start(settings: Partial<MqttSettings>, options: AgentOptions = {}): Promise<TestAgent> {
    const dir = await Deno.makeTempDir({ prefix: "sensorlog-subscriber-" });
    const agent = new TestAgent(dir, mqttSettings(settings), options);
    await agent.start();
    return agent;
  }

  async start(): Promise<void> {
    const { clock, log, dir } = this;
    this.spool = this.options.spool ??
      await Spool.open({ files: realFiles, dir: join(dir, "spool"), log, floorSequence: 0 });
    this.subscriber = new Subscriber({
      settings: this.settings,
      stateFile: join(dir, "session.json"),
      files: realFiles,
      clock,
      log,
      spool: this.spool,
      fullReason: () => this.full,
      version: "0.0.0-test",
    });
    this.#stop = new AbortController();
    this.#running = this.subscriber.run(this.#stop.signal);
    this.#running.catch(() => {}); // whoever stops it hears of it
  }

  /** As SIGTERM does. Rejects when the subscriber did. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#stop.abort();
    try {
      await running;
    } finally {
      await this.spool.close();
    }
  }

  /** Rejects or resolves with the subscriber's own run. */
  get running(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  get status(): SubscriberStatus {
    return this.subscriber.status();
  }

  reload(more: Partial<MqttSettings>): void {
    this.settings = { ...this.settings, ...more };
    this.subscriber.reload(this.settings);
  }

  /** All readings in the spool, in order; copies. */
  readings(): Reading[] {
    return durableReadings(this.spool);
  }

  payloads(): string[] {
    return this.readings().map((one) => textOf(one.payload));
  }

  /** Waits until the status is as wanted. */
  until(what: string, holds: (status: SubscriberStatus) => boolean, timeoutMs = 10_000): Promise<unknown> {
    return waitUntil(() => holds(this.status), timeoutMs, what, {
      everyMs: 5,
      explain: () => `${JSON.stringify(this.status, null, 1)}\n${this.log.text}`,
    });
  }

  connected(timeoutMs?: number): Promise<unknown> {
    const holds = (status: SubscriberStatus) =>
      status.state === "connected" && status.filters.every((one) => one.granted !== "pending");
    return this.until("a connection with its filters", holds, timeoutMs);
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
