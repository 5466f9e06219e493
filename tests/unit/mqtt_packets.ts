/** Packets for tests, made and read by npm:mqtt-packet: the second opinion on everything that the subscriber decodes. */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { generate, type IPublishPacket, type Packet, parser as makeParser } from "mqtt-packet";
import type { ProtocolVersion } from "../../agent/subscriber/framing.ts";

/** The bytes of one packet. */
export function bytesOf(packet: Packet, version: ProtocolVersion): Uint8Array {
  return new Uint8Array(generate(packet, { protocolVersion: version }));
}

/** What npm:mqtt-packet reads from a stream: its packets, and its error where it gives up. */
export function readByReference(
  stream: Uint8Array,
  version: ProtocolVersion,
): { packets: Packet[]; error: string | undefined } {
  const packets: Packet[] = [];
  let error: string | undefined;
  const parser = makeParser({ protocolVersion: version });
  parser.on("packet", (packet) => packets.push(packet));
  parser.on("error", (found) => error ??= found.message);
  try {
    parser.parse(Buffer.from(stream));
  } catch (thrown) {
    error ??= String(thrown);
  }
  return { packets, error };
}

/**
 * Like `readByReference`, but with one parser per packet: within a damaged stream npm:mqtt-packet reads on into the packets
 * behind. Ends before the first one that it refuses.
 */
export function readOneByOne(stream: Uint8Array, version: ProtocolVersion): Packet[] {
  const packets: Packet[] = [];
  for (let at = 0; at < stream.length;) {
    let length = 0;
    let lengthBytes = 0;
    do {
      length += (stream[at + 1 + lengthBytes]! & 127) * 128 ** lengthBytes;
    } while (stream[at + 1 + lengthBytes++]! > 127 && lengthBytes < 4);
    const end = at + 1 + lengthBytes + length;
    if (!(end <= stream.length)) break;
    const one = readByReference(stream.slice(at, end), version);
    if (one.error !== undefined || one.packets.length !== 1) break;
    packets.push(one.packets[0]!);
    at = end;
  }
  return packets;
}

const text = fc.string({ unit: "grapheme", maxLength: 12 }).map((one) => one.replaceAll("\0", ""));
const topic = fc.array(text.map((one) => one.replace(/[+#]/g, "")), { minLength: 1, maxLength: 3 })
  .map((levels) => levels.join("/"))
  .filter((one) => one.length > 0);
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);
const packetId = fc.integer({ min: 1, max: 65_535 });
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

const properties = fc.record({
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: fc.integer({ min: 1, max: 0xffff_ffff }),
  contentType: text,
  responseTopic: topic,
  correlationData: fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
  subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }),
  userProperties: fc.dictionary(text.filter((one) => one !== "__proto__"), text, {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  }),
}, { requiredKeys: [] });

/** A PUBLISH as a server may send it. */
export function publishes(version: ProtocolVersion): fc.Arbitrary<IPublishPacket> {
  return fc.record({
    qos,
    retain: fc.boolean(),
    dup: fc.boolean(),
    messageId: packetId,
    topic,
    payload,
    properties,
  })
    .map(({ qos, dup, messageId, properties, ...rest }): IPublishPacket => ({
      cmd: "publish",
      ...rest,
      qos,
      dup: dup && qos > 0,
      ...(qos > 0 ? { messageId } : {}),
      ...(version === 5 && Object.keys(properties).length > 0 ? { properties } : {}),
    }));
}

/** Anything that a server may send after CONNACK. */
export function serverPackets(version: ProtocolVersion): fc.Arbitrary<Packet> {
  const others: fc.Arbitrary<Packet>[] = [
    packetId.map((messageId) => ({ cmd: "pubrel", messageId, qos: 1 } as Packet)),
    packetId.map((messageId) => ({ cmd: "puback", messageId, reasonCode: 0 } as Packet)),
    packetId.map((messageId) => ({ cmd: "suback", messageId, granted: [0, 1, 2] } as Packet)),
    fc.constant({ cmd: "pingresp" } as Packet),
  ];
  return fc.oneof({ weight: 3, arbitrary: publishes(version) }, ...others);
}

/** A CONNACK that accepts. */
export function connack(version: ProtocolVersion, sessionPresent = false): Uint8Array {
  return bytesOf({
    cmd: "connack",
    sessionPresent,
    ...(version === 5 ? { reasonCode: 0 } : { returnCode: 0 }),
  }, version);
}
