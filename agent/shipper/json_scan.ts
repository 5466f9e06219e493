/**
 * The usual JSON objects of sensors, read byte by byte: plain names, short numbers, no lists. It finds the numbers
 * without making objects and strings, several times quicker than a parser. Whatever is unusual (escaped or dotted names, a
 * name that comes twice, an exponent, a list, a line feed, a payload that brings its own time, anything wrong) is left
 * to `json_payload.ts`: then `scan` returns false, and nothing is lost but the attempt.
 */
import { isUtf8 } from "node:buffer";
import { valuesMax } from "./json_payload.ts";

const depthMax = 20;
const keysMax = 64;
const keyBytesMax = 64;
const pathBytesMax = 512;
const valuesBytesMax = 16 * 1024;
/** Longest number that is copied as it is, and most digits of a whole one. */
const numberBytesMax = 32;
const wholeDigitsMax = 15;

const [quote, backslash, comma, colon, dot, minus, open, close] = [
  0x22,
  0x5c,
  0x2c,
  0x3a,
  0x2e,
  0x2d,
  0x7b,
  0x7d,
];

/** For each byte whether it may stand in a plain name: letters, digits, `_` and `-`. */
const nameBytes = Uint8Array.from(
  { length: 256 },
  (_, byte) => /[\w-]/.test(String.fromCharCode(byte)) ? 1 : 0,
);
/** For each byte whether it may follow a backslash here; `u` is left to the parser. */
const escaped = Uint8Array.from(
  { length: 256 },
  (_, byte) => '"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0,
);
const words = ["true", "false", "null"].map((word) => new TextEncoder().encode(word));
/** Names that, beside `value`, make an object a reading with a time of its own. */
const timeNames = ["time", "age_s"].map((word) => new TextEncoder().encode(word));

export class JsonScan {
  #bytes = new Uint8Array(0);
  #at = 0;
  #ascii = true;
  readonly #path = new Uint8Array(pathBytesMax);
  #pathLength = 0;
  /** Where the names of the objects that are open begin, and how long they are. */
  readonly #keyAt = new Int32Array(keysMax);
  readonly #keyLength = new Int32Array(keysMax);
  #keys = 0;
  readonly #values = new Uint8Array(valuesBytesMax);
  #valuesLength = 0;
  #numbers = 0;

  /** Whether `bytes` is such an object; `values` is then valid until the next call. */
  scan(bytes: Uint8Array): boolean {
    this.#bytes = bytes as Uint8Array<ArrayBuffer>;
    this.#at =
      this.#pathLength =
      this.#keys =
      this.#numbers =
        0;
    this.#valuesLength = 1;
    this.#ascii = true;
    return bytes[0] === open && this.#object(1) && this.#at === bytes.length &&
      (this.#ascii || isUtf8(bytes));
  }

  /** JSON of the numbers by name, `{"t":21.5,"deep.a":1}`; undefined when there are none. */
  get values(): Uint8Array | undefined {
    if (this.#valuesLength === 1) return undefined;
    const values = this.#values;
    values[0] = open;
    values[this.#valuesLength] = close;
    return values.subarray(0, this.#valuesLength + 1);
  }

  #skipSpaces(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#at];
    while (byte === 0x20 || byte === 0x09) byte = bytes[++this.#at];
    return byte ?? 0;
  }

  /** From `{` to behind its `}`. */
  #object(depth: number): boolean {
    const firstKey = this.#keys;
    this.#at++;
    if (this.#skipSpaces() === close) {
      this.#at++;
      return true;
    }
    while (true) {
      if (!this.#key(firstKey, depth)) return false;
      if (this.#skipSpaces() !== colon) return false;
      this.#at++;
      if (!this.#value(this.#skipSpaces(), depth)) return false;
      const byte = this.#skipSpaces();
      this.#at++;
      if (byte === close) break;
      if (byte !== comma) return false;
      this.#skipSpaces();
    }
    this.#keys = firstKey;
    return true;
  }

  /** A name in quotes, which none of this object's names before may repeat. */
  #key(firstKey: number, depth: number): boolean {
    const bytes = this.#bytes;
    if (bytes[this.#at] !== quote) return false;
    const from = this.#at + 1;
    let at = from;
    while (nameBytes[bytes[at]!] === 1) at++;
    const length = at - from;
    if (bytes[at] !== quote || length === 0 || length > keyBytesMax || this.#keys >= keysMax) return false;
    for (let key = firstKey; key < this.#keys; key++) {
      if (this.#keyLength[key] === length && same(bytes, this.#keyAt[key]!, bytes, from, length)) {
        return false;
      }
    }
    if (depth === 1) {
      for (const name of timeNames) {
        if (name.length === length && same(name, 0, bytes, from, length)) return false;
      }
    }
    this.#keyAt[this.#keys] = from;
    this.#keyLength[this.#keys] = length;
    this.#keys++;
    this.#at = at + 1;
    return true;
  }

  #value(byte: number, depth: number): boolean {
    if (byte === quote) return this.#string();
    if (byte === minus || (byte >= 0x30 && byte <= 0x39)) return this.#number();
    if (byte === open) return depth < depthMax && this.#inner(depth);
    for (const word of words) {
      if (word[0] !== byte) continue;
      if (!same(word, 0, this.#bytes, this.#at, word.length)) return false;
      this.#at += word.length;
      return true;
    }
    return false;
  }

  /** An object inside: its numbers have names that begin with this one and a dot. */
  #inner(depth: number): boolean {
    const before = this.#pathLength;
    const key = this.#keys - 1;
    const length = this.#keyLength[key]!;
    if (before + length + 1 > pathBytesMax - keyBytesMax) return false;
    copy(this.#bytes, this.#keyAt[key]!, this.#path, before, length);
    this.#path[before + length] = dot;
    this.#pathLength = before + length + 1;
    const whole = this.#object(depth + 1);
    this.#pathLength = before;
    return whole;
  }

  #string(): boolean {
    const bytes = this.#bytes;
    let at = this.#at + 1;
    while (at < bytes.length) {
      const byte = bytes[at]!;
      if (byte === quote) {
        this.#at = at + 1;
        return true;
      }
      if (byte < 0x20) return false;
      if (byte >= 0x80) this.#ascii = false;
      else if (byte === backslash && escaped[bytes[++at] ?? 0] === 0) return false;
      at++;
    }
    return false;
  }

  /** A number without an exponent that a double holds; written down with its name. */
  #number(): boolean {
    const bytes = this.#bytes;
    const from = this.#at;
    const digitsFrom = bytes[from] === minus ? from + 1 : from;
    let at = digitsFrom;
    while (isDigit(bytes[at])) at++;
    const digits = at - digitsFrom;
    if (digits === 0 || (digits > 1 && bytes[digitsFrom] === 0x30)) return false;
    if (bytes[at] === dot) {
      const fractionFrom = ++at;
      while (isDigit(bytes[at])) at++;
      if (at === fractionFrom || at - from > numberBytesMax) return false;
    } else if (digits > wholeDigitsMax) return false;
    this.#at = at; // an exponent that follows is no comma and no brace: left to the parser
    return this.#note(from, at - from);
  }

  #note(numberAt: number, numberLength: number): boolean {
    const key = this.#keys - 1;
    const keyLength = this.#keyLength[key]!;
    const values = this.#values;
    let to = this.#valuesLength;
    if (to + this.#pathLength + keyLength + numberLength + 5 > valuesBytesMax) return false;
    if (++this.#numbers > valuesMax) return false;
    if (to > 1) values[to++] = comma;
    values[to++] = quote;
    copy(this.#path, 0, values, to, this.#pathLength);
    to += this.#pathLength;
    copy(this.#bytes, this.#keyAt[key]!, values, to, keyLength);
    to += keyLength;
    values[to++] = quote;
    values[to++] = colon;
    copy(this.#bytes, numberAt, values, to, numberLength);
    this.#valuesLength = to + numberLength;
    return true;
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function copy(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
}

function same(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}
