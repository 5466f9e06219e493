/**
 * What is known of one output: how far it has come and what became of the readings, in `outputs/NAME.json`, replaced in
 * one step. `confirmed` is counted when the cursor moves and stands in the same file, so that the sum
 * stored = confirmed + waiting + dead + dropped + damaged is a check and no definition.
 */
import { Buffer } from "node:buffer";
import { OperationError } from "../base/errors.ts";
import type { Reserve } from "../base/reserve.ts";
import type { DeadLetter } from "./dead_letter.ts";
import type { DeadLetters } from "./dead_letters.ts";

/** A target holds for readings from a sequence on, so that a retry meets its own id in its own index. */
export interface TargetDecision {
  fromSequence: number;
  target: string;
}

/** The file's content. */
export interface StoredState {
  version: 1;
  /** The first sequence that the output is responsible for. */
  startSequence: number;
  /** The cursor: everything below is settled. */
  nextSequence: number;
  confirmed: number;
  dropped: Record<string, number>;
  damaged: number;
  targets: TargetDecision[];
  /** The output is not in the configuration. */
  absent: boolean;
  /** Dead letters whose fate is counted already; they may still stand in their file after a crash. */
  removing: number[];
  /** How much of the dead-letter file was durable then. */
  deadLettersBytes: number;
}

/** The terms of promise 4, in readings. */
export interface OutputFigures {
  stored: number;
  confirmed: number;
  waiting: number;
  dead: number;
  dropped: number;
  damaged: number;
  droppedWhy: Record<string, number>;
}

const stateVersion = 1;

/** A new output's state. */
export function newState(startSequence: number, target: string): StoredState {
  return {
    ...{
      version: stateVersion,
      startSequence,
      nextSequence: startSequence,
      confirmed: 0,
      dropped: {},
      damaged: 0,
    },
    ...{
      targets: [{ fromSequence: startSequence, target }],
      absent: false,
      removing: [],
      deadLettersBytes: 0,
    },
  };
}

/** Reads the file's content. Throws OperationError for one of a newer agent; undefined: it is damaged. */
export function parseState(bytes: Uint8Array, path: string): StoredState | undefined {
  let state: StoredState;
  try {
    state = JSON.parse(new TextDecoder().decode(bytes)) as StoredState;
  } catch {
    return undefined;
  }
  if (typeof state?.version === "number" && state.version > stateVersion) {
    throw new OperationError({
      operation: "read the state of an output",
      place: path,
      cause: `it was written by a newer agent (version ${state.version}, this one knows ${stateVersion})`,
      remedy: "start the newer agent again",
    });
  }
  const numbers = [
    state?.startSequence,
    state?.nextSequence,
    state?.confirmed,
    state?.damaged,
    state?.deadLettersBytes,
  ];
  const sound = numbers.every((number) => Number.isSafeInteger(number) && number >= 0) &&
    state.startSequence <= state.nextSequence && typeof state.dropped === "object" &&
    state.dropped !== null &&
    Array.isArray(state.removing) && Array.isArray(state.targets) && state.targets.length > 0;
  return sound ? state : undefined;
}

export class OutputState {
  #state: StoredState;
  #durableSequence: number;
  #dirty = false;
  #unwritten = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    readonly name: string,
    private readonly path: string,
    private readonly reserve: Reserve,
    readonly letters: DeadLetters,
    state: StoredState,
    isNew: boolean,
  ) {
    this.#state = state;
    this.#durableSequence = state.nextSequence;
    this.#dirty = this.#unwritten = isNew;
  }

  /** The cursor: the first sequence that is not settled. */
  get nextSequence(): number {
    return this.#state.nextSequence;
  }
  /** The cursor as it stands on disk, which every restart begins with. */
  get durableSequence(): number {
    return this.#durableSequence;
  }
  get absent(): boolean {
    return this.#state.absent;
  }
  /** Whether something has changed since the last `persist`. */
  get dirty(): boolean {
    return this.#dirty;
  }
  /** Whether a decision (the target, where it begins) is not durable yet: nothing may be sent before it is. */
  get isUnwritten(): boolean {
    return this.#unwritten;
  }

  /** The index pattern or data stream that holds for a sequence. */
  targetOf(sequence: number): string {
    const { targets } = this.#state;
    let at = targets.length - 1;
    while (at > 0 && targets[at]!.fromSequence > sequence) at--;
    return targets[at]!.target;
  }

  /** Sequences of the dead letters that the cursor is past, in order. */
  deadSequences(): number[] {
    return this.letters.sequences().filter((sequence) => sequence < this.#state.nextSequence);
  }

  figures(spoolNextSequence: number): OutputFigures {
    const { startSequence, nextSequence, confirmed, damaged, dropped } = this.#state;
    return {
      stored: Math.max(spoolNextSequence, nextSequence) - startSequence,
      confirmed,
      waiting: Math.max(0, spoolNextSequence - nextSequence),
      dead: this.letters.countBetween(startSequence, nextSequence),
      dropped: Object.values(dropped).reduce((sum, count) => sum + count, 0),
      damaged: damaged + this.letters.damaged,
      droppedWhy: { ...dropped },
    };
  }

  /** Moves the cursor: what is between was settled so. Dead letters of the range are durable before. */
  advance(
    toSequence: number,
    settled: { confirmed?: number; damaged?: number; dropped?: { reason: string; count: number } },
  ): void {
    const state = this.#state;
    state.nextSequence = toSequence;
    state.confirmed += settled.confirmed ?? 0;
    state.damaged += settled.damaged ?? 0;
    if (settled.dropped !== undefined) this.#drop(settled.dropped.reason, settled.dropped.count);
    this.#dirty = true;
  }

  /** Writes refused readings down, durably when it returns. */
  bury(letters: readonly DeadLetter[]): Promise<void> {
    return this.#inTurn(() => this.letters.append(letters));
  }

  /** Dead letters that arrived after all. */
  confirmDead(sequences: readonly number[]): Promise<number> {
    return this.#settleDead(sequences, (count) => this.#state.confirmed += count);
  }

  /** Dead letters that were given up. */
  dropDead(sequences: readonly number[]): Promise<number> {
    return this.#settleDead(sequences, (count) => this.#drop("dead letter dropped", count));
  }

  /** From `fromSequence` on another target holds; durable when it returns. No change: nothing is written. */
  async retarget(fromSequence: number, target: string): Promise<void> {
    const { targets } = this.#state;
    if (targets.at(-1)!.target === target) return;
    this.#state.targets = [...targets.filter((one) => one.fromSequence < fromSequence), {
      fromSequence,
      target,
    }];
    this.#dirty = this.#unwritten = true;
    await this.persist();
  }

  /** The output is in the configuration again: what is gone meanwhile was dropped for that reason. */
  async comeBack(oldestSequence: number): Promise<void> {
    const state = this.#state;
    if (!state.absent) return;
    const gone = oldestSequence - state.nextSequence;
    if (gone > 0) this.advance(oldestSequence, { dropped: { reason: "absent", count: gone } });
    state.absent = false;
    this.#dirty = this.#unwritten = true;
    await this.persist();
  }

  /** The output is not in the configuration any more: it holds nothing back. */
  async leave(): Promise<void> {
    this.#state.absent = true;
    this.#dirty = this.#unwritten = true;
    await this.persist();
  }

  /** Ends what a crash has interrupted: letters whose fate is counted are taken out of their file. */
  finishRemoving(): Promise<void> {
    this.letters.forget(this.#state.removing);
    return this.#inTurn(() => this.#state.removing.length > 0 ? this.#finishRemoving() : Promise.resolve());
  }

  /** Writes the state when something has changed. Durable when it returns; throws what the disk said. */
  persist(): Promise<void> {
    return this.#inTurn(() => this.#dirty ? this.#write() : Promise.resolve());
  }

  #drop(reason: string, count: number): void {
    const { dropped } = this.#state;
    dropped[reason] = (dropped[reason] ?? 0) + count;
  }

  /**
   * Counts first, with the intent to remove, in one step; then removes. What comes between the two, a crash or a full
   * disk, is mended with the next removal or at the next start: the letter is gone from the count already.
   */
  #settleDead(sequences: readonly number[], count: (letters: number) => void): Promise<number> {
    return this.#inTurn(async () => {
      const { startSequence, nextSequence, removing } = this.#state;
      const known = [...new Set(sequences)].filter((one) => one < nextSequence && this.letters.has(one));
      const counted = known.filter((one) => one >= startSequence).length;
      count(counted);
      this.#state.removing = [...removing, ...known];
      try {
        await this.#write();
      } catch (error) {
        count(-counted);
        this.#state.removing = removing;
        throw error;
      }
      this.letters.forget(known);
      await this.#finishRemoving().catch(() => {});
      return known.length;
    });
  }

  async #finishRemoving(): Promise<void> {
    await this.letters.remove(this.#state.removing);
    this.#state.removing = [];
    await this.#write();
  }

  async #write(): Promise<void> {
    const state = this.#state;
    // targets that no waiting reading needs any more
    const first = state.targets.findLastIndex((one) => one.fromSequence <= state.nextSequence);
    if (first > 0) state.targets = state.targets.slice(first);
    state.deadLettersBytes = this.letters.sizeBytes;
    const { nextSequence } = state;
    const content = Buffer.from(JSON.stringify(state, undefined, 1) + "\n");
    this.#dirty = false;
    try {
      await this.reserve.replace(this.path, content);
    } catch (error) {
      this.#dirty = true;
      throw error;
    }
    this.#durableSequence = nextSequence;
    this.#unwritten = false;
  }

  /** One write at a time, in the order in which they were asked for. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}
