/** The bytes of a segment: its name, its header, the heads of its records. FORMAT.md says the same in words. */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { part } from "../base/bytes.ts";
import { recordBytesMax } from "../limits.ts";

export const majorVersion = 1;
export const minorVersion = 0;
/** `MAJOR.MINOR` of the segments that this version writes. */
export const spoolFormat = `${majorVersion}.${minorVersion}`;
/** Length of the header that this version writes; a later minor version may write a longer one. */
export const headerBytes = 44;
/** What precedes topic, properties and payload of a record. */
export const headBytes = 68;
/** Bytes before the part that `length` counts: marker, checksum, length. */
export const prefixBytes = 12;
/** `D5 73 4C A6`: no valid UTF-8, so it is rare in payloads. As a little-endian number. */
export const marker = 0xa64c73d5;
const markerFirstByte = 0xd5;
/** `89 53 4C 53 50 4F 4F 4C`: 0x89 and "SLSPOOL". */
const magic = Uint8Array.of(0x89, 0x53, 0x4c, 0x53, 0x50, 0x4f, 0x4f, 0x4c);
const twoTo32 = 2 ** 32;

/** Kinds of records. Only readings take a sequence; the others name the one that the next reading gets. */
export const kinds = { reading: 1, release: 2, forget: 3, held: 4 } as const;

/** Bits of `flags`; bits 0 and 1 are the QoS, bits 6 and 7 the state of the clock. */
export const flagBits = {
  retain: 4,
  duplicate: 8,
  truncated: 16,
  queued: 32,
  clockNo: 64,
  clockYes: 128,
} as const;

/** What names a segment; the file's name and its header both say it. */
export interface SegmentIdentity {
  /** Place in the order of segments, from 1. */
  number: number;
  firstSequence: number;
  /** 16 lower-case hex digits, random. */
  id: string;
}

/** `00000042-0000000000077160-9c1e5b0a7d3f2e64.seg`: number, first sequence (decimal) and id (hex). */
export function segmentName(identity: SegmentIdentity): string {
  const { number, firstSequence, id } = identity;
  return `${String(number).padStart(8, "0")}-${String(firstSequence).padStart(16, "0")}-${id}.seg`;
}

/** The identity that a file name tells, or undefined when it is not a segment's. */
export function parseSegmentName(name: string): SegmentIdentity | undefined {
  const parts = /^(\d{8,15})-(\d{16})-([0-9a-f]{16})\.seg$/.exec(name);
  if (parts === null) return undefined;
  const [number, firstSequence] = [Number(parts[1]), Number(parts[2])];
  if (number < 1 || firstSequence < 1 || !Number.isSafeInteger(firstSequence)) return undefined;
  return { number, firstSequence, id: parts[3]! };
}

/** Where the checksums of a segment's records start from: CRC-32 of the eight bytes of its id. */
export function checksumSeed(id: string): number {
  return crc32(Buffer.from(id, "hex"));
}

/**
 * The header of a segment. What deviates from this version is for tests: later versions keep magic, version, length and
 * the checksum in the last four bytes.
 */
export function encodeHeader(
  identity: SegmentIdentity,
  version = { major: majorVersion, minor: minorVersion, moreBytes: 0 },
): Uint8Array<ArrayBuffer> {
  const length = headerBytes + version.moreBytes;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes.set(magic);
  view.setUint16(8, version.major, true);
  view.setUint16(10, version.minor, true);
  view.setUint32(12, length, true);
  view.setBigUint64(16, BigInt(identity.number), true);
  view.setBigUint64(24, BigInt(identity.firstSequence), true);
  bytes.set(Buffer.from(identity.id, "hex"), 32);
  view.setUint32(length - 4, crc32(bytes.subarray(0, length - 4)), true);
  return bytes;
}

/** What the first bytes of a file say. `newer`: a whole header of a major version that this reader does not know. */
export type Header =
  | { kind: "whole"; identity: SegmentIdentity; headerBytes: number }
  | { kind: "newer"; major: number; minor: number }
  | { kind: "damaged" };

/** Reads a header; `bytes` is the beginning of the file (more than a header does no harm). */
export function decodeHeader(bytes: Uint8Array): Header {
  if (bytes.length < headerBytes || magic.some((byte, at) => bytes[at] !== byte)) return { kind: "damaged" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(12, true);
  if (length < headerBytes || length > bytes.length) return { kind: "damaged" };
  if (crc32(bytes.subarray(0, length - 4)) !== view.getUint32(length - 4, true)) return { kind: "damaged" };
  const [major, minor] = [view.getUint16(8, true), view.getUint16(10, true)];
  if (major > majorVersion) return { kind: "newer", major, minor };
  const identity = {
    number: Number(view.getBigUint64(16, true)),
    firstSequence: Number(view.getBigUint64(24, true)),
    id: Buffer.from(bytes.subarray(32, 40)).toString("hex"),
  };
  return { kind: "whole", identity, headerBytes: length };
}

/** Bytes of the whole record at `at`, judged by its head alone (which must be inside the view); 0 when it can't be one. */
export function plausibleLength(view: DataView, at: number): number {
  if (view.getUint32(at, true) !== marker) return 0;
  const length = prefixBytes + view.getUint32(at + 8, true);
  const contentBytes = headBytes + view.getUint16(at + 26, true) + view.getUint32(at + 28, true);
  return contentBytes <= length && length <= recordBytesMax ? length : 0;
}

/** Whether the record at `at`, whose `length` bytes are all there, has the checksum that it should have. */
export function checksumHolds(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  length: number,
  seed: number,
): boolean {
  return crc32(part(bytes, at + 8, at + length), seed) === view.getUint32(at + 4, true);
}

/** Offset of the next marker from `from` on, or `end`. */
export function findMarker(bytes: Uint8Array, view: DataView, from: number, end: number): number {
  for (
    let at = bytes.indexOf(markerFirstByte, from);
    at >= 0 && at < end;
    at = bytes.indexOf(markerFirstByte, at + 1)
  ) {
    if (at + 4 > end || view.getUint32(at, true) === marker) return at;
  }
  return end;
}

/** An unsigned 64-bit number below 2^53. */
export function getUint53(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * twoTo32;
}

export function setUint53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, (value / twoTo32) >>> 0, true);
}
