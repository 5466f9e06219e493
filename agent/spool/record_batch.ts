/**
 * Records on their way to the disk, in one buffer that is used again: what `addReading` costs is the hot path of the
 * product, so nothing is allocated for a record, and what a batch has in common is converted once.
 */
import { crc32 } from "node:zlib";
import { part } from "../base/bytes.ts";
import { OperationError } from "../base/errors.ts";
import { payloadBytesMax, propertiesBytesMax, topicBytesMax } from "../limits.ts";
import { flagBits, headBytes, kinds, marker, prefixBytes, setUint53 } from "./format.ts";
import { encodeNumberProperty, propertyTypes } from "./properties.ts";
import type { Arrival, IncomingReading } from "./spool_types.ts";

const bytesAtFirst = 64 * 1024;
/** Room for an ordinary batch: a gate's buffer of short messages, with the heads of their records. */
const bytesKept = 512 * 1024;
const none = new Uint8Array(0);
const noArrival: Arrival = {
  wallMs: 0,
  bootMs: 0,
  bootId: "0".repeat(32),
  synchronised: "unknown",
  queued: false,
  lastConnectedMs: undefined,
};

/** What the readings of one arrival have in common, as it stands in their records. */
class ArrivalBytes {
  readonly #bootId = new DataView(new ArrayBuffer(16));
  #last: Arrival = { ...noArrival };
  #wallMs = 0;
  #bootMs = 0;
  flags = 0;
  properties = none;

  /** Converts when anything differs from the arrival before. */
  take(arrival: Arrival): void {
    const last = this.#last;
    if (arrival.bootId !== last.bootId) {
      for (let i = 0; i < 16; i++) {
        this.#bootId.setUint8(i, parseInt(arrival.bootId.slice(2 * i, 2 * i + 2), 16));
      }
    }
    if (
      arrival.wallMs === last.wallMs && arrival.bootMs === last.bootMs && arrival.bootId === last.bootId &&
      arrival.synchronised === last.synchronised && arrival.queued === last.queued &&
      arrival.lastConnectedMs === last.lastConnectedMs
    ) return;
    this.#last = { ...arrival };
    this.#wallMs = Math.max(0, Math.floor(arrival.wallMs));
    this.#bootMs = Math.max(0, Math.floor(arrival.bootMs));
    const clock = arrival.synchronised === "yes"
      ? flagBits.clockYes
      : arrival.synchronised === "no"
      ? flagBits.clockNo
      : 0;
    this.flags = clock | (arrival.queued ? flagBits.queued : 0);
    this.properties = arrival.queued && arrival.lastConnectedMs !== undefined
      ? encodeNumberProperty(propertyTypes.lastConnectedMs, arrival.lastConnectedMs, 8)
      : none;
  }

  /** Writes boot id and times into the head of the record at `at`. */
  write(view: DataView, at: number): void {
    const bootId = this.#bootId;
    view.setUint32(at + 36, bootId.getUint32(0));
    view.setUint32(at + 40, bootId.getUint32(4));
    view.setUint32(at + 44, bootId.getUint32(8));
    view.setUint32(at + 48, bootId.getUint32(12));
    setUint53(view, at + 52, this.#bootMs);
    setUint53(view, at + 60, this.#wallMs);
  }
}

export class RecordBatch {
  #bytes = new Uint8Array(bytesAtFirst);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  #readings = 0;
  readonly #arrival = new ArrivalBytes();

  get usedBytes(): number {
    return this.#used;
  }
  get readings(): number {
    return this.#readings;
  }

  /** Copies one reading behind the others. Throws OperationError when it is larger than any record may be. */
  addReading(sequence: number, session: number, reading: IncomingReading, arrival: Arrival): void {
    const { topic, properties, payload } = reading;
    if (
      topic.length > topicBytesMax || payload.length > payloadBytesMax ||
      properties.length > propertiesBytesMax
    ) {
      throw new OperationError({
        operation: "store a message",
        place: "spool",
        cause:
          `topic, properties or payload is too large (${topic.length}, ${properties.length}, ${payload.length} bytes)`,
      });
    }
    const common = this.#arrival;
    common.take(arrival);
    const propertiesBytes = properties.length + common.properties.length;
    const at = this.#begin(headBytes + topic.length + propertiesBytes + payload.length);
    const view = this.#view;
    const flags = common.flags | reading.qos | (reading.retain ? flagBits.retain : 0) |
      (reading.duplicate ? flagBits.duplicate : 0) | (reading.truncated ? flagBits.truncated : 0);
    setUint53(view, at + 12, sequence);
    view.setUint16(at + 20, kinds.reading, true);
    view.setUint16(at + 22, flags, true);
    view.setUint16(at + 24, reading.packetId, true);
    view.setUint16(at + 26, topic.length, true);
    view.setUint32(at + 28, propertiesBytes, true);
    view.setUint32(at + 32, session, true);
    common.write(view, at);
    let into = this.#copy(topic, at + headBytes);
    if (propertiesBytes > 0) into = this.#copy(common.properties, this.#copy(properties, into));
    this.#copy(payload, into);
    this.#readings++;
  }

  /** Adds a record that is no reading; `sequence` is the one that the next reading gets. */
  addControl(kind: number, sequence: number, session: number, packetId: number, ids: number[] = []): void {
    const at = this.#begin(headBytes + 2 * ids.length);
    const view = this.#view;
    this.#bytes.fill(0, at + prefixBytes, at + headBytes);
    setUint53(view, at + 12, sequence);
    view.setUint16(at + 20, kind, true);
    view.setUint16(at + 24, packetId, true);
    view.setUint32(at + 32, session, true);
    ids.forEach((id, i) => view.setUint16(at + headBytes + 2 * i, id, true));
  }

  /** Fills in the checksums, which start from the segment's seed, and returns all records; valid until `clear`. */
  sealed(seed: number): Uint8Array {
    const [bytes, view] = [this.#bytes, this.#view];
    for (let at = 0; at < this.#used;) {
      const end = at + prefixBytes + view.getUint32(at + 8, true);
      view.setUint32(at + 4, crc32(part(bytes, at + 8, end), seed), true);
      at = end;
    }
    return bytes.subarray(0, this.#used);
  }

  clear(): void {
    this.#used = 0;
    this.#readings = 0;
    if (this.#bytes.length > bytesKept) this.#resize(bytesAtFirst);
  }

  /** Makes room for a record of `length` bytes and writes marker and length. */
  #begin(length: number): number {
    const at = this.#used;
    const end = at + length;
    if (end > this.#bytes.length) this.#resize(Math.max(end, 2 * this.#bytes.length));
    this.#view.setUint32(at, marker, true);
    this.#view.setUint32(at + 8, length - prefixBytes, true);
    this.#used = end;
    return at;
  }

  #resize(sizeBytes: number): void {
    const bytes = new Uint8Array(sizeBytes);
    bytes.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** Copies `from` to `at` and returns the end. A loop beats `set` for what most topics are. */
  #copy(from: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    if (from.length > 32) bytes.set(from, at);
    else for (let i = 0; i < from.length; i++) bytes[at + i] = from[i]!;
    return at + from.length;
  }
}
