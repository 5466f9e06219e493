/**
 * Brings the readings of the spool into one output: read a batch from the cursor on, decide time and target of each, send,
 * act on the verdicts, move the cursor. A batch is settled before the next one begins: every reading in it is confirmed
 * or a durable dead letter. So the order of a topic is kept, and only what was refused is sent again.
 */
import { OperationError, reasonOf } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { Backoff } from "../base/retry.ts";
import {
  bulkBytesMax,
  bulkDocumentsMax,
  bulkFewReadings,
  bulkGatherMs,
  cursorWriteIntervalMs,
} from "../limits.ts";
import type { ReadBatch, Reading, SpoolApi, SpoolReader } from "../spool/spool_types.ts";
import type { ReplayResult } from "../status/agent_api.ts";
import type { OutputStatus } from "../status/snapshot.ts";
import type { ClockDecisions } from "./clock_decisions.ts";
import type { DeadLetter } from "./dead_letter.ts";
import { Delivery } from "./delivery.ts";
import type { Outgoing, Output } from "./output.ts";
import { OutputHealth } from "./output_health.ts";
import type { OutputState } from "./output_progress.ts";
import { allLetters, chosenSequences, replay } from "./replay.ts";

export interface ShipperOptions {
  output: Output;
  state: OutputState;
  spool: Pick<SpoolApi, "nextSequence" | "oldestSequence" | "reader" | "waitBeyond">;
  decisions: Pick<ClockDecisions, "decide" | "isVain" | "giveUp">;
  clock: Clock;
  log: Log;
  /** What became of readings that are gone without having been sent: dropped, or else damaged. */
  whenFull: "block" | "drop_oldest";
  /** Default: 1 s to 60 s. */
  backoff?: Pick<Backoff, "nextMs" | "reset">;
}

/** How often a reading that waits for the clock is decided on again. */
const clockWaitPollMs = 1_000;

export class Shipper {
  readonly #health: OutputHealth;
  readonly #delivery: Delivery;
  #running = false;
  #persistedMs = -Infinity;
  #oldestArrivalMs: number | undefined;
  #waiters: (() => void)[] = [];
  /** Aborted when the end has come: what waits goes out without waiting for more. */
  readonly #draining = new AbortController();

  constructor(private readonly options: ShipperOptions) {
    const { output, state, clock, log } = options;
    this.#health = new OutputHealth({ name: output.name, clock, log, onChange: () => this.#wake() });
    const backoff = options.backoff ?? new Backoff();
    this.#delivery = new Delivery({ output, state, clock, log, health: this.#health, backoff });
  }

  /** Ships until `signal` aborts; then what is under way is given up (it is sent again later) and the cursor written. */
  async run(signal: AbortSignal): Promise<void> {
    const { spool, state, output } = this.options;
    const reader = spool.reader(state.nextSequence);
    this.#running = true;
    signal.addEventListener("abort", () => this.#draining.abort(), { once: true });
    try {
      while (!signal.aborted) await this.#step(reader, signal);
    } finally {
      this.#running = false;
      reader.close();
      await this.#persist();
      await output.close();
      this.#wake();
    }
  }

  /** The end has come: resolves when nothing waits any more, or when the output is not well so that waiting is useless. */
  async drained(): Promise<void> {
    const { spool, state } = this.options;
    this.#draining.abort();
    while (this.#running && state.nextSequence < spool.nextSequence() && this.#health.mayProgress) {
      await new Promise<void>((done) => this.#waiters.push(done));
    }
  }

  /** Everything below is settled, and that stands on disk: the cleaner may remove it. */
  durableSequence(): number {
    return this.options.state.durableSequence;
  }

  status(): OutputStatus {
    const { output, state, spool, clock } = this.options;
    const { name, type, place } = output;
    const figures = state.figures(spool.nextSequence());
    const alarms = [...this.#health.alarms(figures.dead), ...output.alarms()];
    const oldestMs = figures.waiting > 0 ? this.#oldestArrivalMs : undefined;
    return {
      ...{ name, type, place },
      ...this.#health.status(),
      ...figures,
      ...(oldestMs === undefined ? {} : { lagMs: Math.max(0, clock.wallMs() - oldestMs) }),
      alarms,
    };
  }

  /** In order; read one at a time. */
  deadLetters(): Iterable<DeadLetter> {
    return allLetters(this.options.state);
  }

  /** Sends dead letters again: all, or those with these ids. Throws OperationError for an unknown id. */
  async replayDead(ids: string[] | undefined, signal: AbortSignal): Promise<ReplayResult> {
    const result = await replay(this.options.state, this.#delivery, this.options.clock, ids, signal);
    this.#wake();
    return result;
  }

  /** Gives dead letters up for good; they count as dropped. Returns how many. Throws OperationError for an unknown id. */
  async dropDead(ids: string[] | undefined): Promise<number> {
    const { state } = this.options;
    return await state.dropDead(chosenSequences(state, ids));
  }

  /** One batch, or one wait for something to do. */
  async #step(reader: SpoolReader, signal: AbortSignal): Promise<void> {
    const { state, clock } = this.options;
    // a new target holds for readings stored from now on only if that is durable before the first of them is sent
    if (state.isUnwritten && !await this.#persist()) return await clock.sleep(cursorWriteIntervalMs, signal);
    if (!this.#delivery.prepared) {
      if (await this.#delivery.check(signal)) this.#health.well();
      return;
    }
    const batch = await this.#read(reader, signal);
    if (batch === undefined) return;
    if (batch.nextSequence === batch.fromSequence) return await this.#idle(signal);
    this.#countGone(batch);
    const { outgoing, buried, waiting } = this.#decide(batch);
    if (waiting !== undefined) reader.seek(waiting.sequence);
    const dead = await this.#delivery.deliver(outgoing, signal);
    if (dead === undefined) return;
    this.#advance(waiting?.sequence ?? batch.nextSequence, outgoing.length - dead, outgoing.length + buried);
    await this.#persistWhenDue();
    if (waiting !== undefined && outgoing.length === 0) await this.#awaitClock(waiting, signal);
    else if (batch.readings.length < bulkFewReadings) await this.#gather();
  }

  /** After a small batch: lets what trickles in gather, because a request costs as much as hundreds of documents. */
  async #gather(): Promise<void> {
    await this.options.clock.sleep(this.options.output.gatherMs ?? bulkGatherMs, this.#draining.signal);
  }

  async #read(reader: SpoolReader, signal: AbortSignal): Promise<ReadBatch | undefined> {
    try {
      return reader.next(bulkDocumentsMax, bulkBytesMax);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      const { reason, remedy } = error;
      const nextTryInMs = cursorWriteIntervalMs;
      this.#health.trouble({
        paused: true,
        reason,
        ...(remedy === undefined ? {} : { remedy }),
        nextTryInMs,
      });
      await this.options.clock.sleep(nextTryInMs, signal);
      return undefined;
    }
  }

  /** Readings that went from the disk before they were sent: `drop_oldest` took them, else their files are lost. */
  #countGone({ fromSequence, gone }: ReadBatch): void {
    if (gone === 0) return;
    const { state, log, output, whenFull } = this.options;
    const dropped = whenFull === "drop_oldest";
    state.advance(
      fromSequence + gone,
      dropped ? { dropped: { reason: whenFull, count: gone } } : { damaged: gone },
    );
    if (dropped) {
      log.warning("readings were dropped before they were sent", { output: output.name, readings: gone });
    } else {log.error("files of the spool are gone with readings that were not sent", {
        output: output.name,
        readings: gone,
      });}
  }

  /** Readings of the batch with their times and targets, up to the first that must wait for the clock. */
  #decide(batch: ReadBatch): { outgoing: Outgoing[]; buried: number; waiting: Reading | undefined } {
    const { state, decisions } = this.options;
    const outgoing: Outgoing[] = [];
    let buried = 0;
    this.#oldestArrivalMs = undefined;
    for (const reading of batch.readings) {
      if (state.letters.has(reading.sequence)) {
        buried++; // a crash came between dead letter and cursor
        continue;
      }
      const time = decisions.decide(reading);
      if (time === "wait") return { outgoing, buried, waiting: reading };
      this.#oldestArrivalMs ??= time.arrivalMs;
      const { arrivalMs, mark, startMs } = time;
      outgoing.push({ reading, arrivalMs, mark, startMs, target: state.targetOf(reading.sequence) });
    }
    return { outgoing, buried, waiting: undefined };
  }

  /** Moves the cursor; sequences of the range that are no readings are damaged ones. */
  #advance(toSequence: number, confirmed: number, readings: number): void {
    const { state } = this.options;
    const damaged = toSequence - state.nextSequence - readings;
    state.advance(toSequence, { confirmed, damaged });
    this.#oldestArrivalMs = undefined;
    this.#wake();
  }

  /** Nothing to send: the cursor is written, at most once a second, and the next reading awaited. */
  async #idle(signal: AbortSignal): Promise<void> {
    const { state, spool, clock } = this.options;
    this.#health.well();
    const dueInMs = this.#persistedMs + cursorWriteIntervalMs - clock.bootMs();
    if (state.dirty && dueInMs <= 0) return void await this.#persist();
    if (!state.dirty) return await spool.waitBeyond(state.nextSequence, signal);
    const first = new AbortController();
    const abort = () => first.abort();
    signal.addEventListener("abort", abort, { once: true });
    await Promise.race([
      clock.sleep(dueInMs, first.signal),
      spool.waitBeyond(state.nextSequence, first.signal),
    ]);
    first.abort();
    signal.removeEventListener("abort", abort);
  }

  /**
   * Waits until a reading's boot is synchronised. When that is in vain, and the output can be reached, readings of this
   * boot go out marked `unsynced`.
   */
  async #awaitClock(reading: Reading, signal: AbortSignal): Promise<void> {
    const { decisions, clock } = this.options;
    this.#oldestArrivalMs = clock.wallMs() - (clock.bootMs() - reading.bootMs);
    while (!signal.aborted && decisions.decide(reading) === "wait") {
      if (!decisions.isVain(this.#delivery.reachableSinceMs)) {
        this.#health.waitsForClock();
      } else if (await this.#delivery.check(signal)) {
        // the check may have found the end of an outage: then the wait begins again
        if (decisions.isVain(this.#delivery.reachableSinceMs) && await decisions.giveUp(reading.sequence)) {
          break;
        }
      }
      await clock.sleep(clockWaitPollMs, signal);
      await this.#persistWhenDue();
    }
    this.#health.well();
  }

  async #persistWhenDue(): Promise<void> {
    const { state, clock } = this.options;
    if (state.dirty && clock.bootMs() - this.#persistedMs >= cursorWriteIntervalMs) await this.#persist();
  }

  /** Returns whether the cursor stands on disk now. A cursor that can't be written costs requests after a crash, no reading. */
  async #persist(): Promise<boolean> {
    const { state, clock, log, output } = this.options;
    this.#persistedMs = clock.bootMs();
    try {
      await state.persist();
      this.#health.alarm("cursor_unwritten", undefined);
      return true;
    } catch (error) {
      const text = `${output.name}: its state can't be written: ${reasonOf(error)}`;
      if (this.#health.alarm("cursor_unwritten", text)) log.error(text);
      return false;
    }
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
