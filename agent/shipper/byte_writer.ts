/** A growing buffer of JSON bytes. What is known as bytes is copied; text becomes bytes without a detour over strings. */

const encoder = new TextEncoder();
const bytesAtFirst = 64 * 1024;
/** Above this size the buffer is not kept for the next batch. */
const bytesKept = 8 * 1024 * 1024;
const hexDigits = "0123456789abcdef";
/** Up to here a loop copies quicker than `set`. */
const shortBytesMax = 16;
const quote = 0x22;
const backslash = 0x5c;

/** For each byte: 0 stands as it is in a JSON string, 1 needs a backslash before it, 2 is a control character. */
const escapes = Uint8Array.from({ length: 256 }, (_, byte) => {
  return byte === quote || byte === backslash ? 1 : byte < 0x20 ? 2 : 0;
});

/** The bytes of a text. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

export class ByteWriter {
  #bytes = new Uint8Array(bytesAtFirst);
  #at = 0;

  /** How many bytes have been written. */
  get length(): number {
    return this.#at;
  }

  /** What has been written from `from` on, as a view that is valid until the next write. */
  view(from = 0): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(from, this.#at);
  }

  /** Forgets what was written from `length` on. */
  cut(length: number): void {
    this.#at = length;
  }

  /** Begins anew; a buffer that has become very large is let go. */
  reset(): void {
    this.#at = 0;
    if (this.#bytes.length > bytesKept) this.#bytes = new Uint8Array(bytesAtFirst);
  }

  /** Copies bytes. A loop beats `set` for short ones. */
  put(bytes: Uint8Array): void {
    const length = bytes.length;
    if (this.#at + length > this.#bytes.length) this.#grow(length);
    const into = this.#bytes;
    let at = this.#at;
    if (length > shortBytesMax) into.set(bytes, at);
    else for (let i = 0; i < length; i++) into[at++] = bytes[i]!;
    this.#at += length;
  }

  /** Copies a few bytes that were written before, from `from` to `to`. */
  repeat(from: number, to: number): void {
    if (this.#at + to - from > this.#bytes.length) this.#grow(to - from);
    const bytes = this.#bytes;
    let at = this.#at;
    for (let i = from; i < to; i++) bytes[at++] = bytes[i]!;
    this.#at = at;
  }

  /** Text as UTF-8, nothing escaped. */
  putText(text: string): void {
    if (this.#at + 3 * text.length > this.#bytes.length) this.#grow(3 * text.length);
    this.#at += encoder.encodeInto(text, this.#bytes.subarray(this.#at)).written;
  }

  /** A whole number from 0 to 2^53 in decimal digits. */
  putDecimal(number: number): void {
    if (this.#at + 16 > this.#bytes.length) this.#grow(16);
    const into = this.#bytes;
    let end = this.#at + 1;
    for (let bound = 10; bound <= number; bound *= 10) end++;
    this.#at = end;
    let rest = number;
    do {
      const tenth = Math.floor(rest / 10);
      into[--end] = 48 + rest - tenth * 10;
      rest = tenth;
    } while (rest > 0);
  }

  /** A JSON string of bytes that are valid UTF-8, with its quotes. */
  putJsonString(utf8: Uint8Array): void {
    const length = utf8.length;
    if (this.#at + 6 * length + 2 > this.#bytes.length) this.#grow(length + 2 + extraBytes(utf8));
    const into = this.#bytes;
    let at = this.#at;
    into[at++] = quote;
    for (let i = 0; i < length; i++) {
      const byte = utf8[i]!;
      const escape = escapes[byte];
      if (escape === 0) into[at++] = byte;
      else if (escape === 1) {
        into[at++] = backslash;
        into[at++] = byte;
      } else at = putControl(into, at, byte);
    }
    into[at++] = quote;
    this.#at = at;
  }

  #grow(bytes: number): void {
    const bigger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + bytes));
    bigger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = bigger;
  }
}

/** How many bytes escaping adds. */
function extraBytes(utf8: Uint8Array): number {
  let extra = 0;
  for (let i = 0; i < utf8.length; i++) {
    const escape = escapes[utf8[i]!]!;
    extra += escape === 2 ? 5 : escape;
  }
  return extra;
}

/** Writes `\u00XX` and returns the place behind it. */
function putControl(into: Uint8Array, at: number, byte: number): number {
  const text = `\\u00${hexDigits[byte >> 4]}${hexDigits[byte & 15]}`;
  for (let i = 0; i < 6; i++) into[at + i] = text.charCodeAt(i);
  return at + 6;
}
