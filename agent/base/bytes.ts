/** Views of bytes. */

/** What `bytes.subarray(from, to)` gives, at half the cost: for what is done with every message. */
export function part(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from);
}
