/**
 * The only one that unlinks segments: those that every output has done with, and under `drop_oldest` the oldest ones
 * when room is short. It also says when the spool is full, and how long it lasts.
 */
import { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { Rate } from "../base/rate.ts";
import type { Reserve } from "../base/reserve.ts";
import { cleanIntervalMs, cleanPauseMs, dropAlarmMs, reserveBytes } from "../limits.ts";
import type { SpoolSettings } from "../settings.ts";
import type { SegmentInfo, SpoolApi } from "../spool/spool_types.ts";
import type { SpoolStatus } from "../status/snapshot.ts";
import { freeMarks, judge, type Measure, reasonText, roomBytes, type Shortage } from "./room.ts";

export interface CleanerParts {
  files: Pick<Files, "space" | "syncFolder">;
  clock: Clock;
  log: Log;
  spool: SpoolApi;
  settings: SpoolSettings;
  /** For each output the sequence below which it has done with everything, durably. */
  confirmedBelow: () => number[];
  /** Made again when there is room. */
  reserve?: Pick<Reserve, "restore">;
}

/** What the cleaner knows for `status`; the pipeline adds what recovery found. */
export type CleanerStatus = Omit<SpoolStatus, "setAside">;

export class Cleaner {
  readonly #parts: CleanerParts;
  readonly #alarms: Alarms;
  readonly #growth: Rate;
  #settings: SpoolSettings;
  #shortage: Shortage | undefined;
  /** Free bytes when the disk was last asked, and the spool's size then. */
  #space: { freeBytes: number; sizeBytes: number } | undefined;
  #sizeBeforeBytes: number;
  #dropped: { atMs: number; shortage: Shortage } | undefined;
  #removalFails = false;
  #kick = new AbortController();

  constructor(parts: CleanerParts) {
    this.#parts = parts;
    this.#settings = parts.settings;
    this.#alarms = new Alarms(parts.clock);
    this.#growth = new Rate(parts.clock);
    this.#sizeBeforeBytes = parts.spool.sizeBytes();
  }

  /** Cleans about every second until `signal` aborts. Rejects never: what can't be removed is tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.#kick.abort();
    signal.addEventListener("abort", stop);
    while (!signal.aborted) {
      this.#kick = new AbortController();
      await this.round();
      await this.#parts.clock.sleep(cleanPauseMs, signal);
      if (!signal.aborted) await this.#parts.clock.sleep(cleanIntervalMs, this.#kick.signal);
    }
    signal.removeEventListener("abort", stop);
  }

  /** One round: measure, remove, judge. Called once before the first connection, so that a full disk is known then. */
  async round(): Promise<void> {
    await this.#measureSpace();
    const removedBytes = await this.#remove();
    const sizeBytes = this.#parts.spool.sizeBytes();
    this.#growth.add(Math.max(0, sizeBytes - this.#sizeBeforeBytes + removedBytes));
    this.#sizeBeforeBytes = sizeBytes;
    this.#update();
    this.#raiseAlarms();
    await this.#restoreReserve();
  }

  /**
   * Why reception must stop, or undefined while there is room. Cheap: asked before every batch. Under `drop_oldest`
   * it wakes the cleaner, and stops reception only when nothing is left to drop.
   */
  fullReason(): string | undefined {
    this.#update();
    if (this.#shortage === undefined) return undefined;
    if (this.#drops() && !this.#removalFails && this.#measure().sealed()) {
      this.#kick.abort();
      return undefined;
    }
    return reasonText(this.#settings, this.#shortage);
  }

  /** Takes changed limits at once. */
  reload(settings: SpoolSettings): void {
    this.#settings = settings;
    this.#kick.abort();
  }

  status(): CleanerStatus {
    const { spool } = this.#parts;
    const settings = this.#settings;
    const fullReason = this.fullReason();
    this.#raiseAlarms();
    const bytesPerS = this.#growth.perS();
    const measure = this.#measure();
    return {
      dir: settings.dir,
      sizeBytes: measure.sizeBytes,
      maxSizeBytes: settings.maxSizeBytes,
      freeBytes: measure.freeBytes ?? 0,
      minFreeBytes: settings.minFreeBytes,
      segments: spool.segments().length,
      oldestSequence: spool.oldestSequence(),
      nextSequence: spool.nextSequence(),
      stored: spool.nextSequence() - 1,
      full: fullReason !== undefined,
      ...(fullReason === undefined ? {} : { fullReason }),
      whenFull: settings.whenFull,
      ...(bytesPerS > 0 ? { lastsMs: roomBytes(settings, measure) / bytesPerS * 1_000 } : {}),
      bytesPerS,
      heldIds: spool.heldCount(),
      alarms: this.#alarms.list(),
    };
  }

  #drops(): boolean {
    return this.#settings.whenFull === "drop_oldest";
  }

  #measure(): Measure {
    const { spool } = this.#parts;
    const sizeBytes = spool.sizeBytes();
    const writtenBytes = this.#space === undefined ? 0 : Math.max(0, sizeBytes - this.#space.sizeBytes);
    return {
      sizeBytes,
      freeBytes: this.#space === undefined ? undefined : Math.max(0, this.#space.freeBytes - writtenBytes),
      sealed: () => spool.segments().some((segment) => segment.state === "sealed"),
    };
  }

  #update(): void {
    // under drop_oldest room comes by dropping just enough, not by waiting for the lower mark
    this.#shortage = judge(this.#settings, this.#measure(), this.#drops() ? undefined : this.#shortage);
  }

  async #measureSpace(): Promise<void> {
    const { files, spool, log } = this.#parts;
    try {
      const { freeBytes } = await files.space(this.#settings.dir);
      this.#space = { freeBytes, sizeBytes: spool.sizeBytes() };
    } catch (error) {
      log.debug("the disk did not say how much space is free", { reason: reasonOf(error) });
    }
  }

  /**
   * Unlinks sealed segments, oldest first: while all outputs have done with them, and under `drop_oldest` until there
   * is room. Returns the bytes that went.
   */
  async #remove(): Promise<number> {
    const { spool, files, log, clock } = this.#parts;
    const start = this.#measure();
    const doneBelow = this.#doneBelow();
    let removedBytes = 0;
    try {
      for (const segment of oldestFirst(spool.segments())) {
        if (segment.state !== "sealed") break;
        const short = segment.nextSequence <= doneBelow ? undefined : this.#shortAfter(start, removedBytes);
        if (segment.nextSequence > doneBelow && short === undefined) break;
        await spool.remove(segment);
        removedBytes += segment.sizeBytes;
        const facts = {
          segment: segment.id,
          fromSequence: segment.firstSequence,
          toSequence: segment.nextSequence - 1,
        };
        if (short === undefined) log.debug("removed a segment that all outputs have done with", facts);
        else log.warning("dropped the oldest readings to make room", facts);
        if (short !== undefined) this.#dropped = { atMs: clock.bootMs(), shortage: short };
      }
      // a removal that a power cut undoes is done again: the cursors are past it
      if (removedBytes > 0) await files.syncFolder(this.#settings.dir);
      this.#removalFails = false;
      if (this.#alarms.clear("cleaner_failed")) log.notice("segments can be removed again");
    } catch (error) {
      this.#removalFails = true;
      const text = `segments that should go can't be removed: ${reasonOf(error)}`;
      const remedy = `check that the agent may write to ${this.#settings.dir} and that the disk is well`;
      if (this.#alarms.raise("cleaner_failed", text, remedy)) log.error(text, { dir: this.#settings.dir });
    }
    return removedBytes;
  }

  /** Sequences below it are done with by every output; without outputs nothing is. */
  #doneBelow(): number {
    const below = this.#parts.confirmedBelow();
    return below.length === 0 ? 0 : Math.min(...below);
  }

  /** What is still short when `removedBytes` are gone; undefined unless it is time to drop. */
  #shortAfter(start: Measure, removedBytes: number): Shortage | undefined {
    if (!this.#drops()) return undefined;
    const { sizeBytes, freeBytes } = start;
    return judge(this.#settings, {
      ...start,
      sizeBytes: sizeBytes - removedBytes,
      freeBytes: freeBytes === undefined ? undefined : freeBytes + removedBytes,
    }, undefined);
  }

  #raiseAlarms(): void {
    const settings = this.#settings;
    const dropped = this.#dropped;
    // after a drop there is room until the next one: the alarm stays between them
    const drops = dropped !== undefined && this.#parts.clock.bootMs() - dropped.atMs < dropAlarmMs;
    const short = this.#shortage ?? (drops ? dropped.shortage : undefined);
    const rest = this.fullReason() !== undefined ? "nothing is received" : "the oldest readings are dropped";
    const remedies = {
      max_size: "bring the outputs back (see their errors), or raise spool.max_size",
      min_free: "free space on the disk, or lower spool.min_free",
    };
    for (const [code, kind] of [["spool_full", "max_size"], ["disk_low", "min_free"]] as const) {
      this.#set(code, short === kind, `spool full: ${reasonText(settings, kind)}; ${rest}`, remedies[kind]);
    }
  }

  /** Raises or clears, with one line in the log for each change. */
  #set(code: string, on: boolean, text: string, remedy: string): void {
    if (!on) {
      if (this.#alarms.clear(code)) this.#parts.log.notice("there is room again", { alarm: code });
    } else if (this.#alarms.raise(code, text, remedy)) {
      this.#parts.log.warning(text, { alarm: code, remedy });
    }
  }

  async #restoreReserve(): Promise<void> {
    const { freeBytes } = this.#measure();
    if (freeBytes === undefined || freeBytes < freeMarks(this.#settings).roomBytes + reserveBytes) return;
    try {
      await this.#parts.reserve?.restore();
    } catch (error) {
      this.#parts.log.debug("the reserve can't be made", { reason: reasonOf(error) }); // tried again next time
    }
  }
}

function oldestFirst(segments: readonly SegmentInfo[]): SegmentInfo[] {
  return [...segments].sort((a, b) => a.firstSequence - b.firstSequence);
}
