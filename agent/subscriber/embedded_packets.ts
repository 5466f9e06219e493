/**
 * Cuts what a client of the agent's own broker sends into whole packets, and refuses what no client may send before it has
 * arrived: memory grows with what has come, never with what was announced.
 */
import { controlPacketBytesMax, embeddedPublishBytesMax, embeddedReadBytes } from "../limits.ts";
import { Frame, packetType } from "./framing.ts";
import { decodeHead, Publish, short } from "./publish_decoder.ts";

/** A client broke the protocol or went beyond a limit: the connection must be closed. */
export class ProtocolError extends Error {}

/** What a client may send beside CONNECT and PUBLISH: the acknowledgements, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT. */
const fromClients = new Set<number>([
  packetType.publish,
  packetType.puback,
  packetType.pubrec,
  packetType.pubrel,
  packetType.pubcomp,
  8,
  10,
  12,
  packetType.disconnect,
]);
const connect = 1;

/** Whole packets, copied: they stay valid. */
export interface Cut {
  bytes: Uint8Array;
  publishes: number;
}

export class PacketCutter {
  #buffer = new Uint8Array(embeddedReadBytes);
  #start = 0;
  #end = 0;
  #connected = false;
  readonly #frame = new Frame();
  readonly #publish = new Publish();

  /** Bytes that have come and do not make a packet yet. */
  get heldBytes(): number {
    return this.#end - this.#start;
  }

  /** Takes what was read; copies it. */
  add(bytes: Uint8Array): void {
    const { heldBytes } = this;
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      [this.#start, this.#end] = [0, heldBytes];
    }
    const needed = heldBytes + bytes.length;
    if (needed > this.#buffer.length) this.#resize(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /**
   * The next packets that are whole, at most so many; of the first ones CONNECT alone. Undefined when none is. Throws
   * ProtocolError.
   */
  take(packetsMax: number): Cut | undefined {
    const from = this.#start;
    const most = this.#connected ? packetsMax : 1;
    let publishes = 0;
    for (let packets = 0; packets < most && this.#packet(); packets++) {
      if (this.#frame.type === packetType.publish) publishes++;
      this.#start = this.#frame.bodyEnd;
    }
    if (this.#start === from) return undefined;
    const bytes = this.#buffer.slice(from, this.#start);
    if (this.heldBytes === 0 && this.#buffer.length > embeddedReadBytes) this.#resize(embeddedReadBytes);
    return { bytes, publishes };
  }

  /** Whether a whole packet stands at the start; `frame` describes it then. */
  #packet(): boolean {
    const [frame, buffer, at] = [this.#frame, this.#buffer, this.#start];
    const header = frame.read(buffer, at, this.#end);
    if (header === "malformed") throw new ProtocolError("a packet without a valid length");
    if (header === "short") return false;
    const { type } = frame;
    if (this.#connected ? !fromClients.has(type) : type !== connect) {
      throw new ProtocolError(`a packet of type ${type} where none may come`);
    }
    const most = type === packetType.publish ? embeddedPublishBytesMax : controlPacketBytesMax;
    const length = frame.bodyEnd - frame.bodyStart;
    if (length > most) throw new ProtocolError(`a packet of ${length} bytes; at most ${most} are taken`);
    if (type === packetType.publish) {
      const fault = decodeHead(buffer, frame, Math.min(this.#end, frame.bodyEnd), 4, this.#publish);
      if (fault !== undefined && fault !== short) throw new ProtocolError(fault.reason);
    }
    if (frame.bodyEnd > this.#end) return false;
    this.#connected = true;
    return true;
  }

  #resize(sizeBytes: number): void {
    const buffer = new Uint8Array(sizeBytes);
    buffer.set(this.#buffer.subarray(this.#start, this.#end));
    this.#end = this.heldBytes;
    this.#start = 0;
    this.#buffer = buffer;
  }
}
