/**
 * Messages of many clients into the spool: added as they come, made durable together by one sync, and answered then, in
 * the order in which they came.
 */
import type { Clock } from "../base/clock.ts";
import { LostSyncError, reasonOf } from "../base/errors.ts";
import type { Arrival, IncomingReading, SpoolApi } from "../spool/spool_types.ts";
import type { Counters } from "./counters.ts";
import type { Pace } from "./pace.ts";

/** Called once the message is durable, or can't be stored. `repetition`: it was durable already. */
export type Answer = (error: Error | null, repetition?: boolean) => void;

export interface EmbeddedIntakeParts {
  spool: SpoolApi;
  clock: Clock;
  counters: Counters;
  pace: Pace;
  /** A batch is durable and answered. */
  onBatch: (messages: number) => void;
  /** The disk refused a batch: nothing of it is stored. */
  onRefused: (reason: string) => void;
}

interface Waiting {
  qos: 0 | 1 | 2;
  answer: Answer;
}

export class EmbeddedIntake {
  #waiting: Waiting[] = [];
  #arrival: Arrival | undefined;
  #wake: (() => void) | undefined;
  committing = false;

  constructor(private readonly parts: EmbeddedIntakeParts) {}

  /** Adds one reading to the next commit; its arrays are read during the call only. */
  add(reading: IncomingReading, answer: Answer): void {
    this.parts.spool.addReading(reading, this.#arriveNow());
    this.#waiting.push({ qos: reading.qos, answer });
    this.#wake?.();
  }

  /** Commits what comes until `signal` aborts and nothing waits. Rejects with LostSyncError: the process must end then. */
  async run(signal: AbortSignal): Promise<void> {
    const { pace, clock, spool } = this.parts;
    const wake = () => this.#wake?.();
    signal.addEventListener("abort", wake);
    try {
      while (true) {
        const idleMs = performance.now();
        if (!await this.#some(signal)) return;
        const waitedMs = performance.now() - idleMs;
        const [bytes, messages] = [spool.pendingBytes(), this.#waiting.length];
        await this.#commit();
        const pauseMs = pace.pauseMs(bytes, messages, waitedMs);
        if (pauseMs > 0) await clock.sleep(pauseMs, signal);
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  /** Waits for a message; false when there will be none. */
  async #some(signal: AbortSignal): Promise<boolean> {
    while (this.#waiting.length === 0) {
      if (signal.aborted) return false;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#wake = undefined;
    return true;
  }

  async #commit(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    this.committing = true;
    try {
      await this.parts.spool.commit();
    } catch (error) {
      this.#refuse(batch, error);
      if (!(error instanceof LostSyncError)) return this.parts.onRefused(reasonOf(error));
      this.#refuse(this.#waiting, error);
      throw error;
    } finally {
      this.committing = false;
    }
    for (const { answer } of batch) answer(null);
    this.parts.onBatch(batch.length);
  }

  #refuse(batch: Waiting[], error: unknown): void {
    for (const { qos, answer } of batch) {
      if (qos === 0) this.parts.counters.qos0Lost++;
      answer(new Error(`the message can't be stored: ${reasonOf(error)}`));
    }
  }

  /** Messages that are read in one turn of the event loop arrive together. */
  #arriveNow(): Arrival {
    if (this.#arrival === undefined) {
      const { clock } = this.parts;
      this.#arrival = {
        wallMs: clock.wallMs(),
        bootMs: clock.bootMs(),
        bootId: clock.bootId,
        synchronised: clock.synchronised(),
        queued: false,
        lastConnectedMs: undefined,
      };
      queueMicrotask(() => this.#arrival = undefined);
    }
    return this.#arrival;
  }
}
