/**
 * The few MQTT 5 packets by which a session is made or given up at a broker, without a message of it being taken: a client
 * that acknowledged what comes at once would lose it. Pure.
 */

export interface Filter {
  filter: string;
  qos: 0 | 1 | 2;
}

const utf8 = new TextEncoder();

/** CONNECT (3.1): `clean` forgets the session that is there. */
export function connectPacket(
  { clientId, username, expiryS, clean }: {
    clientId: string;
    username: string;
    expiryS: number;
    clean: boolean;
  },
): Uint8Array {
  const userNameFlag = 0x80;
  const flags = userNameFlag | (clean ? 0x02 : 0);
  const properties = [0x11, ...uint32(expiryS)];
  return packet(0x10, [
    ...text("MQTT"),
    ...[5, flags, 0, 60],
    ...[properties.length, ...properties],
    ...text(clientId),
    ...text(username),
  ]);
}

/** SUBSCRIBE (3.8) that asks for no retained messages: they have been read before. */
export function subscribePacket(filters: Filter[]): Uint8Array {
  const noRetained = 2 << 4;
  return packet(0x82, [
    0,
    1,
    0,
    ...filters.flatMap(({ filter, qos }) => [...text(filter), qos | noRetained]),
  ]);
}

/** DISCONNECT (3.14) that keeps the session. */
export const disconnectPacket = Uint8Array.of(0xe0, 0);

export interface Packet {
  type: number;
  body: Uint8Array;
  /** Bytes of the whole packet. */
  length: number;
}

/** The first packet in the bytes; undefined while it is not whole. Throws for a length that is none. */
export function firstPacket(bytes: Uint8Array): Packet | undefined {
  let length = 0;
  for (let at = 1; at < bytes.length; at++) {
    length += (bytes[at]! & 0x7f) * 2 ** (7 * (at - 1));
    if ((bytes[at]! & 0x80) === 0) {
      const end = at + 1 + length;
      return end > bytes.length
        ? undefined
        : { type: bytes[0]! >> 4, body: bytes.subarray(at + 1, end), length: end };
    }
    if (at === 4) throw new Error("the answer is no MQTT");
  }
  return undefined;
}

/** The reason codes of a SUBACK (3.9): behind packet id and properties, which are short. */
export function subackCodes(body: Uint8Array): number[] {
  const propertiesBytes = body[2] ?? 0;
  return [...body.subarray(3 + propertiesBytes)];
}

function packet(first: number, body: number[]): Uint8Array {
  const length: number[] = [];
  for (let rest = body.length;;) {
    const digit = rest % 128;
    rest = (rest - digit) / 128;
    length.push(rest > 0 ? digit | 0x80 : digit);
    if (rest === 0) return Uint8Array.of(first, ...length, ...body);
  }
}

function text(value: string): number[] {
  const bytes = utf8.encode(value);
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
}

function uint32(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) & 255);
}
