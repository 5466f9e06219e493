/** The MQTT 5 properties of a PUBLISH (3.3.2.3): checked on the bytes, and turned into what a record keeps. */
import { propertiesBytesMax } from "../limits.ts";
import {
  encodeNumberProperty,
  encodeProperty,
  encodeUserProperty,
  propertyTypes,
} from "../spool/properties.ts";
import { utf8Fault } from "./utf8.ts";

/** Identifiers (2.2.2.2) of those that a PUBLISH may carry. */
const identifiers = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  topicAlias: 0x23,
  user: 0x26,
} as const;

/** One property as offsets of its value; a user property's are those of its key and its value. */
class Cursor {
  identifier = 0;
  start = 0;
  end = 0;
  keyStart = 0;
  keyEnd = 0;
  /** Offset of the next property. */
  next = 0;

  /** Reads the property at `at`; returns what is wrong with it, or undefined. */
  read(bytes: Uint8Array, at: number, end: number): string | undefined {
    this.identifier = bytes[at]!;
    this.start = at + 1;
    switch (this.identifier) {
      case identifiers.payloadFormat:
        return this.#take(this.start + 1, end);
      case identifiers.messageExpiry:
        return this.#take(this.start + 4, end);
      case identifiers.topicAlias:
        return this.#take(this.start + 2, end);
      case identifiers.subscriptionIdentifier:
        return this.#takeVariableByteInteger(bytes, end);
      case identifiers.correlationData:
        return this.#takeWithLength(bytes, this.start, end);
      case identifiers.contentType:
      case identifiers.responseTopic:
        return this.#takeText(bytes, this.start, end);
      case identifiers.user:
        return this.#takePair(bytes, end);
      default:
        return `with a property ${this.identifier} that it may not have`;
    }
  }

  #take(valueEnd: number, end: number): string | undefined {
    this.end = valueEnd;
    this.next = valueEnd;
    return valueEnd > end ? "with a property that ends too early" : undefined;
  }

  #takeWithLength(bytes: Uint8Array, at: number, end: number): string | undefined {
    if (at + 2 > end) return "with a property that ends too early";
    this.start = at + 2;
    return this.#take(this.start + (bytes[at]! << 8 | bytes[at + 1]!), end);
  }

  #takeText(bytes: Uint8Array, at: number, end: number): string | undefined {
    const fault = this.#takeWithLength(bytes, at, end) ?? utf8Fault(bytes, this.start, this.end);
    return fault === undefined || fault.startsWith("with") ? fault : `with a property that ${fault}`;
  }

  #takePair(bytes: Uint8Array, end: number): string | undefined {
    const fault = this.#takeText(bytes, this.start, end);
    if (fault !== undefined) return fault;
    this.keyStart = this.start;
    this.keyEnd = this.end;
    return this.#takeText(bytes, this.keyEnd, end);
  }

  #takeVariableByteInteger(bytes: Uint8Array, end: number): string | undefined {
    for (let at = this.start; at < Math.min(end, this.start + 4); at++) {
      if (bytes[at]! < 128) return this.#take(at + 1, end);
    }
    return "with a property that ends too early";
  }
}

const cursor = new Cursor();

/** Why the properties in `start`..`end` are not those of a PUBLISH from a server, or undefined. */
export function propertiesFault(bytes: Uint8Array, start: number, end: number): string | undefined {
  let seen = 0;
  for (let at = start; at < end; at = cursor.next) {
    const fault = cursor.read(bytes, at, end);
    if (fault !== undefined) return fault;
    const { identifier } = cursor;
    if (identifier === identifiers.topicAlias) return "with a topic alias, and none was allowed";
    if (identifier === identifiers.payloadFormat && bytes[cursor.start]! > 1) {
      return "with an unknown payload format";
    }
    if (identifier === identifiers.subscriptionIdentifier && bytes[cursor.start] === 0) {
      return "with a subscription identifier of 0";
    }
    if (identifier === identifiers.user || identifier === identifiers.subscriptionIdentifier) continue;
    const bit = 1 << identifier;
    if ((seen & bit) !== 0) return `with property ${identifier} twice`;
    seen |= bit;
  }
  return undefined;
}

const none = new Uint8Array(0);

/**
 * What a record keeps of well-formed properties, as typed properties of the spool. Subscription identifiers are left
 * out, and, with their number of bytes on record, those beyond `propertiesBytesMax`.
 */
export function keptProperties(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (start === end) return none;
  const kept: Uint8Array[] = [];
  let keptBytes = 0;
  let leftOutBytes = 0;
  for (let at = start; at < end; at = cursor.next) {
    cursor.read(bytes, at, end);
    const encoded = encode(bytes, cursor);
    if (encoded === undefined) continue;
    if (keptBytes + encoded.length > propertiesBytesMax) {
      leftOutBytes += cursor.next - at;
    } else {
      kept.push(encoded);
      keptBytes += encoded.length;
    }
  }
  if (leftOutBytes > 0) kept.push(leftOut(leftOutBytes));
  return joined(kept);
}

function encode(
  bytes: Uint8Array,
  { identifier, start, end, keyStart, keyEnd }: Cursor,
): Uint8Array | undefined {
  const value = bytes.subarray(start, end);
  switch (identifier) {
    case identifiers.payloadFormat:
      return encodeNumberProperty(propertyTypes.payloadFormat, value[0]!, 1);
    case identifiers.messageExpiry:
      return encodeNumberProperty(
        propertyTypes.messageExpiryS,
        value.reduce((sum, byte) => sum * 256 + byte, 0),
        4,
      );
    case identifiers.contentType:
      return encodeProperty(propertyTypes.contentType, value);
    case identifiers.responseTopic:
      return encodeProperty(propertyTypes.responseTopic, value);
    case identifiers.correlationData:
      return encodeProperty(propertyTypes.correlationData, value);
    case identifiers.user:
      return encodeUserProperty(bytes.subarray(keyStart, keyEnd), value);
    default:
      return undefined;
  }
}

/** Says how many bytes of a message's properties the record lacks. */
export function leftOut(leftOutBytes: number): Uint8Array {
  return encodeNumberProperty(propertyTypes.leftOutBytes, leftOutBytes, 4);
}

/** The marks of a truncated payload. */
export function truncationMarks(fullBytes: number, sha256: Uint8Array): Uint8Array[] {
  return [
    encodeNumberProperty(propertyTypes.fullSize, fullBytes, 8),
    encodeProperty(propertyTypes.sha256, sha256),
  ];
}

/** All of them one after the other. */
export function joined(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
