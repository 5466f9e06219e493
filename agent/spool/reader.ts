/** Reads the stream from a position on, over all segments. Only what is durable comes out; damage is counted. */
import { errorCode, OperationError, reasonOf } from "../base/errors.ts";
import type { OpenFile } from "../base/files.ts";
import { checksumSeed, kinds } from "./format.ts";
import { ReadingDecoder } from "./reading_decoder.ts";
import { SegmentScanner } from "./segment_scanner.ts";
import type { ReadBatch, SpoolReader } from "./spool_types.ts";

/** A segment as a reader needs it. */
export interface ReadableSegment {
  id: string;
  path: string;
  /** Offset of the first record. */
  recordsFrom: number;
  /** What is durable of it. */
  durableBytes: number;
}

/** Where a sequence is to be looked for. */
export type Place =
  /** In `segment`, whose readings are all below `limitSequence`. */
  | { segment: ReadableSegment; limitSequence: number }
  /** Nowhere any more: the oldest that may still be there is `goneBelow`. */
  | { goneBelow: number };

/** What a reader reads: the spool of this process, or a folder looked at from outside. */
export interface SpoolView {
  /** Undefined when the stream ends before `sequence`. */
  locate(sequence: number): Place | undefined;
  open(segment: ReadableSegment): OpenFile;
  /** A segment could not be read at all; its readings count as damaged. */
  noteUnreadable(segment: ReadableSegment, reason: string): void;
}

export class StreamReader implements SpoolReader {
  readonly #decoder = new ReadingDecoder();
  #position: number;
  #open: { segment: ReadableSegment; file: OpenFile; scanner: SegmentScanner } | undefined;

  constructor(private readonly view: SpoolView, fromSequence: number) {
    this.#position = fromSequence;
  }

  /**
   * As SpoolReader says. The one thing that it throws (OperationError, retryable; the position stays) is a segment that
   * can't be opened or read for want of something passing: file handles, memory, a permission.
   */
  next(readingsMax: number, bytesMax: number): ReadBatch {
    const fromSequence = this.#position;
    const batch: ReadBatch = { readings: [], fromSequence, nextSequence: fromSequence, damaged: 0, gone: 0 };
    let bytesLeft = bytesMax;
    while (batch.readings.length < readingsMax && bytesLeft > 0) {
      const place = this.view.locate(batch.nextSequence);
      if (place === undefined) break;
      if ("goneBelow" in place) {
        batch.gone += place.goneBelow - batch.nextSequence;
        batch.nextSequence = place.goneBelow;
      } else {
        const { segment, limitSequence } = place;
        try {
          bytesLeft = this.#take(
            this.#scanner(segment),
            segment.id,
            limitSequence,
            batch,
            readingsMax,
            bytesLeft,
          );
        } catch (error) {
          this.close(); // the batch is given up, so the segment is read again from its start
          throw cannotRead(segment, error);
        }
      }
    }
    this.#position = batch.nextSequence;
    return batch;
  }

  seek(sequence: number): void {
    if (sequence < this.#position) this.close();
    this.#position = sequence;
  }

  close(): void {
    this.#open?.file.close();
    this.#open = undefined;
  }

  /** Moves readings of one segment into the batch until the batch is full or the segment is at its end. */
  #take(
    scanner: SegmentScanner | undefined,
    segmentId: string,
    limitSequence: number,
    batch: ReadBatch,
    readingsMax: number,
    bytesMax: number,
  ): number {
    let bytesLeft = bytesMax;
    while (scanner?.next() === true) {
      if (scanner.kind !== kinds.reading) continue;
      const sequence = scanner.sequence;
      if (sequence < batch.nextSequence) continue;
      if (sequence >= limitSequence) break; // was written, but its batch was given up and the sequence used again
      batch.damaged += sequence - batch.nextSequence;
      batch.nextSequence = sequence + 1;
      batch.readings.push(
        this.#decoder.decode(scanner.bytes, scanner.view, scanner.at, scanner.length, segmentId),
      );
      bytesLeft -= scanner.length;
      if (batch.readings.length >= readingsMax || bytesLeft <= 0) return bytesLeft;
    }
    batch.damaged += limitSequence - batch.nextSequence;
    batch.nextSequence = limitSequence;
    return bytesLeft;
  }

  #scanner(segment: ReadableSegment): SegmentScanner | undefined {
    if (this.#open?.segment !== segment) {
      this.close();
      try {
        const file = this.view.open(segment);
        const scanner = new SegmentScanner(
          file,
          checksumSeed(segment.id),
          segment.recordsFrom,
          segment.durableBytes,
        );
        this.#open = { segment, file, scanner };
      } catch (error) {
        if (isPassing(error)) throw error;
        this.view.noteUnreadable(segment, reasonOf(error));
        return undefined;
      }
    }
    const { scanner } = this.#open!;
    scanner.endBytes = segment.durableBytes;
    return scanner;
  }
}

/** Whether opening failed for something that is no fault of the file and may be mended. */
export function isPassing(error: unknown): boolean {
  return ["EMFILE", "ENFILE", "ENOMEM", "EACCES", "EPERM"].includes(errorCode(error) ?? "");
}

function cannotRead(segment: ReadableSegment, error: unknown): OperationError {
  return new OperationError({
    operation: "read segment",
    place: segment.path,
    cause: reasonOf(error),
    remedy: "let the agent's user read the spool's files, and let it open more of them",
    retryable: true,
    from: error,
  });
}
