/** What a payload is: a JSON number, a JSON object, other text, or bytes that are no text. Pure. */
import { isUtf8 } from "node:buffer";
import { bytesOf } from "./byte_writer.ts";
import { type JsonPayload, readJsonObject } from "./json_payload.ts";
import { JsonScan } from "./json_scan.ts";

export type Content =
  /** `json`: the number as JSON; `text`: the payload as well, for a whole number that a double can't hold. */
  | { kind: "number"; json: Uint8Array; text: Uint8Array | undefined }
  | { kind: "object"; json: JsonPayload; text: Uint8Array }
  /** An object as most are: `payload` stands as it came; `values` is valid until the next call. */
  | { kind: "plain object"; payload: Uint8Array; values: Uint8Array | undefined }
  | { kind: "text"; text: Uint8Array }
  | { kind: "bytes"; bytes: Uint8Array };

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const scan = new JsonScan();
const twoTo53 = 2n ** 53n;
/** Longer numbers are written anew: Elasticsearch takes at most 1,000 characters. */
const numberBytesCopied = 32;
/** Whole numbers below this many digits are surely within 2^53. */
const safeDigits = 15;

/** A payload of a message; `truncated`: only its first part is there, so it is neither a number nor an object. */
export function contentOf(payload: Uint8Array, truncated: boolean): Content {
  if (truncated) return textOrBytes(payload, wholeCharacters(payload));
  let from = 0;
  let to = payload.length;
  while (from < to && isJsonSpace(payload[from]!)) from++;
  while (to > from && isJsonSpace(payload[to - 1]!)) to--;
  const first = payload[from];
  if (first === 0x2d || isDigit(first)) {
    const number = readNumber(from === 0 && to === payload.length ? payload : payload.subarray(from, to));
    if (number !== undefined) return number;
  } else if (first === 0x7b && payload[to - 1] === 0x7d) {
    const object = from === 0 && to === payload.length ? payload : payload.subarray(from, to);
    if (scan.scan(object)) return { kind: "plain object", payload: object, values: scan.values };
    if (!isUtf8(payload)) return { kind: "bytes", bytes: payload };
    const json = readJsonObject(decoder.decode(payload));
    return json === undefined ? { kind: "text", text: payload } : { kind: "object", json, text: payload };
  }
  return textOrBytes(payload, payload);
}

/**
 * What of an object is indexed beside the numbers in it: a reading's own `value` stands where that of a plain payload
 * stands, and what can't be kept as an object is text.
 */
export function objectFields(
  json: JsonPayload,
  whole: Uint8Array,
): { number?: number; text?: Uint8Array; json?: string } {
  const own = json.reading?.value;
  const number = typeof own === "number" && Number.isFinite(own) ? { number: own } : {};
  if (json.payload === undefined) return { ...number, text: whole };
  return { ...number, ...(typeof own === "string" ? { text: bytesOf(own) } : {}), json: json.payload };
}

function textOrBytes(payload: Uint8Array, text: Uint8Array): Content {
  return isUtf8(text) ? { kind: "text", text } : { kind: "bytes", bytes: payload };
}

/** Space, tab, line feed, carriage return (RFC 8259 section 2). */
function isJsonSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/** The place behind the digits that begin at `at`. */
function skipDigits(bytes: Uint8Array, at: number): number {
  while (isDigit(bytes[at])) at++;
  return at;
}

/** A number by the grammar of JSON (RFC 8259 section 6) that a double can hold; else undefined. */
function readNumber(bytes: Uint8Array): Content | undefined {
  const digitsFrom = bytes[0] === 0x2d ? 1 : 0;
  const digitsEnd = skipDigits(bytes, digitsFrom);
  if (digitsEnd === digitsFrom || (bytes[digitsFrom] === 0x30 && digitsEnd > digitsFrom + 1)) {
    return undefined;
  }
  let at = digitsEnd;
  if (bytes[at] === 0x2e) {
    at = skipDigits(bytes, at + 1);
    if (at === digitsEnd + 1) return undefined;
  }
  const exponent = bytes[at] === 0x65 || bytes[at] === 0x45;
  if (exponent) {
    const from = at + (bytes[at + 1] === 0x2b || bytes[at + 1] === 0x2d ? 2 : 1);
    at = skipDigits(bytes, from);
    if (at === from) return undefined;
  }
  if (at !== bytes.length) return undefined;
  const whole = at === digitsEnd;
  if (!exponent && (at <= numberBytesCopied && (!whole || digitsEnd - digitsFrom <= safeDigits))) {
    return { kind: "number", json: bytes, text: undefined };
  }
  return readLongNumber(bytes, whole);
}

/** The rare ones: with an exponent, very long, or perhaps beyond 2^53. */
function readLongNumber(bytes: Uint8Array, whole: boolean): Content | undefined {
  const text = decoder.decode(bytes);
  const number = Number(text);
  if (!Number.isFinite(number)) return undefined;
  const beyond = whole && !Number.isSafeInteger(number) && isBeyond(BigInt(text));
  return { kind: "number", json: bytesOf(String(number)), text: beyond ? bytes : undefined };
}

function isBeyond(number: bigint): boolean {
  return number > twoTo53 || number < -twoTo53;
}

/** A text cut off inside a character, without the bytes of that character. */
function wholeCharacters(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needed > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}
