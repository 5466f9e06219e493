/**
 * Message files, such as `mosquitto_sub -F` writes them: bytes in pieces in, messages with their places out. Pure, and
 * bounded however long a line is.
 *
 * A payload may hold line feeds, and nothing marks them. So a line that does not begin as the format says belongs to the
 * payload before it; one with nothing before it is refused. A line that begins so is always a message of its own.
 */
import { createHash, type Hash } from "node:crypto";
import { payloadBytesMax, truncatedPayloadBytes } from "../../agent/limits.ts";
import { type LineFormat, type LineHead, lineHeadBytesMax } from "./line_format.ts";

/** One message and where in the file it stands. */
export interface FoundMessage extends Omit<LineHead, "payloadAt"> {
  kind: "message";
  /** All of it, or, with `whole`, its first part. */
  payload: Uint8Array;
  /** Of a payload that is too large to be kept. */
  whole: { bytes: number; sha256: Uint8Array } | undefined;
  atBytes: number;
  /** Offset behind it. */
  endBytes: number;
}

/** A line that is no message and follows none. */
export interface RefusedLine {
  kind: "refused";
  atBytes: number;
  endBytes: number;
}

const lineFeed = 10;
const carriageReturn = 13;

interface Begun {
  head: LineHead;
  payload: Payload;
  atBytes: number;
}

/** Reads one file from an offset on, which must be the beginning of a line. */
export class MessageLines {
  readonly #head = new Uint8Array(lineHeadBytesMax);
  #headUsed = 0;
  /** What the rest of the line belongs to; undefined at its beginning. */
  #rest: "payload" | "refused" | undefined;
  #begun: Begun | undefined;
  #at: number;
  #lineAt: number;

  /** A payload of more than `payloadMax` bytes is kept in part. */
  constructor(
    private readonly format: LineFormat,
    private readonly payloadMax: number = payloadBytesMax,
    fromBytes = 0,
  ) {
    this.#at = fromBytes;
    this.#lineAt = fromBytes;
  }

  /** What `piece` completes. A message is complete when the next one begins. */
  *feed(piece: Uint8Array): Generator<FoundMessage | RefusedLine> {
    for (let from = 0; from < piece.length;) {
      const feed = piece.indexOf(lineFeed, from);
      const end = feed < 0 ? piece.length : feed;
      yield* this.#take(piece.subarray(from, end), feed >= 0);
      this.#at += end - from;
      from = end + 1;
      if (feed < 0) return;
      this.#at++;
      yield* this.#lineEnds();
    }
  }

  /** What the end of the file completes: a last line needs no line feed. */
  *end(): Generator<FoundMessage | RefusedLine> {
    if (this.#headUsed > 0) yield* this.#begin(this.#takeHead());
    if (this.#lineAt < this.#at) yield* this.#lineEnds();
    yield* this.#finish(this.#at);
  }

  /** A part of a line: up to its end, or as much as there is. */
  *#take(part: Uint8Array, lineEnds: boolean): Generator<FoundMessage | RefusedLine> {
    if (this.#rest !== undefined) return this.#add(part);
    if (this.#headUsed === 0 && (lineEnds || part.length >= lineHeadBytesMax)) {
      return yield* this.#begin(part);
    }
    const count = Math.min(part.length, lineHeadBytesMax - this.#headUsed);
    this.#head.set(part.subarray(0, count), this.#headUsed);
    this.#headUsed += count;
    if (!lineEnds && this.#headUsed < lineHeadBytesMax) return;
    yield* this.#begin(this.#takeHead());
    this.#add(part.subarray(count));
  }

  #takeHead(): Uint8Array {
    const head = this.#head.subarray(0, this.#headUsed);
    this.#headUsed = 0;
    return head;
  }

  /** The beginning of a line, or all of it. */
  *#begin(line: Uint8Array): Generator<FoundMessage> {
    const head = this.format.head(line);
    if (head !== undefined) {
      yield* this.#finish(this.#lineAt);
      this.#begun = { head, payload: new Payload(this.payloadMax), atBytes: this.#lineAt };
      this.#rest = "payload";
      return this.#add(line.subarray(head.payloadAt));
    }
    this.#rest = this.#begun === undefined ? "refused" : "payload";
    this.#begun?.payload.add(Uint8Array.of(lineFeed));
    this.#add(line);
  }

  #add(part: Uint8Array): void {
    if (this.#rest === "payload") this.#begun!.payload.add(part);
  }

  *#lineEnds(): Generator<RefusedLine> {
    if (this.#rest === "refused") yield { kind: "refused", atBytes: this.#lineAt, endBytes: this.#at };
    this.#rest = undefined;
    this.#lineAt = this.#at;
  }

  *#finish(endBytes: number): Generator<FoundMessage> {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#begun = undefined;
    const { timeMs, topic, qos, retain } = begun.head;
    const { atBytes } = begun;
    yield { kind: "message", timeMs, topic, qos, retain, ...begun.payload.finished(), atBytes, endBytes };
  }
}

/** A payload while its parts come in. A carriage return at its very end is that of a line end. */
class Payload {
  #bytes = new Uint8Array(64);
  #used = 0;
  #wholeBytes = 0;
  #hash: Hash | undefined;
  #carriageReturn = false;

  constructor(private readonly bytesMax: number) {}

  add(part: Uint8Array): void {
    if (part.length === 0) return;
    if (this.#carriageReturn) this.#put(Uint8Array.of(carriageReturn));
    this.#carriageReturn = part.at(-1) === carriageReturn;
    this.#put(this.#carriageReturn ? part.subarray(0, -1) : part);
  }

  finished(): Pick<FoundMessage, "payload" | "whole"> {
    const payload = this.#bytes.subarray(0, this.#used);
    if (this.#hash === undefined) return { payload, whole: undefined };
    return { payload, whole: { bytes: this.#wholeBytes, sha256: this.#hash.digest() } };
  }

  #put(part: Uint8Array): void {
    this.#wholeBytes += part.length;
    if (this.#hash === undefined && this.#wholeBytes > this.bytesMax) {
      this.#hash = createHash("sha256").update(this.#bytes.subarray(0, this.#used));
      this.#used = Math.min(this.#used, truncatedPayloadBytes);
    }
    this.#hash?.update(part);
    const keptMax = this.#hash === undefined ? this.bytesMax : truncatedPayloadBytes;
    this.#keep(part.subarray(0, Math.max(0, keptMax - this.#used)));
  }

  #keep(part: Uint8Array): void {
    const needed = this.#used + part.length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = larger;
    }
    this.#bytes.set(part, this.#used);
    this.#used = needed;
  }
}
