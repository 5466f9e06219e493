/**
 * A message that is too large to be held: its payload runs through SHA-256, its first part is kept, and memory stays
 * flat however long it is. Properties that are too long are passed over the same way.
 */
import { createHash } from "node:crypto";
import { truncatedPayloadBytes } from "../limits.ts";
import type { IncomingReading } from "../spool/spool_types.ts";
import { joined, keptProperties, leftOut, truncationMarks } from "./message_properties.ts";
import { propertiesFit, type Publish } from "./publish_decoder.ts";

/** One such message on its way. The head must have arrived (and the properties, where they fit) when it is made. */
export class Drain {
  readonly #head: Omit<IncomingReading, "payload" | "properties" | "truncated">;
  readonly #properties: Uint8Array[] = [];
  readonly #payloadBytes: number;
  readonly #truncated: boolean;
  readonly #kept: Uint8Array;
  readonly #hash = createHash("sha256");
  #propertiesLeft = 0;
  #payloadLeft: number;

  /** `bytes` hold the message that `publish` describes; what is needed of them is copied. */
  constructor(bytes: Uint8Array, publish: Publish, payloadBytesMax: number) {
    const { qos, retain, duplicate, packetId, propertiesStart, propertiesEnd } = publish;
    const topic = bytes.slice(publish.topicStart, publish.topicEnd);
    this.#head = { qos, retain, duplicate, packetId, topic };
    if (propertiesFit(publish)) {
      this.#properties.push(keptProperties(bytes, propertiesStart, propertiesEnd));
    } else {
      this.#propertiesLeft = propertiesEnd - propertiesStart;
      this.#properties.push(leftOut(this.#propertiesLeft));
    }
    this.#payloadBytes = publish.payloadEnd - publish.payloadStart;
    this.#payloadLeft = this.#payloadBytes;
    this.#truncated = this.#payloadBytes > payloadBytesMax;
    this.#kept = new Uint8Array(this.#truncated ? truncatedPayloadBytes : this.#payloadBytes);
  }

  /** Offset in the buffer from which `take` must be fed. */
  static from(publish: Publish): number {
    return propertiesFit(publish) ? publish.payloadStart : publish.propertiesStart;
  }

  get done(): boolean {
    return this.#propertiesLeft === 0 && this.#payloadLeft === 0;
  }

  /** Takes what belongs to the message from `start`..`end`, and returns how many bytes that was. */
  take(bytes: Uint8Array, start: number, end: number): number {
    const passed = Math.min(this.#propertiesLeft, end - start);
    this.#propertiesLeft -= passed;
    if (this.#propertiesLeft > 0) return passed;
    const part = bytes.subarray(start + passed, Math.min(end, start + passed + this.#payloadLeft));
    const at = this.#payloadBytes - this.#payloadLeft;
    if (at < this.#kept.length) this.#kept.set(part.subarray(0, this.#kept.length - at), at);
    if (this.#truncated) this.#hash.update(part);
    this.#payloadLeft -= part.length;
    return passed + part.length;
  }

  /** The reading, once all of it went by. */
  reading(): IncomingReading {
    const marks = this.#truncated ? truncationMarks(this.#payloadBytes, this.#hash.digest()) : [];
    return {
      ...this.#head,
      payload: this.#kept,
      properties: joined([...this.#properties, ...marks]),
      truncated: this.#truncated,
    };
  }
}
