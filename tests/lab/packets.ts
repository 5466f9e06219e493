/** MQTT packets as the lab's publisher and proxy need them: our own few lines, none of them shared with the agent. */

/** The packet types' numbers (MQTT 5, 2.1.2). */
export const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  disconnect: 14,
} as const;

export type Protocol = 4 | 5;

/** One packet without its fixed header. */
export interface Packet {
  type: number;
  /** The low four bits of the first byte. */
  flags: number;
  /** Length of the whole body. */
  bodyBytes: number;
  /** The body, or its first bytes when it is longer than the framer keeps. Valid until the next `push`. */
  head: Uint8Array;
}

interface Partial extends Packet {
  seen: number;
}

/** Cuts a stream into packets; of long ones only the first `headBytesMax` bytes are kept. */
export class Framer {
  #header: number[] = [];
  #partial: Partial | undefined;

  constructor(private readonly headBytesMax = 1024 * 1024) {}

  /** All packets that end in this chunk. Throws when the bytes are not MQTT. */
  push(chunk: Uint8Array): Packet[] {
    const packets: Packet[] = [];
    let at = 0;
    while (at < chunk.length) {
      const partial = this.#partial ?? this.#begin(chunk[at++]!);
      if (partial === undefined) continue;
      const part = chunk.subarray(at, at + partial.bodyBytes - partial.seen);
      if (part.length === partial.bodyBytes) partial.head = part.subarray(0, this.headBytesMax);
      else this.#keep(partial, part);
      partial.seen += part.length;
      at += part.length;
      const whole = partial.seen === partial.bodyBytes;
      if (whole) packets.push(partial);
      this.#partial = whole ? undefined : partial;
    }
    return packets;
  }

  #keep(partial: Partial, part: Uint8Array): void {
    if (partial.head.length === 0) {
      partial.head = new Uint8Array(Math.min(partial.bodyBytes, this.headBytesMax));
    }
    if (partial.seen < partial.head.length) {
      partial.head.set(part.subarray(0, partial.head.length - partial.seen), partial.seen);
    }
  }

  /** Takes one more byte of a fixed header; returns the packet when the header is complete. */
  #begin(byte: number): Partial | undefined {
    const header = this.#header;
    header.push(byte);
    if (header.length === 1) return undefined;
    if (byte >= 128) {
      if (header.length > 4) throw new Error("not MQTT: a remaining length of more than four bytes");
      return undefined;
    }
    const bodyBytes = header.slice(1).reduce((sum, digit, i) => sum + (digit & 127) * 128 ** i, 0);
    this.#header = [];
    return { type: header[0]! >> 4, flags: header[0]! & 15, bodyBytes, seen: 0, head: new Uint8Array() };
  }
}

/** A PUBLISH, its payload as far as the framer kept it. */
export interface Publish {
  topic: string;
  qos: number;
  duplicate: boolean;
  retain: boolean;
  /** 0 at QoS 0. */
  id: number;
  payload: Uint8Array;
  payloadBytes: number;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

const uint16 = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!;

function variableInt(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + i]!;
    value += (byte & 127) * 128 ** i;
    if (byte < 128) return { value, next: at + i + 1 };
  }
  throw new Error("not MQTT: a variable byte integer of more than four bytes");
}

export function readPublish(packet: Packet, protocol: Protocol): Publish {
  const { head, flags } = packet;
  const qos = flags >> 1 & 3;
  let at = 2 + uint16(head, 0);
  const topic = decoder.decode(head.subarray(2, at));
  const id = qos === 0 ? 0 : uint16(head, at);
  if (qos > 0) at += 2;
  if (protocol === 5) {
    const properties = variableInt(head, at);
    at = properties.next + properties.value;
  }
  const payload = head.subarray(at);
  const payloadBytes = packet.bodyBytes - at;
  return { topic, qos, duplicate: (flags & 8) !== 0, retain: (flags & 1) !== 0, id, payload, payloadBytes };
}

/** Packet id and reason code (0 when it is left out) of a PUBACK, PUBREC, PUBREL or PUBCOMP. */
export function readAck(packet: Packet): { id: number; reason: number } {
  return { id: uint16(packet.head, 0), reason: packet.head[2] ?? 0 };
}

/** The protocol that a CONNECT asks for. */
export function readConnect(packet: Packet): { protocol: Protocol; cleanStart: boolean } {
  return { protocol: packet.head[6] === 5 ? 5 : 4, cleanStart: (packet.head[7]! & 2) !== 0 };
}

/** Session present, reason code, and (MQTT 5) how many messages at QoS 1 and 2 may be under way to the broker. */
export function readConnack(packet: Packet, protocol: Protocol) {
  const { head } = packet;
  let receiveMax = 65_535;
  // of the properties that a broker may send, only this one matters here; those before it have to be stepped over
  const fixedBytes: Record<number, number> = {
    0x11: 4,
    0x24: 1,
    0x25: 1,
    0x27: 4,
    0x22: 2,
    0x28: 1,
    0x29: 1,
    0x2a: 1,
    0x13: 2,
  };
  if (protocol === 5 && head.length > 3) {
    const properties = variableInt(head, 2);
    const end = properties.next + properties.value;
    for (let at = properties.next; at < end;) {
      const name = head[at++]!;
      if (name === 0x21) receiveMax = uint16(head, at);
      const fixed = name === 0x21 ? 2 : fixedBytes[name];
      at += fixed ?? 2 + uint16(head, at) + (name === 0x26 ? 2 + uint16(head, at + 2 + uint16(head, at)) : 0);
    }
  }
  return { sessionPresent: (head[0]! & 1) !== 0, reason: head[1]!, receiveMax };
}

export interface ConnectOptions {
  protocol: Protocol;
  clientId: string;
  username?: string | undefined;
  password?: string | undefined;
}

function text(value: string): number[] {
  const bytes = encoder.encode(value);
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
}

function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  do {
    bytes.push(length % 128 + (length >= 128 ? 128 : 0));
    length = Math.floor(length / 128);
  } while (length > 0);
  return bytes;
}

/** A CONNECT with a clean session and without keep-alive. */
export function connectPacket(options: ConnectOptions): Uint8Array {
  const { protocol, username, password } = options;
  const flags = 2 | (username === undefined ? 0 : 128) | (password === undefined ? 0 : 64);
  const body = [
    ...text("MQTT"),
    ...[protocol, flags, 0, 0],
    ...protocol === 5 ? [0] : [],
    ...text(options.clientId),
    ...username === undefined ? [] : text(username),
    ...password === undefined ? [] : text(password),
  ];
  return new Uint8Array([packetType.connect << 4, ...lengthBytes(body.length), ...body]);
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP with success. */
export function ackPacket(type: number, id: number): Uint8Array {
  return new Uint8Array([type << 4 | (type === packetType.pubrel ? 2 : 0), 2, id >> 8, id & 255]);
}

export const disconnectPacket = new Uint8Array([packetType.disconnect << 4, 0]);

/** The most that a PUBLISH takes beyond topic, payload and properties. */
export const publishOverheadBytes = 16;

export interface PublishFields {
  topic: Uint8Array;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
  id: number;
  /** Encoded properties without their length; MQTT 5 only. */
  properties: Uint8Array;
}

/** Writes a PUBLISH into `into` from `at` on; returns where it ends. */
export function writePublish(
  into: Uint8Array,
  at: number,
  fields: PublishFields,
  protocol: Protocol,
): number {
  const { topic, payload, qos, id, properties } = fields;
  const propertyLength = protocol === 5 ? lengthBytes(properties.length) : [];
  const propertyBytes = protocol === 5 ? propertyLength.length + properties.length : 0;
  let length = 2 + topic.length + (qos === 0 ? 0 : 2) + propertyBytes + payload.length;
  into[at++] = packetType.publish << 4 | qos << 1 | (fields.retain ? 1 : 0);
  do {
    into[at++] = length % 128 + (length >= 128 ? 128 : 0);
    length = Math.floor(length / 128);
  } while (length > 0);
  into[at++] = topic.length >> 8;
  into[at++] = topic.length & 255;
  into.set(topic, at);
  at += topic.length;
  if (qos > 0) {
    into[at++] = id >> 8;
    into[at++] = id & 255;
  }
  for (const byte of propertyLength) into[at++] = byte;
  if (protocol === 5) {
    into.set(properties, at);
    at += properties.length;
  }
  into.set(payload, at);
  return at + payload.length;
}

/** User properties (MQTT 5, 3.3.2.3.7) as `writePublish` takes them. */
export function userProperties(pairs: [string, string][]): Uint8Array {
  return new Uint8Array(pairs.flatMap(([name, value]) => [0x26, ...text(name), ...text(value)]));
}
