/**
 * Typed properties of a reading: type (2 bytes), length (4 bytes), value, one after the other. A reader skips types that it
 * does not know, so that later ones need no new version of the format.
 */

/** Types of properties. Numbers are stored for ever: never used again for something else. */
export const propertyTypes = {
  /** Key and value of one MQTT 5 user property: 2 bytes length of the key, key, value (both UTF-8). */
  user: 1,
  /** UTF-8. */
  contentType: 2,
  /** Seconds, 4 bytes. */
  messageExpiryS: 3,
  /** Size of the whole payload of a truncated reading, 8 bytes. */
  fullSize: 4,
  /** SHA-256 of the whole payload of a truncated reading, 32 bytes. */
  sha256: 5,
  /** Wall time in ms since 1970 at which the agent was last connected, of a queued reading, 8 bytes. The spool adds it. */
  lastConnectedMs: 6,
  /** UTF-8. */
  responseTopic: 7,
  correlationData: 8,
  /** 1 byte: 1 says that the payload is UTF-8. */
  payloadFormat: 9,
  /** Bytes of MQTT 5 properties that were left out for want of room, 4 bytes. */
  leftOutBytes: 10,
} as const;

const headBytes = 6;

/** One property. */
export interface Property {
  type: number;
  value: Uint8Array;
}

/** The bytes of one property. */
export function encodeProperty(type: number, value: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(headBytes + value.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, type, true);
  view.setUint32(2, value.length, true);
  bytes.set(value, headBytes);
  return bytes;
}

/** The bytes of a property whose value is an unsigned number of 1, 4 or 8 bytes, below 2^53. */
export function encodeNumberProperty(
  type: number,
  value: number,
  valueBytes: 1 | 4 | 8,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.max(0, Math.floor(value))), true);
  return encodeProperty(type, bytes.subarray(0, valueBytes));
}

/** The bytes of one MQTT 5 user property; key and value are UTF-8 of at most 65,535 bytes each. */
export function encodeUserProperty(key: Uint8Array, value: Uint8Array): Uint8Array<ArrayBuffer> {
  const pair = new Uint8Array(2 + key.length + value.length);
  new DataView(pair.buffer).setUint16(0, key.length, true);
  pair.set(key, 2);
  pair.set(value, 2 + key.length);
  return encodeProperty(propertyTypes.user, pair);
}

/** All properties in order, as views. What does not fit its length ends the list: it never throws. */
export function* decodeProperties(bytes: Uint8Array): Generator<Property> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + headBytes <= bytes.length;) {
    const end = at + headBytes + view.getUint32(at + 2, true);
    if (end > bytes.length) return;
    yield { type: view.getUint16(at, true), value: bytes.subarray(at + headBytes, end) };
    at = end;
  }
}

/** The value of the first property of that type. */
export function findProperty(bytes: Uint8Array, type: number): Uint8Array | undefined {
  if (bytes.length === 0) return undefined;
  for (const property of decodeProperties(bytes)) {
    if (property.type === type) return property.value;
  }
  return undefined;
}

/** The number of the first property of that type; undefined when there is none or its value is no number. */
export function findNumberProperty(bytes: Uint8Array, type: number): number | undefined {
  const value = findProperty(bytes, type);
  return value === undefined || value.length === 0 || value.length > 8 ? undefined : decodeNumber(value);
}

/** Key and value of a user property's value as views; undefined when it is not well formed. */
export function decodeUserProperty(value: Uint8Array): { key: Uint8Array; value: Uint8Array } | undefined {
  if (value.length < 2) return undefined;
  const keyEnd = 2 + value[0]! + value[1]! * 256;
  return keyEnd > value.length
    ? undefined
    : { key: value.subarray(2, keyEnd), value: value.subarray(keyEnd) };
}

function decodeNumber(value: Uint8Array): number {
  return value.reduceRight((number, byte) => number * 256 + byte, 0);
}
