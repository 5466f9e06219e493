/** The segments of one stream in order, and up to where they are durable: where a sequence is to be looked for. */
import { errorCode, OperationError, reasonOf } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import type { Place, ReadableSegment, SpoolView } from "./reader.ts";
import type { SegmentInfo } from "./spool_types.ts";

/** A segment with its place in the stream. */
export interface Segment extends ReadableSegment {
  firstSequence: number;
}

export class SegmentList implements SpoolView {
  readonly #segments: Segment[];

  /** `nextSequence`: behind the last durable reading, or higher. `noteUnreadable`: as SpoolView says. */
  constructor(
    private readonly files: Files,
    segments: Segment[],
    public nextSequence: number,
    readonly noteUnreadable: SpoolView["noteUnreadable"],
  ) {
    this.#segments = [...segments];
  }

  oldestSequence(): number {
    return this.#segments[0]?.firstSequence ?? this.nextSequence;
  }

  sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.durableBytes, 0);
  }

  /** The newest one counts as open even when it is of an earlier life: it tells which ids are held. */
  infos(): SegmentInfo[] {
    return this.#segments.map((segment, i) => ({
      id: segment.id,
      path: segment.path,
      firstSequence: segment.firstSequence,
      nextSequence: this.#segments[i + 1]?.firstSequence ?? this.nextSequence,
      sizeBytes: segment.durableBytes,
      state: i === this.#segments.length - 1 ? "open" : "sealed",
    }));
  }

  /** Adds a segment behind the others, unless it is the last one already. */
  add(segment: Segment): void {
    if (this.#segments.at(-1) !== segment) this.#segments.push(segment);
  }

  /** Somebody else removed this segment, and so the ones before it. */
  forgetThrough(segment: ReadableSegment): void {
    this.#segments.splice(0, 1 + this.#segments.findIndex((one) => one.path === segment.path));
  }

  /** Unlinks a segment that is not the newest; one that is gone already is forgotten. Throws OperationError. */
  remove(path: string): void {
    const at = this.#segments.findIndex((segment) => segment.path === path);
    if (at < 0) return;
    if (at === this.#segments.length - 1) {
      throw new OperationError({
        operation: "remove segment",
        place: path,
        cause: "it is the newest one, which tells which QoS 2 ids are held",
      });
    }
    try {
      this.files.unlink(path);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") {
        throw new OperationError({
          operation: "remove segment",
          place: path,
          cause: reasonOf(error),
          remedy: "let the agent's user write to the spool's folder",
          retryable: true,
          from: error,
        });
      }
    }
    this.#segments.splice(at, 1);
  }

  locate(sequence: number): Place | undefined {
    if (sequence >= this.nextSequence) return undefined;
    let at = this.#segments.length - 1;
    while (at >= 0 && this.#segments[at]!.firstSequence > sequence) at--;
    if (at < 0) return { goneBelow: this.oldestSequence() };
    const limitSequence = this.#segments[at + 1]?.firstSequence ?? this.nextSequence;
    return { segment: this.#segments[at]!, limitSequence };
  }

  open(segment: ReadableSegment): OpenFile {
    return this.files.open(segment.path, "read");
  }
}
