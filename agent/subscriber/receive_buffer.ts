/** What has been read from the socket and not been taken yet: one buffer, used again and again. */
import { gateBufferBytes } from "../limits.ts";

export class ReceiveBuffer {
  readonly #base = new Uint8Array(gateBufferBytes);
  /** Larger than the base while one large packet is on its way. */
  bytes: Uint8Array<ArrayBuffer> = this.#base;
  /** What has arrived stands in `start`..`end`. */
  start = 0;
  end = 0;

  /** Bytes that have arrived and were not taken. */
  get held(): number {
    return this.end - this.start;
  }

  /**
   * Where the next read goes. `packetBytes` is the length of the packet that begins at `start`, as far as it is known: the
   * buffer grows to hold it whole, and shrinks again behind it.
   */
  space(packetBytes: number): Uint8Array<ArrayBuffer> {
    const { held } = this;
    const needed = Math.max(packetBytes, held);
    if (needed > this.bytes.length) {
      this.#move(new Uint8Array(needed));
    } else if (this.bytes !== this.#base && needed <= this.#base.length / 2) {
      this.#move(this.#base);
    } else if (held === 0) {
      this.start = this.end = 0;
    } else if (this.start > 0) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end = held;
      this.start = 0;
    }
    return this.bytes.subarray(this.end);
  }

  /** Gives back what is held, as for a new connection. */
  clear(): void {
    this.start = this.end = 0;
    this.bytes = this.#base;
  }

  #move(to: Uint8Array<ArrayBuffer>): void {
    to.set(this.bytes.subarray(this.start, this.end));
    this.end = this.held;
    this.start = 0;
    this.bytes = to;
  }
}
