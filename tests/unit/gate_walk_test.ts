import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { IPublishPacket, Packet } from "mqtt-packet";
import {
  controlPacketBytesMax,
  controlPacketsMax,
  gateBufferBytes,
  propertiesBytesMax,
  truncatedPayloadBytes,
} from "../../agent/limits.ts";
import type { ProtocolVersion } from "../../agent/subscriber/framing.ts";
import { PacketWalk } from "../../agent/subscriber/packet_walk.ts";
import { ReceiveBuffer } from "../../agent/subscriber/receive_buffer.ts";
import { findNumberProperty, findProperty, propertyTypes } from "../../agent/spool/properties.ts";
import type { IncomingReading } from "../../agent/spool/spool_types.ts";
import { bytesOf, connack, publishes, readByReference, readOneByOne, serverPackets } from "./mqtt_packets.ts";

const buffer = new ReceiveBuffer(); // one for all runs, as for all connections

/** A walk that notes what comes out of it, and is fed as the receive loop feeds it. */
class Fed {
  readonly events: string[] = [];
  readonly readings: IncomingReading[] = [];
  fault: string | undefined;
  /** The most that the buffer took. */
  bufferBytes = 0;
  readonly #walk: PacketWalk;

  constructor(version: ProtocolVersion, maxPayloadBytes = 1_000_000) {
    buffer.clear();
    this.#walk = new PacketWalk(buffer, version, {
      message: (reading) => this.#note(reading),
      release: (packetId) => this.events.push(`pubrel ${packetId}`),
      control: (bytes) => this.events.push(`control ${Buffer.from(bytes).toString("hex")}`),
      disconnect: (packet) => this.events.push(`disconnect ${packet.reasonCode}`),
    }, () => maxPayloadBytes);
  }

  /** One read of the socket after the other, each at most `size` bytes; stops at what is malformed. */
  feed(stream: Uint8Array, size = stream.length): void {
    for (let at = 0; at < stream.length && this.fault === undefined;) {
      const part = stream.subarray(at, at + size);
      at += this.#read(part);
    }
  }

  #read(part: Uint8Array): number {
    const space = buffer.space(this.#walk.packetBytes);
    this.bufferBytes = Math.max(this.bufferBytes, buffer.bytes.length);
    const count = Math.min(space.length, part.length);
    assert.ok(count > 0, "there is always room for more");
    space.set(part.subarray(0, count));
    buffer.end += count;
    this.#walkOn();
    return count;
  }

  #drain: ReturnType<PacketWalk["beginDrain"]> | undefined;

  #walkOn(): void {
    while (true) {
      if (this.#drain !== undefined) {
        buffer.start += this.#drain.take(buffer.bytes, buffer.start, buffer.end);
        if (!this.#drain.done) return;
        this.#walk.endDrain(this.#drain);
        this.#drain = undefined;
      }
      const step = this.#walk.walk();
      if (step.kind === "drain") this.#drain = this.#walk.beginDrain();
      else if (step.kind === "connack") this.events.push("connack");
      else {
        if (step.kind === "malformed") this.fault = step.reason;
        return;
      }
    }
  }

  #note(reading: IncomingReading): void {
    const { topic, payload, properties } = reading;
    const copy = { topic: topic.slice(), payload: payload.slice(), properties: properties.slice() };
    this.readings.push({ ...reading, ...copy });
    this.events.push(shown(Buffer.from(topic).toString(), Buffer.from(payload), reading));
  }
}

function shown(topic: string, payload: Buffer, { qos, retain, duplicate, packetId }: {
  qos: number;
  retain: boolean;
  duplicate: boolean;
  packetId: number;
}): string {
  return `publish ${topic} ${qos} ${retain} ${duplicate} ${packetId} ${payload.toString("hex")}`;
}

/** The events that a packet must cause. */
function eventOf(packet: Packet, bytes: Uint8Array): string {
  if (packet.cmd === "pubrel") return `pubrel ${packet.messageId}`;
  if (packet.cmd !== "publish") return `control ${Buffer.from(bytes).toString("hex")}`;
  const { topic, payload, qos, retain, dup, messageId } = packet;
  return shown(topic, Buffer.from(payload), { qos, retain, duplicate: dup, packetId: messageId ?? 0 });
}

for (const version of [4, 5] as const) {
  Deno.test(`gate: version ${version}: any stream, cut at every byte, gives the packets that npm:mqtt-packet finds`, () => {
    fc.assert(
      fc.property(fc.array(serverPackets(version), { minLength: 1, maxLength: 5 }), (packets) => {
        const parts = packets.map((packet) => bytesOf(packet, version));
        const stream = new Uint8Array(Buffer.concat([connack(version), ...parts]));
        assert.equal(readByReference(stream, version).packets.length, packets.length + 1);
        const expected = ["connack", ...packets.map((packet, i) => eventOf(packet, parts[i]!))];
        for (let cut = 1; cut < stream.length; cut++) {
          const fed = new Fed(version);
          fed.feed(stream.subarray(0, cut));
          fed.feed(stream.subarray(cut));
          assert.equal(fed.fault, undefined);
          assert.deepEqual(fed.events, expected, `cut at ${cut}`);
        }
        for (const size of [1, 2, 3, 7]) {
          const fed = new Fed(version);
          fed.feed(stream, size);
          assert.deepEqual(fed.events, expected, `in pieces of ${size}`);
        }
      }),
      { numRuns: 25 },
    );
  });

  Deno.test(`gate: version ${version}: mutated streams never throw, and what is taken before the fault is right`, () => {
    const mutation = fc.tuple(fc.nat(), fc.nat({ max: 255 }));
    const streams = fc.array(serverPackets(version), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(streams, fc.array(mutation, { minLength: 1, maxLength: 3 }), (packets, mutations) => {
        const head = connack(version);
        const parts = packets.map((packet) => bytesOf(packet, version));
        const stream = new Uint8Array(Buffer.concat([head, ...parts]));
        for (const [at, value] of mutations) stream[head.length + at % (stream.length - head.length)] = value;
        const whole = new Fed(version);
        whole.feed(stream);
        const pieces = new Fed(version);
        pieces.feed(stream, 1);
        assert.deepEqual(pieces.events, whole.events);
        assert.equal(pieces.fault, whole.fault);
        const reference = readOneByOne(stream, version).filter((packet) => packet.cmd === "publish");
        const taken = whole.events.filter((event) => event.startsWith("publish"));
        const expected = reference.map((packet) =>
          eventOf({ ...packet, dup: packet.dup && packet.qos > 0 }, stream)
        );
        assert.deepEqual(taken, expected.slice(0, taken.length));
      }),
      { numRuns: 600 },
    );
  });
}

function publish(topic: string, payload: Buffer, more: Partial<IPublishPacket> = {}): Uint8Array {
  return bytesOf(
    { cmd: "publish", topic, payload, qos: 1, messageId: 7, dup: false, retain: false, ...more },
    5,
  );
}

Deno.test("gate: a payload above max_payload is kept in its first 64 KiB, with full size and SHA-256 of all of it", () => {
  const payload = Buffer.alloc(300_000);
  for (let i = 0; i < payload.length; i++) payload[i] = i * 31 % 251;
  const stream = Buffer.concat([
    connack(5),
    publish("a", Buffer.from("1")),
    publish("big", payload, { properties: { userProperties: { unit: "K" } } }),
    publish("b", Buffer.from("2")),
  ]);
  for (const size of [1_000, 65_536, stream.length]) {
    const fed = new Fed(5, 100_000);
    fed.feed(new Uint8Array(stream), size);
    assert.deepEqual(fed.readings.map((one) => [Buffer.from(one.topic).toString(), one.truncated]), [
      ["a", false],
      ["big", true],
      ["b", false],
    ]);
    const big = fed.readings[1]!;
    assert.deepEqual(Buffer.from(big.payload), payload.subarray(0, truncatedPayloadBytes));
    assert.equal(findNumberProperty(big.properties, propertyTypes.fullSize), payload.length);
    const sha256 = createHash("sha256").update(payload).digest();
    assert.deepEqual(Buffer.from(findProperty(big.properties, propertyTypes.sha256)!), sha256);
    assert.ok(findProperty(big.properties, propertyTypes.user) !== undefined);
    assert.equal(big.packetId, 7);
    assert.equal(fed.bufferBytes, gateBufferBytes);
  }
});

Deno.test("gate: a payload of exactly max_payload is kept whole, also when it is larger than the buffer", () => {
  const payload = Buffer.alloc(3 * gateBufferBytes, 0x41);
  const stream = Buffer.concat([connack(5), publish("a", payload), publish("b", Buffer.from("2"))]);
  const fed = new Fed(5, payload.length);
  fed.feed(new Uint8Array(stream), 65_536);
  assert.equal(fed.readings[0]!.payload.length, payload.length);
  assert.equal(fed.readings[0]!.truncated, false);
  assert.equal(fed.readings.length, 2);
  assert.ok(fed.bufferBytes < payload.length + 100);
  fed.feed(publish("c", Buffer.from("3")));
  assert.equal(buffer.bytes.length, gateBufferBytes, "the buffer is as small as before");
  const one = new Fed(5, payload.length - 1);
  one.feed(new Uint8Array(stream), 65_536);
  assert.equal(one.readings[0]!.truncated, true);
});

Deno.test("gate: properties too long to be kept are passed over, and the payload stays whole", () => {
  const count = Math.ceil(propertiesBytesMax / 60_000) + 1;
  const userProperties = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`k${i}`, "x".repeat(60_000)]),
  );
  const payload = Buffer.alloc(200_000, 0x42);
  const stream = new Uint8Array(Buffer.concat([
    connack(5),
    publish("a", payload, { properties: { userProperties } }),
    publish("b", Buffer.from("2")),
  ]));
  for (const size of [999, stream.length]) {
    const fed = new Fed(5, 1_000_000);
    fed.feed(stream, size);
    const [a, b] = fed.readings;
    assert.deepEqual(Buffer.from(a!.payload), payload);
    assert.equal(a!.truncated, false);
    assert.ok(findNumberProperty(a!.properties, propertyTypes.leftOutBytes)! > propertiesBytesMax);
    assert.equal(Buffer.from(b!.payload).toString(), "2");
  }
});

Deno.test("gate: packets that a broker may not send are refused by their header, before their body arrives", () => {
  for (
    const [version, bytes, reason] of [
      [5, [0x30, 3], /before CONNACK/],
      [5, [0xd0, 0], /before CONNACK/],
    ] as const
  ) {
    const fed = new Fed(version);
    fed.feed(Uint8Array.from(bytes));
    assert.match(fed.fault!, reason);
  }
  for (
    const [version, bytes, reason] of [
      [5, [0x10, 100], /type 1,/],
      [5, [0x00, 0], /type 0,/],
      [5, [0x82, 10], /type 8,/],
      [5, [0xc0, 0], /type 12,/],
      [4, [0xe0, 0], /type 14,/],
      [4, [0xf0, 0], /type 15,/],
      [5, [0x91, 3], /SUBACK with wrong flags/],
      [5, [0x90, 0x81, 0x80, 0x04], new RegExp(`SUBACK of 65537 bytes \\(at most ${controlPacketBytesMax}`)],
      [5, [0x62, 0xff, 0xff, 0x7f], /PUBREL of a wrong length/],
      [5, [0x30, 0xff, 0xff, 0xff, 0xff], /remaining length/],
      [5, [...connack(5)], /second CONNACK/],
    ] as const
  ) {
    const fed = new Fed(version);
    fed.feed(connack(version));
    fed.feed(Uint8Array.from(bytes));
    assert.match(fed.fault ?? "none", reason, `${bytes}`);
  }
});

Deno.test("gate: control packets that make npm:mqtt-packet throw or complain are refused, not passed on", () => {
  for (
    const bytes of [
      [0x90, 0], // SUBACK without a packet id
      [0x90, 1, 0],
      [0x90, 4, 0, 1, 0, 0x55], // a code that there is not
      [0x40, 0],
      [0xe0, 1, 0x55],
      [0xe0, 3, 0, 9, 1],
      [0xb0, 2, 0, 1],
    ]
  ) {
    const fed = new Fed(5);
    fed.feed(connack(5));
    fed.feed(Uint8Array.from(bytes));
    const passed = fed.events.filter((event) => event !== "connack");
    if (fed.fault !== undefined) assert.deepEqual(passed, []);
    else assert.equal(readByReference(Uint8Array.from(bytes), 5).error, undefined, `${bytes}`);
  }
  const fed = new Fed(5);
  fed.feed(connack(5));
  fed.feed(Uint8Array.from([0xe0, 1, 0x8e])); // DISCONNECT with a reason and no properties
  assert.deepEqual(fed.events, ["connack", "disconnect 142"]);
});

Deno.test("gate: the whole of a generated PUBLISH stream goes through in one walk", () => {
  const packets = fc.sample(publishes(5), { numRuns: 2_000, seed: 7 });
  const stream = Buffer.concat([connack(5), ...packets.map((packet) => bytesOf(packet, 5))]);
  const fed = new Fed(5);
  fed.feed(new Uint8Array(stream), 65_536);
  assert.equal(fed.readings.length, packets.length);
});

Deno.test("gate: a flood of packets that are no messages ends the connection instead of filling the memory", () => {
  const pingresps = (count: number) =>
    new Uint8Array(Buffer.concat(Array(count).fill(Uint8Array.from([0xd0, 0]))));
  const fed = new Fed(5);
  fed.feed(connack(5));
  for (let i = 0; i < 5; i++) fed.feed(pingresps(900));
  assert.equal(fed.fault, undefined);
  fed.feed(pingresps(controlPacketsMax + 1));
  assert.match(fed.fault!, /flood/);
});
