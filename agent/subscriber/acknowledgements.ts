/** The acknowledgements of one batch, in the order in which the packets came (4.6), ready for one write. */
import { packetType } from "./framing.ts";

/** Reason code (3.7.2.1) for a PUBREL whose packet id nobody holds. */
const packetIdentifierNotFound = 0x92;

export class Acknowledgements {
  #bytes = new Uint8Array(16 * 1024);
  #length = 0;
  #messages = 0;

  /** PUBACK (3.4): a message at QoS 1 is the receiver's now. */
  puback(packetId: number): void {
    this.#add(packetType.puback, packetId);
    this.#messages++;
  }

  /** PUBREC (3.5): a message at QoS 2 is the receiver's now. */
  pubrec(packetId: number): void {
    this.#add(packetType.pubrec, packetId);
    this.#messages++;
  }

  /** PUBCOMP (3.7): the packet id is free. */
  pubcomp(packetId: number): void {
    this.#add(packetType.pubcomp, packetId);
  }

  /** PUBCOMP of MQTT 5 for a packet id that was not held. */
  pubcompNotFound(packetId: number): void {
    this.#add(packetType.pubcomp, packetId);
    this.#bytes[this.#length - 3] = 3;
    this.#bytes[this.#length++] = packetIdentifierNotFound;
  }

  /** The packets so far; valid until the next one is added. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get empty(): boolean {
    return this.#length === 0;
  }

  /** Messages that they acknowledge; PUBCOMP acknowledges none. */
  get messages(): number {
    return this.#messages;
  }

  clear(): void {
    this.#length = 0;
    this.#messages = 0;
  }

  #add(type: number, packetId: number): void {
    if (this.#length + 5 > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    const bytes = this.#bytes;
    bytes[this.#length++] = type << 4;
    bytes[this.#length++] = 2;
    bytes[this.#length++] = packetId >> 8;
    bytes[this.#length++] = packetId & 255;
  }
}
