/**
 * The spool: what was acknowledged stands here until every output has it.
 *
 * What it rests on:
 * - Acknowledged means on disk. `commit` returns after one write and one fdatasync of all that was added before it, and
 *   of the folder for a new file. Only what is durable is read, so nothing is sent that could vanish.
 * - A file of an earlier life is never appended to. A torn record can stand only at the end of the last segment, and a
 *   record's id (segment id and sequence) is never used twice, not even by a cloned disk.
 * - Only readings take a sequence, at the commit that makes them durable; one that fails gives its sequences back. So
 *   bytes of a failed batch that could not be cut off may repeat a sequence: a segment's readings are those below
 *   the first sequence of the next segment.
 * - A segment begins with the QoS 2 ids held at that point, so that an older one can be lost or removed without changing
 *   them. The newest segment is never removed: it is what tells the next life which ids are held.
 * - A life's first segment is made by its first commit: an agent that starts again and again leaves no files behind.
 * - The directory is the truth. What is damaged is skipped and counted when it is read: sequences that do not come.
 * - One batch is on its way to the disk while the next one fills; failures of the write are known before that begins.
 *
 * When the disk says no: for want of room DiskFullError, for another reason (EIO, EROFS, EACCES, …) OperationError with
 * `retryable`; in both cases nothing of the batch is stored. When a sync fails, LostSyncError, and nothing more is taken.
 *
 * Known limit: where a sync fails and the unsynced bytes can't be cut off either, they stay in the page cache until the
 * machine restarts, and the next life takes them for stored.
 */
import { Buffer } from "node:buffer";
import { DiskFullError, errorCode, LostSyncError, OperationError, reasonOf } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { segmentBytes as segmentBytesDefault } from "../limits.ts";
import { kinds } from "./format.ts";
import type { HeldIds } from "./held_ids.ts";
import { StreamReader } from "./reader.ts";
import { RecordBatch } from "./record_batch.ts";
import { planRecovery } from "./recovery.ts";
import type { RecoveryPlan } from "./recovery.ts";
import { carryOut, setAsideNames } from "./repair.ts";
import { SegmentList } from "./segment_list.ts";
import { SegmentWriter } from "./segment_writer.ts";
import type {
  Arrival,
  IncomingReading,
  RecoveryReport,
  SegmentInfo,
  SpoolApi,
  SpoolReader,
} from "./spool_types.ts";
import { Waiters } from "./waiters.ts";

export interface SpoolOptions {
  files: Files;
  /** The folder; made when it is not there. */
  dir: string;
  log: Log;
  /** The highest cursor of all outputs: no sequence below it is given again. */
  floorSequence: number;
  /** Size at which a segment is sealed; a batch larger than this gets a segment of its own. */
  segmentBytes?: number;
}

export class Spool implements SpoolApi {
  readonly #files: Files;
  readonly #dir: string;
  readonly #log: Log;
  readonly #segmentBytes: number;
  readonly #held: HeldIds;
  readonly #list: SegmentList;
  readonly #waiters = new Waiters();
  #writer: SegmentWriter | undefined;
  #nextNumber: number;
  /** The sequence of the next reading that is added; the list's is behind the durable ones. */
  #givenNext: number;
  #pending = new RecordBatch();
  #spare = new RecordBatch();
  #underWay: Promise<void> | undefined;
  #lost: LostSyncError | undefined;

  private constructor(options: SpoolOptions, plan: RecoveryPlan, readonly report: RecoveryReport) {
    this.#files = options.files;
    this.#dir = options.dir;
    this.#log = options.log;
    this.#segmentBytes = options.segmentBytes ?? segmentBytesDefault;
    this.#held = plan.held;
    this.#list = new SegmentList(options.files, plan.segments, plan.nextSequence, ({ path }, reason) => {
      this.#log.error("a segment can't be read; its readings count as damaged", { file: path, reason });
    });
    this.#nextNumber = plan.nextNumber;
    this.#givenNext = plan.nextSequence;
  }

  /**
   * Recovers what the folder holds and makes it durable. Throws OperationError for a newer format or a file that this
   * user may not read (nothing is changed then), LostSyncError when what was found can't be made durable.
   */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { files, dir, log } = options;
    const startMs = performance.now();
    const plan = planFor(options);
    await carryOut(files, dir, plan, log);
    const setAside = setAsideNames(files, dir);
    const report = { ...reportOf(plan), setAside, elapsedMs: performance.now() - startMs };
    const figures = { dir, ...report, setAside: setAside.length };
    log.info("the spool was recovered", figures);
    if (report.damagedReadings > 0) log.warning("readings of the last segment are damaged", figures);
    if (!plan.heldKnown) log.warning("which QoS 2 ids are held is not known any more", { dir });
    return new Spool(options, plan, report);
  }

  isHeld(packetId: number): boolean {
    return this.#held.has(packetId);
  }
  heldCount(): number {
    return this.#held.count;
  }

  addReading(reading: IncomingReading, arrival: Arrival): void {
    this.#pending.addReading(this.#givenNext, this.#held.session, reading, arrival);
    this.#givenNext++;
    if (reading.qos === 2) this.#held.add(reading.packetId);
  }
  addRelease(packetId: number): void {
    this.#pending.addControl(kinds.release, this.#givenNext, this.#held.session, packetId);
    this.#held.release(packetId);
  }
  addForget(): void {
    this.#held.forget();
    this.#pending.addControl(kinds.forget, this.#givenNext, this.#held.session, 0);
  }

  pendingBytes(): number {
    return this.#pending.usedBytes;
  }
  pendingReadings(): number {
    return this.#pending.readings;
  }

  async commit(): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#underWay !== undefined) throw new Error("Spool.commit: the last one is still under way");
    const batch = this.#pending;
    if (batch.usedBytes === 0) return;
    [this.#pending, this.#spare] = [this.#spare, batch];
    try {
      const writer = this.#write(batch);
      this.#underWay = this.#makeDurable(writer, this.#givenNext);
      await this.#underWay;
    } finally {
      batch.clear();
      this.#underWay = undefined;
    }
  }

  nextSequence(): number {
    return this.#list.nextSequence;
  }
  oldestSequence(): number {
    return this.#list.oldestSequence();
  }
  sizeBytes(): number {
    return this.#list.sizeBytes();
  }
  segments(): SegmentInfo[] {
    return this.#list.infos();
  }
  /** Names of the files that recovery set aside and nobody has taken away since. */
  setAside(): string[] {
    return setAsideNames(this.#files, this.#dir);
  }
  reader(fromSequence: number): SpoolReader {
    return new StreamReader(this.#list, fromSequence);
  }
  waitBeyond(sequence: number, signal: AbortSignal): Promise<void> {
    return this.nextSequence() > sequence ? Promise.resolve() : this.#waiters.wait(sequence, signal);
  }
  // deno-lint-ignore require-await -- so that what it throws comes out of the promise
  async remove(segment: SegmentInfo): Promise<void> {
    this.#list.remove(segment.path);
  }

  /** Closes the file; what was added and not committed is given up. */
  async close(): Promise<void> {
    await this.#underWay?.catch(() => {}); // its caller is told
    this.#writer?.close();
    this.#writer = undefined;
  }

  /** Writes the batch into the segment that it belongs in. When the disk refuses, everything is as before the batch. */
  #write(batch: RecordBatch): SegmentWriter {
    let writer = this.#writer;
    try {
      if (writer === undefined || writer.writtenBytes + batch.usedBytes > this.#segmentBytes) {
        writer = this.#create();
        writer.begin(this.#heldRecord(writer));
      }
      writer.append(batch.sealed(writer.seed));
    } catch (error) {
      this.#takeBack(writer);
      throw refused(this.#dir, error);
    }
    this.#held.settle();
    return writer;
  }

  #create(): SegmentWriter {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex");
    const identity = { number: this.#nextNumber, firstSequence: this.nextSequence(), id };
    const writer = SegmentWriter.create(this.#files, this.#dir, identity);
    this.#nextNumber++;
    return writer;
  }

  /** The ids that were held before the batch: should only part of the batch reach the disk, the rest still counts. */
  #heldRecord(writer: SegmentWriter): Uint8Array {
    const { session, ids } = this.#held.settled();
    const first = new RecordBatch();
    first.addControl(kinds.held, writer.firstSequence, session, 0, ids);
    return first.sealed(writer.seed);
  }

  /**
   * Takes a batch back. Once a new segment was tried for its sequences, nothing more is written to the one before:
   * should the new file come back in a crash, the readings from its first sequence on would be taken to be there.
   */
  #takeBack(writer: SegmentWriter | undefined): void {
    this.#held.undo();
    this.#givenNext = this.nextSequence();
    const reason = writer?.cutBack();
    if (reason !== undefined) {
      this.#log.warning("a segment could not be cut back; nothing more is written to it", {
        file: writer!.path,
        reason,
      });
    }
    if (writer === this.#writer && reason === undefined) return;
    if (writer !== this.#writer) writer?.close();
    this.#writer?.close();
    this.#writer = undefined;
  }

  /** Syncs what was written; then it belongs to the stream, and the segment before a new one is sealed. */
  async #makeDurable(writer: SegmentWriter, nextSequence: number): Promise<void> {
    try {
      await writer.sync(() => {
        this.#list.add(writer);
        this.#list.nextSequence = nextSequence;
      });
    } catch (error) {
      if (error instanceof LostSyncError) this.#lost = error;
      throw error;
    }
    if (writer !== this.#writer) this.#writer?.close();
    this.#writer = writer;
    this.#waiters.wake(nextSequence);
  }
}

function planFor({ files, dir, floorSequence }: SpoolOptions): RecoveryPlan {
  try {
    files.makeFolder(dir);
    return planRecovery(files, dir, floorSequence);
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw new OperationError({
      operation: "open spool",
      place: dir,
      cause: reasonOf(error),
      remedy: "let spool.dir name a folder that the agent's user can read and write",
      from: error,
    });
  }
}

function reportOf(plan: RecoveryPlan): Omit<RecoveryReport, "setAside" | "elapsedMs"> {
  const tornBytes = plan.actions.flatMap((action) => action.kind === "set aside" ? [] : [action.tornBytes]);
  const oldestSequence = plan.segments[0]?.firstSequence ?? plan.readingsEnd;
  return {
    segments: plan.segments.length,
    readings: plan.readingsEnd - oldestSequence - plan.damagedReadings,
    damagedReadings: plan.damagedReadings,
    tornTails: tornBytes.filter((bytes) => bytes > 0).length,
    tornBytes: tornBytes.reduce((sum, bytes) => sum + bytes, 0),
    heldIds: plan.held.count,
  };
}

/** Nothing of the batch is stored: for want of room, or because the disk can't be written (EIO, EROFS, EACCES, …). */
function refused(place: string, error: unknown): OperationError {
  const full = ["ENOSPC", "EDQUOT"].includes(errorCode(error) ?? "");
  const facts = {
    operation: "append to segment",
    place,
    cause: reasonOf(error),
    retryable: true,
    from: error,
  };
  return full
    ? new DiskFullError({ ...facts, remedy: "make room on the disk; the agent goes on by itself" })
    : new OperationError({
      ...facts,
      remedy: "mend the disk or its permissions; the agent goes on by itself",
    });
}
