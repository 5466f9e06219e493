/**
 * From records to readings. Thousands of readings are held at a time while they are shipped, and what they keep in the heap
 * is what collecting garbage costs: so a reading is little more than the place of its record, where it looks things up.
 */
import { Buffer } from "node:buffer";
import { part } from "../base/bytes.ts";
import type { Synchronised } from "../base/clock.ts";
import { flagBits, getUint53, headBytes } from "./format.ts";
import type { Reading } from "./spool_types.ts";

const none = new Uint8Array(0);

/** Bytes that hold whole records of one segment; what its readings have in common. */
class Piece {
  readonly #bootIdWords = [0, 0, 0, 0];
  #bootId = "0".repeat(32);

  constructor(readonly bytes: Uint8Array, readonly view: DataView, readonly segmentId: string) {}

  /** The boot id at `at`; the last one is remembered. */
  bootIdAt(at: number): string {
    const { view } = this;
    const known = this.#bootIdWords;
    const [one, two] = [view.getUint32(at), view.getUint32(at + 4)];
    const [three, four] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (one !== known[0] || two !== known[1] || three !== known[2] || four !== known[3]) {
      [known[0], known[1], known[2], known[3]] = [one, two, three, four];
      this.#bootId = Buffer.from(this.bytes.subarray(at, at + 16)).toString("hex");
    }
    return this.#bootId;
  }
}

/** The bytes of the head are described in FORMAT.md. */
class RecordReading implements Reading {
  constructor(private readonly piece: Piece, private readonly at: number, private readonly length: number) {}

  get segmentId(): string {
    return this.piece.segmentId;
  }
  get sequence(): number {
    return getUint53(this.piece.view, this.at + 12);
  }
  get qos(): 0 | 1 | 2 {
    return Math.min(this.#flags & 3, 2) as 0 | 1 | 2;
  }
  get retain(): boolean {
    return (this.#flags & flagBits.retain) !== 0;
  }
  get duplicate(): boolean {
    return (this.#flags & flagBits.duplicate) !== 0;
  }
  get truncated(): boolean {
    return (this.#flags & flagBits.truncated) !== 0;
  }
  get queued(): boolean {
    return (this.#flags & flagBits.queued) !== 0;
  }
  get packetId(): number {
    return this.piece.view.getUint16(this.at + 24, true);
  }
  get bootId(): string {
    return this.piece.bootIdAt(this.at + 36);
  }
  get bootMs(): number {
    return getUint53(this.piece.view, this.at + 52);
  }
  get wallMs(): number {
    return getUint53(this.piece.view, this.at + 60);
  }
  get synchronised(): Synchronised {
    const flags = this.#flags;
    return (flags & flagBits.clockYes) !== 0 ? "yes" : (flags & flagBits.clockNo) !== 0 ? "no" : "unknown";
  }
  get topic(): Uint8Array {
    return part(this.piece.bytes, this.at + headBytes, this.#topicEnd);
  }
  get properties(): Uint8Array {
    const end = this.#propertiesEnd;
    return end === this.#topicEnd ? none : part(this.piece.bytes, this.#topicEnd, end);
  }
  get payload(): Uint8Array {
    return part(this.piece.bytes, this.#propertiesEnd, this.at + this.length);
  }

  get #flags(): number {
    return this.piece.view.getUint16(this.at + 22, true);
  }
  get #topicEnd(): number {
    return this.at + headBytes + this.piece.view.getUint16(this.at + 26, true);
  }
  get #propertiesEnd(): number {
    return this.#topicEnd + this.piece.view.getUint32(this.at + 28, true);
  }
}

/** Makes readings of records; their bytes must not change as long as one of them is held. */
export class ReadingDecoder {
  #piece: Piece | undefined;

  /** The reading at `at`, whose record is `length` bytes long and whole. */
  decode(bytes: Uint8Array, view: DataView, at: number, length: number, segmentId: string): Reading {
    let piece = this.#piece;
    if (piece === undefined || piece.view !== view || piece.segmentId !== segmentId) {
      piece = this.#piece = new Piece(bytes, view, segmentId);
    }
    return new RecordReading(piece, at, length);
  }
}
