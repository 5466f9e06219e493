/**
 * Adds whole segments to a stream that no agent writes to meanwhile. A segment is made in a folder of its own and then
 * renamed into the stream: it is there whole, or not at all, and whoever knows its name can tell later which of the two it
 * was, whatever the agent has shipped and removed since.
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { segmentBytes as segmentBytesDefault } from "../limits.ts";
import { kinds, parseSegmentName, segmentName } from "./format.ts";
import { RecordBatch } from "./record_batch.ts";
import { planRecovery, type RecoveryPlan } from "./recovery.ts";
import { carryOut } from "./repair.ts";
import { SegmentWriter } from "./segment_writer.ts";
import type { Arrival, IncomingReading } from "./spool_types.ts";

export interface SegmentAdderOptions {
  files: Files;
  /** The spool's folder, whose lock the caller has. */
  dir: string;
  /** On the same file system; made when it is not there. */
  makingDir: string;
  log: Log;
  /** The highest cursor of all outputs: no sequence below it is given again. */
  floorSequence: number;
  /** Size at which a segment is full. */
  segmentBytes?: number;
}

/** One write to the segment that is being made. */
const writeBytes = 256 * 1024;

export class SegmentAdder {
  readonly #batch = new RecordBatch();
  readonly #segmentBytes: number;
  #writer: SegmentWriter | undefined;
  #readings = 0;
  #nextSequence: number;
  #nextNumber: number;
  /** Of the segments in the stream. */
  sizeBytes: number;

  private constructor(private readonly options: SegmentAdderOptions, private readonly plan: RecoveryPlan) {
    this.#segmentBytes = options.segmentBytes ?? segmentBytesDefault;
    this.#nextSequence = plan.nextSequence;
    this.#nextNumber = plan.nextNumber;
    this.sizeBytes = plan.segments.reduce((sum, { durableBytes }) => sum + durableBytes, 0);
  }

  /** Recovers the stream as the agent does when it starts. Throws as Spool.open does. */
  static async open(options: SegmentAdderOptions): Promise<SegmentAdder> {
    const { files, dir, makingDir, log, floorSequence } = options;
    files.makeFolder(makingDir);
    await carryOut(files, dir, planRecovery(files, dir, floorSequence), log);
    return new SegmentAdder(options, planRecovery(files, dir, floorSequence));
  }

  /** Whether a segment of that name was made and never came into the stream. */
  isMade(name: string): boolean {
    const { files, makingDir } = this.options;
    return files.list(makingDir).some((entry) => entry.name === name);
  }

  /** Takes away what was made and never came into the stream. */
  async discardMade(): Promise<void> {
    const { files, makingDir } = this.options;
    const made = files.list(makingDir).filter(({ name }) => parseSegmentName(name) !== undefined);
    for (const { name } of made) files.unlink(join(makingDir, name));
    if (made.length > 0) await files.syncFolder(makingDir);
  }

  /** Nothing more belongs into the segment that is being made. */
  get isFull(): boolean {
    return this.#madeBytes() >= this.#segmentBytes;
  }

  get readings(): number {
    return this.#readings;
  }

  /** Adds a reading to the segment that is being made. Throws what the disk says. */
  add(reading: IncomingReading, arrival: Arrival): void {
    const { held } = this.plan;
    this.#batch.addReading(this.#nextSequence + this.#readings, held.session, reading, arrival);
    this.#readings++;
    if (this.#batch.usedBytes >= writeBytes) this.#write();
  }

  /** Makes the segment durable and returns the name that it will have. It holds a reading at least. */
  async made(): Promise<string> {
    this.#write();
    const writer = this.#writer!;
    await writer.sync(() => {});
    return segmentName(writer.identity);
  }

  /** The segment that was made comes into the stream; durable when it returns. */
  async publish(): Promise<void> {
    const { files, dir, makingDir } = this.options;
    const writer = this.#writer!;
    writer.close();
    files.rename(writer.path, join(dir, segmentName(writer.identity)));
    await files.syncFolder(dir);
    await files.syncFolder(makingDir);
    this.sizeBytes += writer.writtenBytes;
    this.#nextSequence += this.#readings;
    this.#nextNumber++;
    this.#readings = 0;
    this.#writer = undefined;
  }

  /** Gives up what is being made. */
  close(): void {
    this.#batch.clear();
    this.#writer?.close();
    this.#writer = undefined;
  }

  #madeBytes(): number {
    return (this.#writer?.writtenBytes ?? 0) + this.#batch.usedBytes;
  }

  #write(): void {
    const writer = this.#writer ??= this.#create();
    writer.append(this.#batch.sealed(writer.seed));
    this.#batch.clear();
  }

  /** Begins, as every segment does, with the QoS 2 ids that are held: imported readings change nothing about them. */
  #create(): SegmentWriter {
    const { files, makingDir } = this.options;
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex");
    const identity = { number: this.#nextNumber, firstSequence: this.#nextSequence, id };
    const writer = SegmentWriter.create(files, makingDir, identity);
    const { session, ids } = this.plan.held.settled();
    const first = new RecordBatch();
    first.addControl(kinds.held, identity.firstSequence, session, 0, ids);
    writer.begin(first.sealed(writer.seed));
    return writer;
  }
}
