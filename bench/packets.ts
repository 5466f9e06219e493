/** MQTT packets as the bench's own broker and publisher need them, prepared once so that sending them costs little. */

/** 4 is MQTT 3.1.1, 5 is MQTT 5. */
export type Protocol = 4 | 5;
export type Qos = 0 | 1 | 2;

/** First byte of a packet without its flags. */
export const packetType = {
  connect: 0x10,
  connack: 0x20,
  publish: 0x30,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x60,
  pubcomp: 0x70,
  subscribe: 0x80,
  suback: 0x90,
  unsubscribe: 0xa0,
  unsuback: 0xb0,
  pingreq: 0xc0,
  pingresp: 0xd0,
  disconnect: 0xe0,
} as const;

export interface Message {
  topic: string;
  payload: Uint8Array | string;
}

const encoder = new TextEncoder();

/** A remaining length as variable byte integer (MQTT 5, 1.5.5). */
export function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  do {
    const low = length % 128;
    length = (length - low) / 128;
    bytes.push(length > 0 ? low | 0x80 : low);
  } while (length > 0);
  return bytes;
}

/** One packet: first byte, remaining length, body. */
export function packet(first: number, ...body: (Uint8Array | number[])[]): Uint8Array {
  const length = body.reduce((sum, part) => sum + part.length, 0);
  return Uint8Array.from([first, ...lengthBytes(length), ...body.flatMap((part) => [...part])]);
}

const twoBytes = (value: number): number[] => [value >> 8, value & 0xff];

function text(value: string): Uint8Array {
  const bytes = encoder.encode(value);
  return Uint8Array.from([...twoBytes(bytes.length), ...bytes]);
}

/** Bytes of one PUBLISH; `packetId` is left out at QoS 0. */
export function publishBytes(protocol: Protocol, qos: Qos, message: Message, packetId: number): Uint8Array {
  const topic = text(message.topic);
  const payload = typeof message.payload === "string" ? encoder.encode(message.payload) : message.payload;
  const head = [...(qos === 0 ? [] : twoBytes(packetId)), ...(protocol === 5 ? [0] : [])];
  const length = topic.length + head.length + payload.length;
  const first = [packetType.publish | (qos << 1), ...lengthBytes(length)];
  const bytes = new Uint8Array(first.length + length);
  bytes.set(first);
  bytes.set(topic, first.length);
  bytes.set(head, first.length + topic.length);
  bytes.set(payload, first.length + topic.length + head.length);
  return bytes;
}

/** So many ids are in use, from 1 on: more than are ever under way. */
export const packetIds = 20_000;

/** Prepared PUBLISH packets in one buffer: packet i stands at offsets[i] to offsets[i + 1]; ids go from 1 to 20,000 again and again. */
export interface Prepared {
  bytes: Uint8Array;
  offsets: number[];
}

export function prepare(protocol: Protocol, qos: Qos, messages: Message[]): Prepared {
  const packets = messages.map((message, index) =>
    publishBytes(protocol, qos, message, index % packetIds + 1)
  );
  const offsets = [0];
  for (const one of packets) offsets.push(offsets.at(-1)! + one.length);
  const bytes = new Uint8Array(offsets.at(-1)!);
  for (const [index, one] of packets.entries()) bytes.set(one, offsets[index]!);
  return { bytes, offsets };
}

/** CONNECT of a publisher, MQTT 3.1.1, clean session, keep-alive off. */
export function connectBytes(clientId: string): Uint8Array {
  return packet(packetType.connect, text("MQTT"), [4, 2, 0, 0], text(clientId));
}

/** Yields whole packets from a stream of chunks: first byte and body (valid until the next chunk is given). */
export class Framer {
  #rest = new Uint8Array(0);

  /** Calls `each` for every packet that `chunk` completes. */
  push(chunk: Uint8Array, each: (first: number, body: Uint8Array) => void): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let at = 0;
    while (at < bytes.length) {
      let length = 0;
      let head = at + 1;
      let factor = 1;
      while (head < bytes.length && head - at <= 4) {
        const byte = bytes[head++]!;
        length += (byte & 0x7f) * factor;
        if (byte < 0x80) break;
        factor *= 128;
      }
      const whole = head > at + 1 && bytes[head - 1]! < 0x80 && head + length <= bytes.length;
      if (!whole) break;
      each(bytes[at]!, bytes.subarray(head, head + length));
      at = head + length;
    }
    this.#rest = bytes.slice(at);
  }
}

/** What the bench's broker wants to know of a CONNECT. */
export interface Connect {
  protocol: Protocol;
  /** Receive Maximum (MQTT 5, 3.1.2.11.3); 65,535 when not given. */
  receiveMax: number;
}

/** Reads the body of a CONNECT as far as the bench needs it. Throws for other protocols. */
export function readConnect(body: Uint8Array): Connect {
  const protocol = body[6]; // after the name "MQTT" with its length
  if (protocol === 4) return { protocol, receiveMax: 65_535 };
  if (protocol !== 5) throw new Error(`CONNECT with protocol level ${protocol}: 4 and 5 are understood`);
  let at = 10; // after level, flags, keep-alive
  let length = 0;
  let factor = 1;
  for (let more = true; more; at++) {
    length += (body[at]! & 0x7f) * factor;
    factor *= 128;
    more = body[at]! >= 0x80;
  }
  for (const end = at + length; at < end;) {
    const id = body[at++]!;
    if (id === 0x21) return { protocol, receiveMax: body[at]! * 256 + body[at + 1]! };
    at += propertySize(id, body, at);
  }
  return { protocol, receiveMax: 65_535 };
}

/** Size of a CONNECT property's value (MQTT 5, table 2-4). */
function propertySize(id: number, body: Uint8Array, at: number): number {
  const textSize = (from: number) => 2 + body[from]! * 256 + body[from + 1]!;
  switch (id) {
    case 0x11: // session expiry
    case 0x27: // maximum packet size
      return 4;
    case 0x22: // topic alias maximum
      return 2;
    case 0x17: // request problem information
    case 0x19: // request response information
      return 1;
    case 0x26: // user property
      return textSize(at) + textSize(at + textSize(at));
    case 0x15: // authentication method
    case 0x16:
      return textSize(at);
    default:
      throw new Error(`CONNECT with property 0x${id.toString(16)}, which does not belong there`);
  }
}
