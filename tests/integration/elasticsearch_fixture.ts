/** An Elasticsearch output and a whole shipper over the real spool, for tests against real servers and lying ones. */
import { join } from "node:path";
import { realFiles } from "../../agent/base/files.ts";
import { Reserve } from "../../agent/base/reserve.ts";
import type { ElasticsearchSettings, SecretFile, Settings } from "../../agent/settings.ts";
import { ClockDecisions } from "../../agent/shipper/clock_decisions.ts";
import { ElasticsearchOutput } from "../../agent/shipper/elasticsearch.ts";
import { OutputStates } from "../../agent/shipper/output_state.ts";
import { Shipper } from "../../agent/shipper/shipper.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { OutputStatus } from "../../agent/status/snapshot.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { bytes, none } from "../unit/shipper_fixture.ts";

export function elasticsearchSettings(parts: Partial<ElasticsearchSettings>): ElasticsearchSettings {
  return {
    ...{
      type: "elasticsearch",
      name: "cloud",
      urls: [],
      caPem: undefined,
      apiKey: undefined,
      username: undefined,
    },
    ...{
      password: undefined,
      proxy: undefined,
      index: "mqtt-%Y.%m.%d",
      dataStream: undefined,
      manageTemplate: true,
    },
    ...parts,
  };
}

/** The settings that an output looks at. */
export function commonSettings(parts: Partial<Settings> = {}): Settings {
  const settings: Partial<Settings> = {
    plant: "vigo",
    hostIp: undefined,
    labels: {},
    labelsFromTopic: undefined,
    ...parts,
  };
  return settings as Settings;
}

export function secret(value: string): SecretFile {
  return { path: "/secret", read: () => value };
}

/** The clock of this machine, said to be synchronised. */
const clock = {
  bootId: "ab".repeat(16),
  wallMs: () => Date.now(),
  bootMs: () => performance.now(),
  synchronised: () => "yes" as const,
  sleep: (timeMs: number, signal?: AbortSignal) =>
    new Promise<void>((done) => {
      if (signal?.aborted === true) return done();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        done();
      };
      const timer = setTimeout(end, timeMs);
      signal?.addEventListener("abort", end);
    }),
};

/** A shipper that runs, over a spool of its own. `await using` stops it. */
export class Shipping {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #stored = 0;

  private constructor(
    private readonly dir: string,
    private readonly spool: Spool,
    readonly shipper: Shipper,
    readonly log: MemoryLog,
    /** How many pauses there have been. */
    readonly attempts: () => number,
  ) {}

  static async start(
    settings: Partial<ElasticsearchSettings>,
    common: Partial<Settings> = {},
  ): Promise<Shipping> {
    const dir = await Deno.makeTempDir({ prefix: "sensorlog-shipping-" });
    const files = realFiles;
    const log = new MemoryLog();
    const whole = elasticsearchSettings(settings);
    const reserve = await Reserve.open(files, join(dir, "reserve"), 64 * 1024);
    const states = await OutputStates.open({ files, dir: join(dir, "outputs"), reserve, log });
    const spool = await Spool.open({ files, dir, log, floorSequence: states.floorSequence() });
    const decisions = await ClockDecisions.open({
      files,
      path: join(dir, "clock.json"),
      reserve,
      clock,
      log,
      spool,
    });
    const output = new ElasticsearchOutput(whole, commonSettings(common), log);
    const state = await states.use(whole.name, {
      oldestSequence: spool.oldestSequence(),
      nextSequence: spool.nextSequence(),
      target: (whole.index ?? whole.dataStream)!,
    });
    let pauses = 0;
    // attempts follow each other quickly, so that a fault's end is noticed at once
    const backoff = { nextMs: () => (pauses++, 60), reset: () => {} };
    const shipper = new Shipper({ output, state, spool, decisions, clock, log, whenFull: "block", backoff });
    const shipping = new Shipping(dir, spool, shipper, log, () => pauses);
    shipping.#running = shipper.run(shipping.#stop.signal);
    return shipping;
  }

  /** Stores one message for each payload. */
  async store(...payloads: string[]): Promise<void> {
    const arrival = {
      ...{
        wallMs: clock.wallMs(),
        bootMs: clock.bootMs(),
        bootId: clock.bootId,
        synchronised: clock.synchronised(),
      },
      ...{ queued: false, lastConnectedMs: undefined },
    };
    for (const payload of payloads) {
      const message = {
        qos: 1,
        retain: false,
        duplicate: false,
        packetId: 1,
        properties: none,
        truncated: false,
      } as const;
      this.spool.addReading({ ...message, topic: bytes("hall/press/t"), payload: bytes(payload) }, arrival);
    }
    await this.spool.commit();
    this.#stored += payloads.length;
  }

  /** Stores that many numbers, beginning behind those that were stored before. */
  async storeNumbers(count: number): Promise<void> {
    await this.store(...Array.from({ length: count }, (_, at) => String(this.#stored + at + 1)));
  }

  /** The status as soon as `predicate` holds. */
  async until(
    what: string,
    predicate: (status: OutputStatus) => boolean,
    timeoutMs = 20_000,
  ): Promise<OutputStatus> {
    const explain = () => JSON.stringify(this.shipper.status());
    const ask = () => {
      const status = this.shipper.status();
      return predicate(status) ? status : undefined;
    };
    return await waitUntil(ask, timeoutMs, what, { everyMs: 20, explain });
  }

  /** Waits until nothing waits and the output is well; checks the sum of promise 4. */
  async settled(): Promise<OutputStatus> {
    const status = await this.until(
      "everything is settled",
      (now) => now.waiting === 0 && now.state === "well",
    );
    const { stored, confirmed, waiting, dead, dropped, damaged } = status;
    if (stored !== confirmed + waiting + dead + dropped + damaged || stored !== this.#stored) {
      throw new Error(`the numbers do not add up: ${JSON.stringify(status)}, stored ${this.#stored}`);
    }
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.spool.close();
    await delay(0);
    await Deno.remove(this.dir, { recursive: true });
  }
}
