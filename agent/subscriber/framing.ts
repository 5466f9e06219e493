/** The frame of every MQTT packet (2.1 Structure of an MQTT Control Packet): first byte, remaining length, body. */

/** Packet types (2.1.2), the upper four bits of the first byte. */
export const packetType = {
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  suback: 9,
  unsuback: 11,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

/** The longest fixed header: one byte and four of remaining length (1.5.5 Variable Byte Integer). */
export const headerBytesMax = 5;

/** The protocol level as CONNECT names it: 4 is MQTT 3.1.1, 5 is MQTT 5. */
export type ProtocolVersion = 4 | 5;

/** Where one packet stands in a buffer. One object is used for all packets: nothing is allocated per message. */
export class Frame {
  /** The first byte: type and flags. */
  first = 0;
  /** Offset of the body, behind the fixed header. */
  bodyStart = 0;
  /** Offset behind the body; may lie beyond what has arrived. */
  bodyEnd = 0;

  get type(): number {
    return this.first >> 4;
  }

  get flags(): number {
    return this.first & 15;
  }

  /**
   * Reads the fixed header at offset `at` of `bytes`, of which those below `end` have arrived.
   * "short": not all of the header is there yet; "malformed": a remaining length of more than four bytes.
   */
  read(bytes: Uint8Array, at: number, end: number): "whole" | "short" | "malformed" {
    if (end - at < 2) return "short";
    this.first = bytes[at]!;
    const one = bytes[at + 1]!;
    if (one < 128) {
      this.bodyStart = at + 2;
      this.bodyEnd = at + 2 + one;
      return "whole";
    }
    let length = one & 127;
    for (let i = 1; i < 4; i++) {
      const offset = at + 1 + i;
      if (offset >= end) return "short";
      const byte = bytes[offset]!;
      length += (byte & 127) * 128 ** i;
      if (byte < 128) {
        this.bodyStart = offset + 1;
        this.bodyEnd = this.bodyStart + length;
        return "whole";
      }
    }
    return "malformed";
  }
}

/**
 * Cuts the bytes that npm:mqtt writes into whole packets: it writes a packet in many pieces, and the gate's own packets
 * may stand only between two whole ones.
 */
export class OutgoingFramer {
  #waiting = new Uint8Array(0);
  readonly #frame = new Frame();

  /** Takes the next bytes, and returns the packets that are whole now. Throws RangeError for what is no packet. */
  add(bytes: Uint8Array): Uint8Array[] {
    const all = this.#waiting.length === 0 ? bytes.slice() : concatenate(this.#waiting, bytes);
    const packets: Uint8Array[] = [];
    let at = 0;
    while (true) {
      const header = this.#frame.read(all, at, all.length);
      if (header === "malformed") {
        throw new RangeError("the MQTT client wrote a packet without a valid length");
      }
      if (header === "short" || this.#frame.bodyEnd > all.length) break;
      packets.push(all.subarray(at, this.#frame.bodyEnd));
      at = this.#frame.bodyEnd;
    }
    this.#waiting = all.subarray(at);
    return packets;
  }

  /** Whether a packet has begun that is not whole yet. */
  get partial(): boolean {
    return this.#waiting.length > 0;
  }
}

function concatenate(one: Uint8Array, two: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(one.length + two.length);
  all.set(one);
  all.set(two, one.length);
  return all;
}
