/**
 * The dead letters of one output: readings that it refused for their own fault, whole, in `outputs/NAME.dead.ndjson`.
 *
 * The file only grows: a removal is a line of its own, and a letter written again replaces the earlier one. When most of
 * it is history it is written anew in one step. Each line begins with the CRC-32 of what follows, so that a torn or
 * damaged line is recognised. In memory stands only where each letter is.
 */
import { Buffer } from "node:buffer";
import { dirname } from "node:path";
import { errorCode, OperationError } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import type { Reserve } from "../base/reserve.ts";
import { type DeadLetter, decodeLine, encodeLine } from "./dead_letter.ts";

export type { DeadLetter };

interface Place {
  at: number;
  bytes: number;
}

const lineFeed = 0x0a;
const readBytes = 256 * 1024;
/** A file is written anew when more than this, and more than half of it, is history. */
const historyBytesMax = 1024 * 1024;
export class DeadLetters {
  readonly #places = new Map<number, Place>();
  #sizeBytes = 0;
  #liveBytes = 0;
  #tailUnknown = false;
  /** Lines that were durable once and can't be read any more; they stay in the file. */
  #damaged: Place[] = [];

  private constructor(
    private readonly files: Files,
    private readonly path: string,
    private readonly reserve: Reserve,
  ) {}

  /**
   * Reads what the file holds and makes that durable. What can't be read at its end, from `durableBytes` on, never was (a
   * crash in the middle of an append) and is cut off.
   */
  static async open(
    files: Files,
    path: string,
    reserve: Reserve,
    durableBytes: number,
  ): Promise<DeadLetters> {
    const letters = new DeadLetters(files, path, reserve);
    await letters.#with("append", async (file) => {
      letters.#load(file, durableBytes);
      await file.syncData();
      await files.syncFolder(dirname(path));
    });
    return letters;
  }

  get count(): number {
    return this.#places.size;
  }
  get damaged(): number {
    return this.#damaged.length;
  }
  /** Length of the file: all of it is durable. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }
  /** Bytes of the letters that are alive. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** How many letters have a sequence from `from` on and below `to`. */
  countBetween(from: number, to: number): number {
    let count = 0;
    for (const sequence of this.#places.keys()) if (sequence >= from && sequence < to) count++;
    return count;
  }

  has(sequence: number): boolean {
    return this.#places.has(sequence);
  }

  /** Sequences of all letters, in order. */
  sequences(): number[] {
    return [...this.#places.keys()].sort((a, b) => a - b);
  }

  /** The bytes that a letter takes in the file. */
  bytesOf(sequence: number): number {
    return this.#places.get(sequence)?.bytes ?? 0;
  }

  /** One letter, read from the file; undefined when there is none. Throws OperationError when it is damaged. */
  read(sequence: number): DeadLetter | undefined {
    const place = this.#places.get(sequence);
    if (place === undefined) return undefined;
    const bytes = new Uint8Array(place.bytes - 1);
    const file = this.files.open(this.path, "read");
    try {
      file.readAt(bytes, place.at);
    } finally {
      file.close();
    }
    const content = decodeLine(bytes);
    if (content === undefined) {
      throw new OperationError({
        operation: "read a dead letter",
        place: this.path,
        cause: "a line is damaged",
      });
    }
    return content as unknown as DeadLetter;
  }

  /** Adds letters, durably when it returns. Throws what the disk said; then none of them is there. */
  async append(letters: readonly DeadLetter[]): Promise<void> {
    const lines = letters.map(encodeLine);
    let at = await this.#append(Buffer.concat(lines));
    for (const [i, letter] of letters.entries()) {
      const bytes = lines[i]!.length;
      this.#forget(letter.sequence);
      this.#places.set(letter.sequence, { at, bytes });
      this.#liveBytes += bytes;
      at += bytes;
    }
  }

  /** Forgets letters in memory alone: they come back at the next start unless `remove` follows. */
  forget(sequences: readonly number[]): void {
    for (const sequence of sequences) this.#forget(sequence);
  }

  /** Removes letters, durably when it returns; unknown sequences do no harm. */
  async remove(sequences: readonly number[]): Promise<void> {
    if (sequences.length === 0) return;
    this.forget(sequences);
    await this.#append(encodeLine({ removed: sequences }));
    const history = this.#sizeBytes - this.#liveBytes;
    if (history > historyBytesMax && history > this.#liveBytes) await this.#compact();
  }

  #forget(sequence: number): void {
    this.#liveBytes -= this.#places.get(sequence)?.bytes ?? 0;
    this.#places.delete(sequence);
  }

  /** Returns where the bytes begin. */
  async #append(bytes: Uint8Array): Promise<number> {
    const file = this.#openToAppend();
    try {
      if (this.#tailUnknown) file.truncate(this.#sizeBytes);
      this.#tailUnknown = true;
      await this.reserve.append(file, this.path, bytes);
    } finally {
      file.close();
    }
    if (this.#sizeBytes === 0) await this.files.syncFolder(dirname(this.path));
    this.#tailUnknown = false;
    const at = this.#sizeBytes;
    this.#sizeBytes += bytes.length;
    return at;
  }

  /** Writes the living letters and the damaged lines into a new file, which takes the place of the old one. */
  async #compact(): Promise<void> {
    const kept = [...this.#places.values(), ...this.#damaged].sort((a, b) => a.at - b.at);
    const content = new Uint8Array(kept.reduce((sum, place) => sum + place.bytes, 0));
    await this.#with("read", (file) => {
      let at = 0;
      for (const place of kept) {
        file.readAt(content.subarray(at, at + place.bytes), place.at);
        at += place.bytes;
      }
      return Promise.resolve();
    });
    await this.reserve.replace(this.path, content);
    let at = 0;
    for (const place of kept) {
      place.at = at;
      at += place.bytes;
    }
    this.#sizeBytes = content.length;
  }

  #openToAppend(): OpenFile {
    try {
      return this.files.open(this.path, "append");
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      return this.files.open(this.path, "create");
    }
  }

  /** Does something with the file, if there is one. It is rarely needed, so nobody keeps it open. */
  async #with(mode: "read" | "append", work: (file: OpenFile) => Promise<void>): Promise<void> {
    let file: OpenFile;
    try {
      file = this.files.open(this.path, mode);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return;
      throw error;
    }
    try {
      await work(file);
    } finally {
      file.close();
    }
  }

  #load(file: OpenFile, durableBytes: number): void {
    const damaged: Place[] = [];
    let goodBytes = 0;
    for (const { line, at } of lines(file)) {
      const content = decodeLine(line);
      const place = { at, bytes: line.length + 1 };
      if (content === undefined) {
        damaged.push(place);
        continue;
      }
      goodBytes = at + place.bytes;
      this.#take(content, place);
    }
    this.#damaged = damaged.filter(({ at }) => at < durableBytes);
    const last = this.#damaged.at(-1);
    this.#sizeBytes = Math.max(goodBytes, last === undefined ? 0 : last.at + last.bytes);
    if (file.size() > this.#sizeBytes) file.truncate(this.#sizeBytes);
  }

  #take(content: Record<string, unknown>, place: Place): void {
    if (Array.isArray(content["removed"])) {
      for (const sequence of content["removed"] as number[]) this.#forget(sequence);
    } else {
      const sequence = content["sequence"] as number;
      this.#forget(sequence);
      this.#places.set(sequence, place);
      this.#liveBytes += place.bytes;
    }
  }
}

/** Whole lines of a file with their places, read piece by piece. */
function* lines(file: OpenFile): Generator<{ line: Uint8Array; at: number }> {
  const sizeBytes = file.size();
  let held = new Uint8Array(0);
  let heldAt = 0;
  for (let at = 0; at < sizeBytes;) {
    const piece = new Uint8Array(held.length + readBytes);
    piece.set(held);
    const got = file.readAt(piece.subarray(held.length), at);
    if (got === 0) return;
    at += got;
    const bytes = piece.subarray(0, held.length + got);
    let from = 0;
    for (let end = bytes.indexOf(lineFeed, held.length); end >= 0; end = bytes.indexOf(lineFeed, from)) {
      yield { line: bytes.subarray(from, end), at: heldAt + from };
      from = end + 1;
    }
    held = bytes.slice(from);
    heldAt += from;
  }
}
