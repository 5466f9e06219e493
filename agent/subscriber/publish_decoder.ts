/**
 * PUBLISH (3.3) and PUBREL (3.6) on the bytes where they lie: nothing is copied and nothing allocated per message.
 * What the specification calls malformed or a protocol error comes out as a reason.
 */
import { propertiesBytesMax } from "../limits.ts";
import type { Frame, ProtocolVersion } from "./framing.ts";
import { propertiesFault } from "./message_properties.ts";
import { topicNameFault } from "./topic_filter.ts";

/** One PUBLISH as offsets into the buffer in which it lies. One object is used for all of them. */
export class Publish {
  qos: 0 | 1 | 2 = 0;
  retain = false;
  duplicate = false;
  /** 0 at QoS 0. */
  packetId = 0;
  topicStart = 0;
  topicEnd = 0;
  /** Behind the length of the properties; both are payloadStart in MQTT 3.1.1. */
  propertiesStart = 0;
  propertiesEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;
}

/** What is wrong with a packet; the connection must be closed (4.13.1). */
export interface Malformed {
  reason: string;
}

/** More bytes are needed before the head (all but properties and payload) can be read. */
export const short = Symbol("short");

/**
 * Reads the head of the PUBLISH that `frame` describes, of which the bytes below `end` have arrived: all but the content
 * of its properties, which may be too long to arrive in one piece. Fills `into`; undefined means that it is well.
 */
export function decodeHead(
  bytes: Uint8Array,
  frame: Frame,
  end: number,
  version: ProtocolVersion,
  into: Publish,
): Malformed | typeof short | undefined {
  const { first, bodyStart, bodyEnd } = frame;
  const qos = (first >> 1) & 3;
  if (qos === 3) return { reason: "PUBLISH with QoS 3" };
  into.qos = qos as 0 | 1 | 2;
  into.retain = (first & 1) !== 0;
  into.duplicate = (first & 8) !== 0 && qos > 0;
  const idBytes = qos > 0 ? 2 : 0;
  if (bodyEnd - bodyStart < 2) return { reason: "PUBLISH that ends before its topic" };
  if (end < bodyStart + 2) return short;
  into.topicStart = bodyStart + 2;
  const topicEnd = into.topicStart + (bytes[bodyStart]! << 8 | bytes[bodyStart + 1]!);
  let at = topicEnd + idBytes;
  if (at > bodyEnd) return { reason: "PUBLISH whose topic is longer than the packet" };
  if (end < at) return short;
  into.topicEnd = topicEnd;
  const topicFault = topicNameFault(bytes, into.topicStart, topicEnd);
  if (topicFault !== undefined) return { reason: `PUBLISH whose topic ${topicFault}` };
  into.packetId = qos > 0 ? bytes[topicEnd]! << 8 | bytes[topicEnd + 1]! : 0;
  if (qos > 0 && into.packetId === 0) return { reason: "PUBLISH with packet id 0" };
  into.propertiesEnd = at;
  if (version === 5) {
    at = readPropertiesLength(bytes, at, end, bodyEnd, into);
    if (at === -1) return short;
    if (at === -2) return { reason: "PUBLISH whose properties are longer than the packet" };
  }
  into.propertiesStart = at;
  into.payloadStart = version === 5 ? into.propertiesEnd : at;
  into.payloadEnd = bodyEnd;
  return undefined;
}

/** Sets `propertiesEnd` and returns where the properties begin; -1: short, -2: malformed. */
function readPropertiesLength(
  bytes: Uint8Array,
  at: number,
  end: number,
  bodyEnd: number,
  into: Publish,
): number {
  let length = 0;
  let factor = 1;
  for (let i = 0; i < 4; i++) {
    if (at >= bodyEnd) return -2;
    if (at >= end) return -1;
    const byte = bytes[at++]!;
    length += (byte & 127) * factor;
    factor *= 128;
    if (byte < 128) {
      into.propertiesEnd = at + length;
      return into.propertiesEnd > bodyEnd ? -2 : at;
    }
  }
  return -2;
}

/** Whether the properties of the message are kept; longer ones are passed over unread. */
export function propertiesFit(publish: Publish): boolean {
  return publish.propertiesEnd - publish.propertiesStart <= propertiesBytesMax;
}

/** Checks the properties of a PUBLISH, once they have arrived. */
export function checkProperties(bytes: Uint8Array, publish: Publish): Malformed | undefined {
  if (publish.propertiesStart === publish.propertiesEnd) return undefined;
  const fault = propertiesFault(bytes, publish.propertiesStart, publish.propertiesEnd);
  return fault === undefined ? undefined : { reason: `PUBLISH ${fault}` };
}

/** The packet is unknown to the broker (3.6.2.1); a release all the same, for there is nothing left to wait for. */
const packetIdentifierNotFound = 0x92;

/** The packet id of a whole PUBREL, or what is wrong with it. Its properties, if any, are not looked at. */
export function decodePubrel(bytes: Uint8Array, frame: Frame, version: ProtocolVersion): number | Malformed {
  const length = frame.bodyEnd - frame.bodyStart;
  if (frame.flags !== 2) return { reason: "PUBREL with wrong flags" };
  if (length < 2 || (version === 4 && length !== 2)) return { reason: "PUBREL of a wrong length" };
  const packetId = bytes[frame.bodyStart]! << 8 | bytes[frame.bodyStart + 1]!;
  const reason = length > 2 ? bytes[frame.bodyStart + 2]! : 0;
  if (reason !== 0 && reason !== packetIdentifierNotFound) {
    return { reason: `PUBREL with reason code ${reason}` };
  }
  return packetId === 0 ? { reason: "PUBREL with packet id 0" } : packetId;
}
