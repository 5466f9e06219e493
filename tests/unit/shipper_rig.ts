/** A shipper over the real spool and states, with an output that does what a test says: for faults at chosen moments. */
import assert from "node:assert/strict";
import type { Alarm } from "../../agent/base/alarms.ts";
import { OperationError } from "../../agent/base/errors.ts";
import type { Finding, Outgoing, Output, Verdict } from "../../agent/shipper/output.ts";
import type { OutputState } from "../../agent/shipper/output_progress.ts";
import { Shipper } from "../../agent/shipper/shipper.ts";
import { recordId } from "../../agent/spool/spool_types.ts";
import type { OutputStatus } from "../../agent/status/snapshot.ts";
import { Surroundings } from "./shipper_fixture.ts";

export const confirmed: Verdict = { kind: "confirmed" };
export const dead: Verdict = { kind: "dead", reason: "400 document_parsing_exception: no", status: 400 };
export const busy: Verdict = { kind: "retry", reason: "429 busy", counts: false, status: 429 };

export function payloadOf(outgoing: Outgoing): string {
  return new TextDecoder().decode(outgoing.reading.payload);
}

export function failure(cause: string, retryable = true): OperationError {
  return new OperationError({ operation: "send", place: "https://there", cause, retryable });
}

/** An output whose answers a test chooses; it remembers what it has taken, as an index does. */
export class ScriptedOutput implements Output {
  readonly name = "cloud";
  readonly type = "scripted";
  readonly place = "https://there";
  /** Verdicts for a batch; throws for a request that fails as a whole. */
  answer: (batch: Outgoing[]) => Verdict[] | Promise<Verdict[]> = (batch) => batch.map(() => confirmed);
  /** Throws when it can't be prepared. */
  onPrepare: () => void = () => {};
  prepares = 0;
  /** Payloads of each request. */
  readonly requests: string[][] = [];
  /** What was confirmed, by id; a second time is an error unless the first answer never arrived. */
  readonly index = new Map<string, Outgoing>();
  closed = false;

  prepare(): Promise<void> {
    this.prepares++;
    return Promise.resolve().then(this.onPrepare);
  }

  async send(batch: Outgoing[]): Promise<Verdict[]> {
    this.requests.push(batch.map(payloadOf));
    const verdicts = await this.answer(batch);
    for (const [at, outgoing] of batch.entries()) {
      if (verdicts[at]?.kind === "confirmed") this.index.set(recordId(outgoing.reading), outgoing);
    }
    return verdicts;
  }

  alarms(): Alarm[] {
    return [];
  }
  examine(): Promise<Finding[]> {
    return Promise.resolve([]);
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** Payloads of what has arrived, in the order of their sequences. */
  arrived(): string[] {
    const all = [...this.index.values()].sort((a, b) => a.reading.sequence - b.reading.sequence);
    return all.map(payloadOf);
  }
}

export interface RigOptions {
  around?: Surroundings;
  output?: ScriptedOutput;
  whenFull?: "block" | "drop_oldest";
  target?: string;
}

export class Rig {
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(
    readonly around: Surroundings,
    readonly output: ScriptedOutput,
    readonly state: OutputState,
    readonly shipper: Shipper,
  ) {}

  static async open(options: RigOptions = {}): Promise<Rig> {
    const { output = new ScriptedOutput(), whenFull = "block", target = "mqtt-%Y.%m.%d" } = options;
    const around = options.around ?? await Surroundings.open();
    const { spool, states, decisions, clock, log } = around;
    const state = await states.use("cloud", {
      oldestSequence: spool.oldestSequence(),
      nextSequence: spool.nextSequence(),
      target,
    });
    // without jitter: 1 s, 2 s, 4 s …
    let failures = 0;
    const backoff = {
      nextMs: () => Math.min(1_000 * 2 ** failures++, 60_000),
      reset: () => void (failures = 0),
    };
    const shipper = new Shipper({ output, state, spool, decisions, clock, log, whenFull, backoff });
    return new Rig(around, output, state, shipper);
  }

  /** Lets it run; the clock decisions look at the clock meanwhile. */
  start(): this {
    const { signal } = this.#stop;
    this.#running = Promise.all([this.shipper.run(signal), this.around.decisions.run(signal)]).then(() => {});
    this.#running.catch(() => {});
    return this;
  }

  /** Lets work run that is due now, then time pass. */
  async advance(timeMs = 0): Promise<void> {
    await this.around.clock.advance(0);
    await this.around.clock.advance(timeMs);
  }

  /** The status, with promise 4 checked. */
  status(): OutputStatus {
    const status = this.shipper.status();
    const { stored, confirmed, waiting, dead, dropped, damaged } = status;
    assert.equal(stored, confirmed + waiting + dead + dropped + damaged, JSON.stringify(status));
    return status;
  }

  alarms(): string[] {
    return this.status().alarms.map((alarm) => alarm.code);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Power goes, and another life begins over what the disk has kept; not started. */
  async crash(options: Omit<RigOptions, "around"> = {}): Promise<Rig> {
    const { files } = this.around;
    files.fault = () => "EIO"; // nothing reaches the disk any more
    await this.stop().catch(() => {});
    files.heal();
    files.crash("lost");
    await this.around.reopen();
    return await Rig.open({ output: this.output, ...options, around: this.around });
  }
}
