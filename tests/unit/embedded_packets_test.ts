import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Packet } from "mqtt-packet";
import { controlPacketBytesMax, embeddedPublishBytesMax, embeddedReadBytes } from "../../agent/limits.ts";
import { PacketCutter, ProtocolError } from "../../agent/subscriber/embedded_packets.ts";
import { bytesOf } from "./mqtt_packets.ts";

const connect = bytesOf({
  cmd: "connect",
  protocolId: "MQTT",
  protocolVersion: 4,
  clientId: "c",
  clean: true,
  keepalive: 0,
}, 4);

/** A cutter that has seen CONNECT. */
function connected(): PacketCutter {
  const cutter = new PacketCutter();
  cutter.add(connect);
  assert.equal(cutter.take(10)?.bytes.length, connect.length);
  return cutter;
}

const publish = (payload: string, topic = "t", qos: 0 | 1 | 2 = 1): Packet => ({
  cmd: "publish",
  topic,
  payload,
  qos,
  retain: false,
  dup: false,
  ...(qos > 0 ? { messageId: 7 } : {}),
});

const packets = fc.array(
  fc.oneof<fc.Arbitrary<Packet>[]>(
    fc.record({
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      payload: fc.string({ maxLength: 300 }),
      topic: fc.stringMatching(/^[a-z/]{1,20}$/),
    }).map(({ payload, topic, qos }) => publish(payload, topic, qos)),
    fc.constantFrom<Packet>({ cmd: "pingreq" }, { cmd: "pubrel", messageId: 3 }, {
      cmd: "subscribe",
      messageId: 4,
      subscriptions: [{ topic: "#", qos: 0 }],
    }),
  ),
  { maxLength: 40 },
);

Deno.test("embedded packets: however the bytes come, whole packets go on, in order, and publishes are counted", () => {
  fc.assert(
    fc.property(
      packets,
      fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1 }),
      fc.nat(20),
      (all, cuts, most) => {
        const stream = Buffer.concat(all.map((packet) => bytesOf(packet, 4)));
        const cutter = connected();
        const taken: Uint8Array[] = [];
        let publishes = 0;
        for (let at = 0, i = 0; at < stream.length; i++) {
          const end = at + cuts[i % cuts.length]!;
          cutter.add(stream.subarray(at, end));
          at = end;
          for (let cut = cutter.take(most + 1); cut !== undefined; cut = cutter.take(most + 1)) {
            taken.push(cut.bytes);
            assert.ok(cut.publishes <= most + 1);
            publishes += cut.publishes;
          }
        }
        assert.deepEqual(Buffer.concat(taken), stream);
        assert.equal(
          publishes,
          all.filter((one) => one.cmd === "publish").length,
        );
        assert.equal(cutter.heldBytes, 0);
      },
    ),
  );
});

Deno.test("embedded packets: CONNECT comes first, once, and alone", () => {
  const cutter = new PacketCutter();
  cutter.add(Buffer.concat([connect, bytesOf({ cmd: "pingreq" }, 4)]));
  assert.deepEqual(cutter.take(10)?.bytes, new Uint8Array(connect));
  assert.deepEqual(cutter.take(10)?.bytes, new Uint8Array([0xc0, 0]));
  cutter.add(connect);
  assert.throws(() => cutter.take(10), ProtocolError);
  const other = new PacketCutter();
  other.add(bytesOf(publish("x"), 4));
  assert.throws(() => other.take(10), /type 3/);
  const web = new PacketCutter();
  web.add(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  assert.throws(() => web.take(10), ProtocolError);
});

Deno.test("embedded packets: what is announced too large is refused by its first bytes", () => {
  const header = (type: number, length: number) => {
    const bytes = [type];
    do {
      bytes.push(length % 128 + (length >= 128 ? 128 : 0));
      length = Math.floor(length / 128);
    } while (length > 0);
    return new Uint8Array(bytes);
  };
  const taken = (type: number, length: number) => {
    const cutter = connected();
    cutter.add(header(type, length));
    return cutter.take(10);
  };
  assert.equal(taken(0x30, embeddedPublishBytesMax), undefined);
  assert.throws(() => taken(0x30, embeddedPublishBytesMax + 1), /at most/);
  assert.throws(() => taken(0x30, 268_435_455), /a packet of 268435455 bytes/);
  assert.equal(taken(0x82, controlPacketBytesMax), undefined);
  assert.throws(() => taken(0x82, controlPacketBytesMax + 1), /at most/);
  const cutter = connected();
  cutter.add(new Uint8Array([0x30, 255, 255, 255, 255, 1]));
  assert.throws(() => cutter.take(10), /valid length/);
  const first = new PacketCutter();
  first.add(header(0x10, controlPacketBytesMax + 1));
  assert.throws(() => first.take(10), /at most/);
});

Deno.test("embedded packets: a topic that is none, QoS 3 and packet id 0 are refused", () => {
  for (
    const [bytes, reason] of [
      [[0x30, 3, 0, 1, 0x23], /wildcard/],
      [[0x30, 3, 0, 1, 0xff], /UTF-8/],
      [[0x30, 3, 0, 1, 0], /U\+0000|null/],
      [[0x30, 2, 0, 0], /empty/],
      [[0x30, 3, 0, 9, 0x61], /longer than the packet/],
      [[0x36, 5, 0, 1, 0x61, 0, 1], /QoS 3/],
      [[0x32, 5, 0, 1, 0x61, 0, 0], /packet id 0/],
      [[0x20, 2, 0, 0], /type 2/],
      [[0xf0, 0], /type 15/],
      [[0x00, 0], /type 0/],
    ] as const
  ) {
    const cutter = connected();
    cutter.add(new Uint8Array(bytes));
    assert.throws(() => cutter.take(10), reason);
  }
});

Deno.test("embedded packets: a large packet's room is given back behind it", () => {
  const cutter = connected();
  const large = bytesOf(publish("x".repeat(1_000_000)), 4);
  for (let at = 0; at < large.length; at += embeddedReadBytes) {
    assert.equal(cutter.take(10), undefined);
    cutter.add(large.subarray(at, at + embeddedReadBytes));
  }
  assert.equal(cutter.heldBytes, large.length);
  assert.equal(cutter.take(10)?.bytes.length, large.length);
  assert.equal(cutter.heldBytes, 0);
  cutter.add(bytesOf({ cmd: "pingreq" }, 4));
  const cut = cutter.take(10)!;
  assert.equal(cut.bytes.buffer.byteLength, 2, "a copy of its own, not a view of the whole buffer");
});
