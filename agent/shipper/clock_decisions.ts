/**
 * What is believed about time, by boot: a reading keeps boot-clock time and boot id, so once its boot is synchronised its
 * arrival is known exactly. A decision holds for readings from a sequence on and is durable before it is used: a retry,
 * also after a restart, finds the same time and with it the same index.
 */
import { Buffer } from "node:buffer";
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { errorCode, reasonOf } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import type { Reserve } from "../base/reserve.ts";
import { clockPollMs, clockWaitMs } from "../limits.ts";
import { findNumberProperty, propertyTypes } from "../spool/properties.ts";
import type { Reading, SpoolApi } from "../spool/spool_types.ts";
import type { Outgoing } from "./output.ts";

/** The arrival of a reading as it goes out. */
export type ArrivalTime = Pick<Outgoing, "arrivalMs" | "mark" | "startMs">;

/** `epochMs`: wall time at which the boot clock stood at 0; null: the wall time is sent as it is, marked `unsynced`. */
interface Decision {
  fromSequence: number;
  epochMs: number | null;
}

interface Boot {
  decisions: readonly Decision[];
  /** No reading of this boot has this sequence or a higher one; null while the boot lasts. */
  endSequence: number | null;
}

export interface ClockDecisionsOptions {
  files: Files;
  /** `clock.json` beside the spool. */
  path: string;
  reserve: Reserve;
  clock: Clock;
  log: Log;
  spool: Pick<SpoolApi, "nextSequence" | "oldestSequence">;
}

const fileVersion = 1;
/** Before this, no agent was connected: an earlier time comes from a clock that was not set. */
const earliestConnectionMs = Date.UTC(2020, 0, 1);

export class ClockDecisions {
  #boots = new Map<string, Boot>();
  /** Readings of this boot from here on wait until the decision that is being written is durable. */
  #heldFrom = Infinity;
  #writing: Promise<void> = Promise.resolve();
  #failing = false;

  private constructor(private readonly options: ClockDecisionsOptions) {}

  /** Reads the decisions of this and earlier boots. A damaged file is set aside: what it decided is decided anew. */
  static async open(options: ClockDecisionsOptions): Promise<ClockDecisions> {
    const decisions = new ClockDecisions(options);
    decisions.#load();
    await options.files.syncFolder(dirname(options.path)); // what a killed agent has renamed counts from now on
    return decisions;
  }

  /** Looks at the clock until `signal` aborts, and decides for this boot once it is synchronised. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    while (!signal.aborted) {
      await this.#look();
      await clock.sleep(clockPollMs, signal);
    }
    await this.#writing;
  }

  /** When a reading arrived and what that rests on; "wait" while its boot may still be synchronised. */
  decide(reading: Reading): ArrivalTime | "wait" {
    if (reading.synchronised === "yes") return arrival(reading, reading.wallMs, "synced");
    const decisions = this.#boots.get(reading.bootId)?.decisions ?? [];
    const decision = decisions.findLast((one) => one.fromSequence <= reading.sequence);
    const ofThisBoot = reading.bootId === this.options.clock.bootId;
    if (ofThisBoot && (decision === undefined || reading.sequence >= this.#heldFrom)) return "wait";
    if (decision === undefined) return arrival(reading, reading.wallMs, "unsynced");
    return decision.epochMs === null
      ? arrival(reading, reading.wallMs, "unsynced")
      : arrival(reading, decision.epochMs + reading.bootMs, "corrected");
  }

  /**
   * Whether waiting for this boot to be synchronised is in vain: 10 minutes since boot and since the output could be
   * reached again (`reachableSinceMs`, boot clock), because after an outage network and time server come back together.
   */
  isVain(reachableSinceMs: number): boolean {
    return this.#vainInMs(reachableSinceMs) <= 0 && this.options.clock.synchronised() !== "yes";
  }

  /** From this sequence on, readings of this boot go out `unsynced`. Durable when it returns true; false: the disk refused. */
  async giveUp(fromSequence: number): Promise<boolean> {
    if (this.#thisBoot().decisions.some((one) => one.fromSequence <= fromSequence)) return true;
    const done = await this.#decide((known) => {
      return known.some((one) => one.fromSequence <= fromSequence)
        ? known
        : [{ fromSequence, epochMs: null }, ...known];
    });
    if (done) {
      this.options.log.warning("the clock was not synchronised in time; readings are sent marked unsynced", {
        fromSequence,
      });
    }
    return done;
  }

  /** In words, for status. */
  decision(): string {
    const { clock } = this.options;
    const last = this.#boots.get(clock.bootId)?.decisions.at(-1);
    if (last === undefined) {
      if (clock.synchronised() === "yes") return "synchronised";
      const minutes = Math.ceil(this.#vainInMs(0) / 60_000);
      return minutes > 0
        ? `not synchronised; readings wait for it for up to ${minutes} min`
        : "not synchronised; readings are sent marked unsynced when an output has been reachable for 10 min";
    }
    if (last.epochMs === null) return "not synchronised; readings are sent marked unsynced";
    const shiftMs = Math.round(last.epochMs + clock.bootMs() - clock.wallMs());
    if (clock.synchronised() === "yes") return "synchronised";
    return `was synchronised during this boot; arrivals are counted from then (wall clock off by ${shiftMs} ms)`;
  }

  #vainInMs(reachableSinceMs: number): number {
    return Math.max(0, reachableSinceMs) + clockWaitMs - this.options.clock.bootMs();
  }

  /** Once for each boot: readings of it from before the synchronisation can now be corrected. */
  async #look(): Promise<void> {
    const { clock, spool, log } = this.options;
    if (clock.synchronised() !== "yes") return;
    if (this.#thisBoot().decisions.some((one) => one.epochMs !== null)) return;
    const epochMs = Math.round(clock.wallMs() - clock.bootMs());
    const done = await this.#decide((known) => {
      if (known.length === 0) return [{ fromSequence: 0, epochMs }];
      // what went out unsynced keeps it: that is at most what lies between the first such reading and the next one
      this.#heldFrom = spool.nextSequence();
      const before = known[0]!.fromSequence > 0 ? [{ fromSequence: 0, epochMs }] : [];
      return [...before, ...known, { fromSequence: this.#heldFrom, epochMs }];
    });
    this.#heldFrom = Infinity;
    if (done) log.notice("the clock is synchronised", { bootAt: new Date(epochMs).toISOString() });
  }

  #thisBoot(): Boot {
    const { clock } = this.options;
    const known = this.#boots.get(clock.bootId);
    if (known !== undefined) return known;
    const boot: Boot = { decisions: [], endSequence: null };
    this.#boots.set(clock.bootId, boot);
    return boot;
  }

  /** Changes the decisions of this boot, in order of their sequences: writes first, believes then. */
  #decide(change: (known: readonly Decision[]) => readonly Decision[]): Promise<boolean> {
    const work = this.#writing.then(async () => {
      const boots = new Map(this.#boots);
      boots.set(this.options.clock.bootId, {
        decisions: change(this.#thisBoot().decisions),
        endSequence: null,
      });
      if (!await this.#write(boots)) return false;
      this.#boots = boots;
      return true;
    });
    this.#writing = work.then(() => {});
    return work;
  }

  async #write(boots: Map<string, Boot>): Promise<boolean> {
    const { reserve, path, log } = this.options;
    const content = { version: fileVersion, boots: Object.fromEntries(boots) };
    try {
      await reserve.replace(path, Buffer.from(JSON.stringify(content, undefined, 1) + "\n"));
      this.#failing = false;
      return true;
    } catch (error) {
      if (!this.#failing) {
        log.error("what is decided about the clock can't be written", { reason: reasonOf(error) });
      }
      this.#failing = true;
      return false;
    }
  }

  /** Boots of which nothing is on disk any more are forgotten. */
  #load(): void {
    const { files, path, clock, spool, log } = this.options;
    const bytes = files.read(path);
    const boots = bytes === undefined ? new Map<string, Boot>() : parse(bytes);
    if (boots === undefined) {
      setAside(files, path);
      log.error("what was decided about the clock is damaged; it is decided anew", { file: `${path}.bad` });
      return;
    }
    for (const [id, boot] of boots) {
      if (id === clock.bootId) boot.endSequence = null;
      else boot.endSequence ??= spool.nextSequence();
      if (boot.endSequence === null || boot.endSequence > spool.oldestSequence()) this.#boots.set(id, boot);
    }
  }
}

/** The first mark that applies, in the order of promise 7. */
function arrival(reading: Reading, timeMs: number, base: "synced" | "corrected" | "unsynced"): ArrivalTime {
  const arrivalMs = Math.max(0, Math.round(timeMs));
  const mark = base === "unsynced" ? base : reading.retain ? "retained" : reading.queued ? "queued" : base;
  return { arrivalMs, mark, startMs: reading.queued ? startOf(reading, arrivalMs) : undefined };
}

/** When the agent was last connected, if that can be: a clock that was not set says 1970. */
function startOf(reading: Reading, arrivalMs: number): number | undefined {
  const startMs = findNumberProperty(reading.properties, propertyTypes.lastConnectedMs);
  return startMs !== undefined && startMs >= earliestConnectionMs && startMs <= arrivalMs
    ? startMs
    : undefined;
}

function parse(bytes: Uint8Array): Map<string, Boot> | undefined {
  try {
    const { version, boots } = JSON.parse(new TextDecoder().decode(bytes)) as {
      version: number;
      boots: Record<string, Boot>;
    };
    const sound = version === fileVersion && Object.values(boots).every((boot) => {
      return boot.decisions.every((one) => {
        return Number.isSafeInteger(one.fromSequence) &&
          (one.epochMs === null || Number.isFinite(one.epochMs));
      });
    });
    return sound ? new Map(Object.entries(boots)) : undefined;
  } catch {
    return undefined;
  }
}

function setAside(files: Files, path: string): void {
  try {
    files.unlink(`${path}.bad`);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  files.rename(path, `${path}.bad`);
}
