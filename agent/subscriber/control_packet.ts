/**
 * Packets other than PUBLISH and PUBREL, on their way to npm:mqtt. Each is parsed here first, with the same parser: what
 * that one throws for a hostile packet would end the process when it is thrown out of a stream.
 */
import { Buffer } from "node:buffer";
import { type IConnackPacket, type IDisconnectPacket, type Packet, parser as makeParser } from "mqtt-packet";
import { controlPacketBytesMax } from "../limits.ts";
import { reasonOf } from "../base/errors.ts";
import { type Frame, packetType, type ProtocolVersion } from "./framing.ts";
import type { Malformed } from "./publish_decoder.ts";

const fromServer = new Map<number, string>([
  [packetType.connack, "CONNACK"],
  [packetType.puback, "PUBACK"],
  [packetType.pubrec, "PUBREC"],
  [packetType.pubcomp, "PUBCOMP"],
  [packetType.suback, "SUBACK"],
  [packetType.unsuback, "UNSUBACK"],
  [packetType.pingresp, "PINGRESP"],
  [packetType.disconnect, "DISCONNECT"],
  [packetType.auth, "AUTH"],
]);

/** What is wrong with the fixed header of a packet that is neither PUBLISH nor PUBREL, before its body has arrived. */
export function headerFault(frame: Frame, version: ProtocolVersion): Malformed | undefined {
  const { type } = frame;
  const name = fromServer.get(type);
  if (name === undefined || (version === 4 && (type === packetType.disconnect || type === packetType.auth))) {
    return { reason: `a packet of type ${type}, which a broker may not send` };
  }
  if (frame.flags !== 0) return { reason: `${name} with wrong flags` };
  const bodyBytes = frame.bodyEnd - frame.bodyStart;
  if (bodyBytes > controlPacketBytesMax) {
    return { reason: `${name} of ${bodyBytes} bytes (at most ${controlPacketBytesMax})` };
  }
  return undefined;
}

/** Parses one whole packet (header included), or says what is wrong with it. Never throws. */
export function parseControlPacket(bytes: Uint8Array, version: ProtocolVersion): Packet | Malformed {
  const type = bytes[0]! >> 4;
  let parsed: Packet | undefined;
  let fault: string | undefined;
  try {
    const parser = makeParser({ protocolVersion: version });
    parser.on("packet", (packet) => parsed = packet);
    parser.on("error", (error) => fault ??= reasonOf(error));
    parser.parse(Buffer.from(bytes));
  } catch (error) {
    fault ??= reasonOf(error);
  }
  if (parsed !== undefined && fault === undefined) return parsed;
  return { reason: `${fromServer.get(type) ?? `type ${type}`}: ${fault ?? "too short"}` };
}

/** Names of the reason codes (2.4) and, below 6, return codes of 3.1.1 (3.2.2.3) that a person may meet. */
const reasonNames: Record<number, string> = {
  1: "unacceptable protocol version",
  2: "client id refused",
  3: "server unavailable",
  4: "bad user name or password",
  5: "not authorized",
  128: "unspecified error",
  129: "malformed packet",
  130: "protocol error",
  131: "implementation specific error",
  132: "unsupported protocol version",
  133: "client id not valid",
  134: "bad user name or password",
  135: "not authorized",
  136: "server unavailable",
  137: "server busy",
  138: "banned",
  139: "server shutting down",
  140: "bad authentication method",
  141: "keep-alive timeout",
  142: "session taken over",
  143: "topic filter invalid",
  144: "topic name invalid",
  147: "receive maximum exceeded",
  149: "packet too large",
  150: "message rate too high",
  151: "quota exceeded",
  152: "administrative action",
  155: "QoS not supported",
  156: "use another server",
  157: "server moved",
  158: "shared subscriptions not supported",
  159: "connection rate exceeded",
  160: "maximum connect time",
  162: "wildcard subscriptions not supported",
};

/** A reason code with its name, such as "not authorized (135)". */
export function reasonName(code: number): string {
  return `${reasonNames[code] ?? "unknown reason"} (${code})`;
}

/** What a CONNACK or DISCONNECT says: its code, the broker's own words, and where it sends us. */
export function spokenReason(packet: IConnackPacket | IDisconnectPacket): { code: number; text: string } {
  const code = ("returnCode" in packet ? packet.returnCode : undefined) ?? packet.reasonCode ?? 0;
  const words = packet.properties?.reasonString;
  const elsewhere = packet.properties?.serverReference;
  const more = [words, elsewhere === undefined ? undefined : `it names ${elsewhere}`]
    .filter((text) => typeof text === "string")
    .map((text) => text!.replace(/[^\x20-\x7e]+/g, " ").slice(0, 200));
  return { code, text: [reasonName(code), ...more].join(": ") };
}
