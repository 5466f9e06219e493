/** Checks of UTF-8 Encoded Strings (1.5.4), on the bytes, without making a string. */

/**
 * Why the bytes `start`..`end` are no UTF-8 Encoded String, or undefined when they are. Refused: what is not well-formed
 * UTF-8 (overlong forms, surrogates and values beyond U+10FFFF included) and U+0000.
 */
export function utf8Fault(bytes: Uint8Array, start: number, end: number): string | undefined {
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte < 0x80) {
      if (byte === 0) return "contains U+0000";
      at++;
      continue;
    }
    const length = sequenceBytes(bytes, at, end);
    if (length === 0) return "is not UTF-8";
    at += length;
  }
  return undefined;
}

/** Length of the well-formed sequence of two to four bytes at `at` (RFC 3629, section 4), or 0. */
function sequenceBytes(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > end) return 0;
  const second = bytes[at + 1]!;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let i = 2; i < length; i++) {
    if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  }
  return length;
}
