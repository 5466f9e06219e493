/** The states of all outputs that ever were, in one folder: kept by name, also while an output is not configured. */
import { join } from "node:path";
import { ConfigError, errorCode, OperationError, reasonOf } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import type { Reserve } from "../base/reserve.ts";
import type { DeadLetter } from "./dead_letter.ts";
import { DeadLetters } from "./dead_letters.ts";
import { newState, OutputState, parseState, type StoredState } from "./output_progress.ts";
import { allLetters, chosenSequences } from "./replay.ts";

export type { OutputState };

export interface OutputStatesOptions {
  files: Files;
  /** The folder; made when it is not there. */
  dir: string;
  reserve: Reserve;
  log: Log;
}

/** Where the spool stands, and where an output shall write. */
export interface OutputStart {
  oldestSequence: number;
  nextSequence: number;
  target: string;
}

const nameAllowed = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

export class OutputStates {
  readonly #states = new Map<string, OutputState>();

  private constructor(private readonly options: OutputStatesOptions) {}

  /** Reads all states and ends what a crash has interrupted. A damaged one is set aside: its output begins anew. */
  static async open(options: OutputStatesOptions): Promise<OutputStates> {
    const { files, dir } = options;
    files.makeFolder(dir);
    await files.syncFolder(dir); // what a killed agent has renamed counts from now on
    const states = new OutputStates(options);
    for (const { name: fileName } of files.list(dir)) {
      const name = /^(.*)\.json$/.exec(fileName)?.[1];
      if (name !== undefined && nameAllowed.test(name)) await states.#load(name);
    }
    return states;
  }

  /** The highest cursor of all outputs: everything below was given to a reading once. */
  floorSequence(): number {
    return Math.max(
      0,
      ...[...this.#states.values()].map((state) => {
        return Math.max(state.nextSequence, (state.letters.sequences().at(-1) ?? -1) + 1);
      }),
    );
  }

  /** Names of all outputs that are known, configured or not. */
  names(): string[] {
    return [...this.#states.keys()].sort();
  }

  /** The dead letters of an output, configured or not; read one at a time. Throws OperationError for an unknown output. */
  letters(name: string): Iterable<DeadLetter> {
    return allLetters(this.#known(name));
  }

  /** Gives dead letters up for good, as Shipper.dropDead does. Throws OperationError for an unknown output or id. */
  async dropDead(name: string, ids: readonly string[] | undefined): Promise<number> {
    const state = this.#known(name);
    return await state.dropDead(chosenSequences(state, ids));
  }

  /**
   * The state of a configured output. A new one begins at the oldest reading on disk; another target than before holds
   * for readings that are stored from now on. Throws ConfigError for a name that can't be a file's. When the disk is
   * full, what changed is not yet durable: the shipper sends nothing before it is.
   */
  async use(name: string, start: OutputStart): Promise<OutputState> {
    const known = this.#states.get(name);
    if (known === undefined) {
      if (!nameAllowed.test(name)) throw badName(name);
      const state = await this.#make(name, newState(start.oldestSequence, start.target), true);
      await this.#try(name, () => state.persist());
      return state;
    }
    await this.#try(name, () => known.comeBack(start.oldestSequence));
    await this.#try(name, () => known.retarget(start.nextSequence, start.target));
    return known;
  }

  /** All others hold nothing back any more; warned once each. */
  async retireOthers(names: readonly string[]): Promise<void> {
    for (const [name, state] of this.#states) {
      if (names.includes(name) || state.absent) continue;
      await this.#try(name, () => state.leave());
      this.options.log.warning("an output is no longer configured; readings no longer wait for it", {
        output: name,
        nextSequence: state.nextSequence,
        deadLetters: state.letters.count,
      });
    }
  }

  #known(name: string): OutputState {
    const state = this.#states.get(name);
    if (state !== undefined) return state;
    const names = this.names();
    throw new OperationError({
      operation: "find an output",
      place: name,
      cause: "there is no output of that name",
      remedy: names.length === 0 ? "there has been none yet" : `known are ${names.join(", ")}`,
    });
  }

  async #load(name: string): Promise<void> {
    const { files, dir, log } = this.options;
    const path = join(dir, `${name}.json`);
    const bytes = files.read(path);
    const stored = bytes === undefined ? undefined : parseState(bytes, path);
    if (stored !== undefined) {
      const state = await this.#make(name, stored, false);
      return await this.#try(name, () => state.finishRemoving());
    }
    this.#setAside(path);
    log.error("the state of an output is damaged; it begins anew at the oldest reading on disk", {
      output: name,
      file: `${path}.bad`,
    });
    await files.syncFolder(dir);
  }

  /** A disk that says no is no reason not to start. */
  async #try(name: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.options.log.error("the state of an output can't be written", {
        output: name,
        reason: reasonOf(error),
      });
    }
  }

  async #make(name: string, stored: StoredState, isNew: boolean): Promise<OutputState> {
    const { files, dir, reserve } = this.options;
    const letters = await DeadLetters.open(
      files,
      join(dir, `${name}.dead.ndjson`),
      reserve,
      stored.deadLettersBytes,
    );
    const state = new OutputState(name, join(dir, `${name}.json`), reserve, letters, stored, isNew);
    this.#states.set(name, state);
    return state;
  }

  #setAside(path: string): void {
    const { files } = this.options;
    try {
      files.unlink(`${path}.bad`);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
    files.rename(path, `${path}.bad`);
  }
}

function badName(name: string): ConfigError {
  return new ConfigError({
    operation: "check the configuration",
    place: `outputs.${name}`,
    cause:
      "the name of an output is also that of a file: letters, digits, _, - and . are allowed, 64 at most",
    remedy: "choose another name",
  });
}
