/**
 * Walks the whole records of one segment in order, reading piece by piece. What is damaged is skipped to the next whole
 * record. Pieces are never written again, so views into them stay valid as long as somebody holds them.
 */
import { errorCode } from "../base/errors.ts";
import type { OpenFile } from "../base/files.ts";
import { resyncBytesMax, spoolReadBytes } from "../limits.ts";
import { checksumHolds, findMarker, getUint53, headBytes, plausibleLength } from "./format.ts";

const nothing = new Uint8Array(0);
const blockBytes = 4096;

export class SegmentScanner {
  /** The piece that holds the current record, the record's place in it, and its length. */
  bytes = nothing;
  view = new DataView(nothing.buffer);
  at = 0;
  length = 0;
  /** Blocks that the disk could not read, in bytes; they were taken as zeros. */
  unreadableBytes = 0;
  #pieceStart = 0;
  #next: number;

  /** `from`: offset of the first record; `endBytes`: nothing at or behind this offset is looked at. */
  constructor(
    private readonly file: OpenFile,
    private readonly seed: number,
    from: number,
    public endBytes: number,
  ) {
    this.#next = from;
  }

  get sequence(): number {
    return getUint53(this.view, this.at + 12);
  }
  get kind(): number {
    return this.view.getUint16(this.at + 20, true);
  }
  get packetId(): number {
    return this.view.getUint16(this.at + 24, true);
  }
  get session(): number {
    return this.view.getUint32(this.at + 32, true);
  }
  /** Offset in the file behind the last whole record: where the next one is expected. */
  get nextOffset(): number {
    return this.#next;
  }
  /** Offset in the file of the current record. */
  get offset(): number {
    return this.#pieceStart + this.at;
  }

  /** Goes to the next whole record; false when there is none before `endBytes`. */
  next(): boolean {
    if (this.#nextInPiece()) return true;
    if (this.#next >= this.endBytes) return false;
    const found = this.#wholeAt(this.#next) ? this.#next : this.#search(this.#next + 1);
    if (found < 0) return false;
    this.#next = found + this.length;
    return true;
  }

  /** The way of nearly every record: it is whole, and in the piece already. */
  #nextInPiece(): boolean {
    const { bytes, view } = this;
    const at = this.#next - this.#pieceStart;
    const end = Math.min(bytes.length, this.endBytes - this.#pieceStart);
    if (at + headBytes > end) return false;
    const length = plausibleLength(view, at);
    if (length === 0 || at + length > end || !checksumHolds(bytes, view, at, length, this.seed)) return false;
    this.at = at;
    this.length = length;
    this.#next += length;
    return true;
  }

  /** Offset of the first whole record from `from` on, or -1. */
  #search(from: number): number {
    let budgetBytes = resyncBytesMax;
    for (let offset = from; offset + headBytes <= this.endBytes && budgetBytes > 0;) {
      if (!this.#load(offset, headBytes)) return -1;
      const end = this.bytes.length;
      const candidate = findMarker(this.bytes, this.view, offset - this.#pieceStart, end);
      offset = this.#pieceStart + candidate;
      if (candidate === end) continue;
      if (this.#wholeAt(offset)) return offset;
      budgetBytes -= this.length;
      offset++;
    }
    return -1;
  }

  /** Whether a whole record stands at `offset`; then it is the current one. `length` is what was looked at. */
  #wholeAt(offset: number): boolean {
    this.length = 0;
    if (!this.#load(offset, headBytes)) return false;
    const length = plausibleLength(this.view, offset - this.#pieceStart);
    if (length === 0 || !this.#load(offset, length)) return false;
    this.at = offset - this.#pieceStart;
    this.length = length;
    return checksumHolds(this.bytes, this.view, this.at, length, this.seed);
  }

  /** Makes the piece contain `needBytes` from `offset` on; false when the segment ends before. */
  #load(offset: number, needBytes: number): boolean {
    const end = offset + needBytes;
    if (end > this.endBytes) return false;
    if (offset >= this.#pieceStart && end <= this.#pieceStart + this.bytes.length) return true;
    const piece = new Uint8Array(Math.max(needBytes, Math.min(spoolReadBytes, this.endBytes - offset)));
    const got = this.#read(piece, offset);
    this.bytes = piece.subarray(0, got);
    this.view = new DataView(piece.buffer, 0, got);
    this.#pieceStart = offset;
    return got >= needBytes;
  }

  /** Reads all that can be read; blocks that the disk refuses even when asked again are left as zeros. */
  #read(into: Uint8Array, offset: number): number {
    try {
      return this.file.readAt(into, offset);
    } catch (error) {
      if (errorCode(error) !== "EIO") throw error;
    }
    for (let at = 0; at < into.length;) {
      const block = into.subarray(at, at + blockBytes - (offset + at) % blockBytes);
      try {
        const got = this.file.readAt(block, offset + at);
        if (got < block.length) return at + got;
      } catch (error) {
        if (errorCode(error) !== "EIO") throw error;
        block.fill(0);
        this.unreadableBytes += block.length;
      }
      at += block.length;
    }
    return into.length;
  }
}
