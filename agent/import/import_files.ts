/**
 * Reads message files into the spool, each line once, with the time that it brings. The agent does not run meanwhile. A
 * segment of messages is made, how far the files are read with it is noted, then it comes into the stream in one step: an
 * end at any point loses no line and doubles none.
 */
import { join } from "node:path";
import type { FoundMessage, RefusedLine } from "../../installer/broker/message_files.ts";
import { MessageLines } from "../../installer/broker/message_files.ts";
import type { LineFormat } from "../../installer/broker/line_format.ts";
import { sizeText } from "../base/display.ts";
import { OperationError } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import { lockFolder } from "../base/lock.ts";
import type { Log } from "../base/log.ts";
import { Reserve } from "../base/reserve.ts";
import { recordBytesMax, segmentBytes as segmentBytesDefault } from "../limits.ts";
import type { SpoolSettings } from "../settings.ts";
import { OutputStates } from "../shipper/output_state.ts";
import { encodeNumberProperty, encodeProperty, propertyTypes } from "../spool/properties.ts";
import { SegmentAdder } from "../spool/segment_adder.ts";
import { type FileProgress, importFolder, ImportProgress, type Standing } from "./import_progress.ts";

/** One message file. */
export interface MessageFile {
  path: string;
  inode: number;
  sizeBytes: number;
  /** Another program has shipped what stands before this offset. */
  shippedBytes: number;
  open(): OpenFile;
}

export interface ImportOptions {
  files: Files;
  log: Log;
  spool: Pick<SpoolSettings, "dir" | "maxSizeBytes" | "minFreeBytes">;
  maxPayloadBytes: number;
  format: LineFormat;
  /** In the order in which their messages come into the stream. */
  sources: MessageFile[];
  /** After every piece: bytes of all files that are done with. */
  onProgress(doneBytes: number): Promise<void>;
  signal: AbortSignal;
  segmentBytes?: number;
}

export interface ImportResult {
  /** Of this run. */
  messages: number;
  refused: number;
  /** The first few lines that were no messages. */
  refusedAt: { path: string; atBytes: number }[];
  /** Files in which no line is a message: nothing of them counts as read. */
  leftOut: string[];
}

const readBytes = 256 * 1024;
const refusedShown = 10;
const none = new Uint8Array(0);
/** Whose clock wrote the time of a line, and whether it was right, nobody knows. */
const unknownBoot = { bootMs: 0, bootId: "0".repeat(32), synchronised: "unknown", queued: false } as const;

/** From which offset on a file is still to be read. */
export function fromBytes(source: MessageFile, progress: { bytes: number } | undefined): number {
  const done = Math.max(source.shippedBytes, progress?.bytes ?? 0);
  return done <= source.sizeBytes ? done : 0; // it was cut, and written anew
}

/** Throws OperationError when the agent runs, or what the disk says; a later run then goes on where this one ended. */
export async function importMessages(options: ImportOptions): Promise<ImportResult> {
  const { files, spool } = options;
  files.makeFolder(spool.dir);
  const lock = await lockFolder(spool.dir);
  try {
    return await importLocked(options);
  } finally {
    lock.release();
  }
}

/** The same for a caller who has the spool's lock. */
export async function importLocked(options: ImportOptions): Promise<ImportResult> {
  return await new Import(options, ...await openSpool(options)).run();
}

async function openSpool(options: ImportOptions): Promise<[SegmentAdder, ImportProgress]> {
  const { files, log, segmentBytes } = options;
  const { dir } = options.spool;
  const reserve = await Reserve.open(files, join(dir, "reserve"));
  const states = await OutputStates.open({ files, dir: join(dir, "outputs"), reserve, log });
  const makingDir = join(dir, importFolder);
  const adder = await SegmentAdder.open({
    ...{ files, dir, makingDir, log, floorSequence: states.floorSequence() },
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  const progress = await ImportProgress.open(files, makingDir, (segment) => adder.isMade(segment));
  await adder.discardMade();
  return [adder, progress];
}

class Import {
  readonly #result: ImportResult = { messages: 0, refused: 0, refusedAt: [], leftOut: [] };
  /** Of the file that is being read. */
  #refused = new Refused();
  /** How far the files are read with what is in the segment that is being made. */
  #standing: Standing;
  #doneBytes = 0;

  constructor(
    private readonly options: ImportOptions,
    private readonly adder: SegmentAdder,
    private readonly progress: ImportProgress,
  ) {
    this.#standing = structuredClone(progress.all);
  }

  async run(): Promise<ImportResult> {
    try {
      for (const source of this.options.sources) await this.#read(source);
      await this.#publish();
      await this.progress.settle(this.#standing);
      return this.#result;
    } finally {
      this.adder.close();
    }
  }

  async #read(source: MessageFile): Promise<void> {
    const from = fromBytes(source, this.progress.of(source.path, source.inode));
    const messagesBefore = this.#result.messages;
    const lines = new MessageLines(this.options.format, this.options.maxPayloadBytes, from);
    const file = source.open();
    try {
      const piece = new Uint8Array(readBytes);
      this.#doneBytes += from;
      for (let at = from; at < source.sizeBytes;) {
        this.#assertGoingOn();
        const count = file.readAt(piece.subarray(0, Math.min(piece.length, source.sizeBytes - at)), at);
        if (count === 0) break;
        at += count;
        for (const found of lines.feed(piece.subarray(0, count))) await this.#take(source, found);
        this.#doneBytes += count;
        await this.options.onProgress(this.#doneBytes);
      }
      for (const found of lines.end()) await this.#take(source, found);
    } finally {
      file.close();
    }
    this.#settleRefused(source, from, source.sizeBytes, this.#result.messages - messagesBefore);
  }

  async #take({ path, inode }: MessageFile, found: FoundMessage | RefusedLine): Promise<void> {
    if (found.kind === "refused") {
      this.#refused.add(found.atBytes); // they stand before the first message only
      return;
    }
    if (this.adder.isFull) await this.#publish();
    if (this.adder.readings === 0) await this.#assertRoom();
    this.adder.add(readingOf(found), { wallMs: found.timeMs, lastConnectedMs: undefined, ...unknownBoot });
    this.#result.messages++;
    this.#note(path, inode, found.endBytes).messages++;
  }

  /** Lines before the first message are no messages. Where there is none at all, the format may be another one. */
  #settleRefused({ path, inode }: MessageFile, from: number, end: number, messages: number): void {
    const { count } = this.#refused;
    if (count === 0) return;
    if (messages === 0 && from === 0) {
      this.#result.leftOut.push(path);
    } else {
      this.#result.refused += count;
      const shown = this.#refused.first.slice(0, refusedShown - this.#result.refusedAt.length);
      this.#result.refusedAt.push(...shown.map((atBytes) => ({ path, atBytes })));
      this.#note(path, inode, messages === 0 ? end : this.#standing[path]!.bytes).refused += count;
    }
    this.#refused = new Refused();
  }

  #note(path: string, inode: number, bytes: number): FileProgress {
    const known = this.#standing[path]?.inode === inode ? this.#standing[path] : undefined;
    const standing = known ?? { inode, bytes: 0, messages: 0, refused: 0 };
    standing.bytes = bytes;
    return this.#standing[path] = standing;
  }

  async #publish(): Promise<void> {
    if (this.adder.readings === 0) return;
    const standing = structuredClone(this.#standing);
    await this.progress.expect(await this.adder.made(), standing);
    await this.adder.publish();
    this.progress.came(standing);
  }

  /** As for what comes from the broker: neither the spool's limit nor the disk's is passed. */
  async #assertRoom(): Promise<void> {
    const { dir, maxSizeBytes, minFreeBytes } = this.options.spool;
    const neededBytes = (this.options.segmentBytes ?? segmentBytesDefault) + recordBytesMax;
    const { freeBytes } = await this.options.files.space(dir);
    const full = this.adder.sizeBytes + neededBytes > maxSizeBytes
      ? `its max_size of ${sizeText(maxSizeBytes)} is reached`
      : freeBytes - neededBytes < minFreeBytes
      ? `less than min_free of ${sizeText(minFreeBytes)} would be left on the disk`
      : undefined;
    if (full === undefined) return;
    throw new OperationError({
      ...{ operation: "import messages", place: dir, cause: full, retryable: true },
      remedy: "what was read so far is kept: let the agent ship it, then do the same again for the rest",
    });
  }

  #assertGoingOn(): void {
    if (!this.options.signal.aborted) return;
    throw new OperationError({
      ...{ operation: "import messages", place: this.options.spool.dir, cause: "it was interrupted" },
      remedy: "the same again goes on from there",
    });
  }
}

/** Lines that were no messages: how many, and where the first few stand. */
class Refused {
  count = 0;
  readonly first: number[] = [];

  add(atBytes: number): void {
    this.count++;
    if (this.first.length < refusedShown) this.first.push(atBytes);
  }
}

function readingOf({ topic, payload, whole, qos, retain }: FoundMessage) {
  const properties = whole === undefined ? none : new Uint8Array([
    ...encodeNumberProperty(propertyTypes.fullSize, whole.bytes, 8),
    ...encodeProperty(propertyTypes.sha256, whole.sha256),
  ]);
  const truncated = whole !== undefined;
  return { topic, payload, properties, truncated, qos, retain, duplicate: false, packetId: 0 };
}
