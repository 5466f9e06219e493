/**
 * Gets a batch settled: sends it, sends again alone what was refused, writes down as dead letters what is to blame itself,
 * for as long as it takes. One request at a time, replays of dead letters included.
 */
import type { Clock } from "../base/clock.ts";
import { LostSyncError, OperationError, reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Backoff } from "../base/retry.ts";
import { deadLettersBytesMax, itemRefusalsMax } from "../limits.ts";
import { type DeadLetter, makeLetter } from "./dead_letter.ts";
import type { Outgoing, Output, Verdict } from "./output.ts";
import type { OutputHealth, Trouble } from "./output_health.ts";
import type { OutputState } from "./output_progress.ts";

export interface DeliveryOptions {
  output: Output;
  state: OutputState;
  clock: Clock;
  log: Log;
  health: OutputHealth;
  backoff: Pick<Backoff, "nextMs" | "reset">;
}

/** A batch after one attempt. */
interface Sorted {
  confirmed: number;
  dead: { outgoing: Outgoing; status: number; reason: string }[];
  /** To be sent again. */
  again: Outgoing[];
  /** Why; undefined when nothing is. */
  trouble: Omit<Trouble, "nextTryInMs"> | undefined;
}

type Failure = Omit<Trouble, "nextTryInMs">;

/** What a letter takes beside its record. */
const letterHeadBytes = 2_048;

export class Delivery {
  #prepared = false;
  #outage = false;
  #turn: Promise<unknown> = Promise.resolve();
  /** Since when the output has been reachable, by the boot clock; 0 when no outage is known. */
  reachableSinceMs = 0;

  constructor(private readonly options: DeliveryOptions) {}

  /** Whether `prepare` of the output has succeeded since the last failure. */
  get prepared(): boolean {
    return this.#prepared;
  }

  /** Prepares the output anew. Returns whether it went well; if not, the pause before the next attempt is over. */
  async check(signal: AbortSignal): Promise<boolean> {
    this.#prepared = false;
    return await this.#attempt(() => Promise.resolve(true), signal) ?? false;
  }

  /** Returns how many of the batch became dead letters when all is settled; undefined: `signal` aborted before. */
  async deliver(batch: Outgoing[], signal: AbortSignal): Promise<number | undefined> {
    const { health, backoff, output } = this.options;
    const refusals = new Map<number, number>();
    let open = batch;
    let dead = 0;
    while (open.length > 0) {
      if (signal.aborted) return undefined;
      const sending = open;
      const verdicts = await this.#attempt(() => sendAll(output, sending, signal), signal);
      if (verdicts === undefined) continue;
      const sorted = sort(sending, verdicts, refusals);
      const unburied = await this.#bury(sorted);
      if (unburied === undefined) dead += sorted.dead.length;
      health.confirmed(sorted.confirmed);
      open = unburied === undefined ? sorted.again : inOrder(sending, sorted);
      const trouble = unburied ?? sorted.trouble;
      if (open.length < sending.length) backoff.reset();
      if (trouble === undefined) health.well();
      else await this.#pause(trouble, signal);
    }
    return dead;
  }

  /** Sends once, in turn with the other requests. Throws what the output throws. */
  sendOnce(batch: Outgoing[], signal: AbortSignal): Promise<Verdict[]> {
    return this.#inTurn(async () => {
      await this.#prepare(signal);
      return await sendAll(this.options.output, batch, signal);
    });
  }

  /** Waits before the next attempt, and shows why. */
  async #pause(failure: Failure, signal: AbortSignal): Promise<void> {
    const { clock, backoff, health } = this.options;
    const nextTryInMs = backoff.nextMs();
    health.trouble({ ...failure, nextTryInMs });
    await clock.sleep(nextTryInMs, signal);
  }

  /** One attempt with the output prepared; undefined when it failed as a whole, after the pause that follows. */
  async #attempt<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    try {
      return await this.#inTurn(async () => {
        await this.#prepare(signal);
        const result = await work();
        if (this.#outage) this.reachableSinceMs = this.options.clock.bootMs();
        this.#outage = false;
        return result;
      });
    } catch (error) {
      if (error instanceof LostSyncError) throw error;
      if (signal.aborted) return undefined;
      this.#prepared = false;
      this.#outage = true;
      await this.#pause(this.#failureOf(error), signal);
      return undefined;
    }
  }

  async #prepare(signal: AbortSignal): Promise<void> {
    if (this.#prepared) return;
    await this.options.output.prepare(signal);
    this.#prepared = true;
  }

  #failureOf(error: unknown): Failure {
    if (error instanceof OperationError) {
      const { retryable, reason, remedy, place } = error;
      return {
        paused: !retryable,
        reason: `${place}: ${reason}`,
        ...(remedy === undefined ? {} : { remedy }),
      };
    }
    // a defect of the agent's must not end it either
    const { log, output } = this.options;
    log.error("sending failed in an unexpected way", { output: output.name, reason: reasonOf(error) });
    return { paused: true, reason: `unexpected: ${reasonOf(error)}`, remedy: "please report this" };
  }

  /** Makes dead letters durable; returns why that is not possible now, else undefined. */
  async #bury({ dead }: Sorted): Promise<Failure | undefined> {
    if (dead.length === 0) return undefined;
    const { state, clock, log, output } = this.options;
    const letters = dead.map(({ outgoing, status, reason }): DeadLetter => {
      return makeLetter(outgoing, { atMs: clock.wallMs(), status, reason });
    });
    const bytes = letters.reduce((sum, letter) => sum + letter.record.length + letterHeadBytes, 0);
    if (state.letters.liveBytes + bytes > deadLettersBytesMax) {
      const reason = `the dead letters have reached ${deadLettersBytesMax / 1024 ** 2} MiB; the last one: ${
        dead[0]!.reason
      }`;
      return {
        paused: true,
        reason,
        remedy: "look at them with `dead ls`, then `dead replay` or `dead drop`",
      };
    }
    try {
      await state.bury(letters);
    } catch (error) {
      if (error instanceof LostSyncError) throw error;
      return {
        paused: true,
        reason: `dead letters can't be written: ${reasonOf(error)}`,
        remedy: "make room on the disk",
      };
    }
    const { topic, status, reason } = letters[0]!;
    log.warning("readings were refused for their own fault; they are dead letters now", {
      ...{ output: output.name, readings: letters.length, topic, status, reason },
    });
    return undefined;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

async function sendAll(output: Output, batch: Outgoing[], signal: AbortSignal): Promise<Verdict[]> {
  const verdicts = await output.send(batch, signal);
  if (verdicts.length === batch.length) return verdicts;
  throw new Error(`${verdicts.length} verdicts on ${batch.length} readings`);
}

/** What is to be done with each reading; a refusal that counted often enough makes a dead letter. */
function sort(
  batch: readonly Outgoing[],
  verdicts: readonly Verdict[],
  refusals: Map<number, number>,
): Sorted {
  const sorted: Sorted = { confirmed: 0, dead: [], again: [], trouble: undefined };
  for (const [at, outgoing] of batch.entries()) {
    const verdict = verdicts[at]!;
    if (verdict.kind === "confirmed") {
      sorted.confirmed++;
      continue;
    }
    if (verdict.kind === "dead") {
      sorted.dead.push({ outgoing, status: verdict.status, reason: verdict.reason });
      continue;
    }
    const { sequence } = outgoing.reading;
    const times = (refusals.get(sequence) ?? 0) + (verdict.counts === true ? 1 : 0);
    refusals.set(sequence, times);
    if (times >= itemRefusalsMax) {
      const reason =
        `refused ${times} times while others for the same index were accepted: ${verdict.reason}`;
      sorted.dead.push({ outgoing, status: verdict.status ?? 0, reason });
      continue;
    }
    sorted.again.push(outgoing);
    const paused = verdict.kind === "pause";
    if (sorted.trouble === undefined || (paused && !sorted.trouble.paused)) {
      sorted.trouble = { paused, reason: verdict.reason };
    }
  }
  return sorted;
}

/** What is left of a batch when its dead letters could not be written. */
function inOrder(batch: readonly Outgoing[], { again, dead }: Sorted): Outgoing[] {
  const left = new Set([...again, ...dead.map((one) => one.outgoing)]);
  return batch.filter((outgoing) => left.has(outgoing));
}
