import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { generate, type Packet, parser } from "mqtt-packet";
import { message, messages, numbered } from "../../bench/messages.ts";
import {
  connectBytes,
  Framer,
  packet,
  packetIds,
  packetType,
  prepare,
  publishBytes,
  readConnect,
} from "../../bench/packets.ts";

function parse(bytes: Uint8Array, protocolVersion: number): Packet[] {
  const packets: Packet[] = [];
  const reader = parser({ protocolVersion });
  reader.on("packet", (one) => packets.push(one));
  reader.on("error", (error) => {
    throw error;
  });
  reader.parse(Buffer.from(bytes));
  return packets;
}

const protocols = [4, 5] as const;
const qoses = [0, 1, 2] as const;

Deno.test("bench: every PUBLISH is what npm:mqtt-packet reads from it", () => {
  const anyMessage = fc.record({
    topic: fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 300 }).map((text) =>
      text.replace(/[#+]/g, "x")
    ),
    payload: fc.uint8Array({ maxLength: 20_000, size: "max" }),
  });
  const each = fc.tuple(
    fc.constantFrom(...protocols),
    fc.constantFrom(...qoses),
    anyMessage,
    fc.integer({ min: 1, max: 65_535 }),
  );
  fc.assert(
    fc.property(each, ([protocol, qos, message, id]) => {
      const [read, ...more] = parse(publishBytes(protocol, qos, message, id), protocol);
      assert.equal(more.length, 0);
      assert.ok(read?.cmd === "publish");
      assert.equal(read.topic, message.topic);
      assert.equal(read.qos, qos);
      assert.deepEqual(new Uint8Array(read.payload as Buffer), message.payload);
      if (qos > 0) assert.equal(read.messageId, id);
    }),
    { numRuns: 300 },
  );
});

Deno.test("bench: prepared packets have the ids 1 to n and stand at their offsets", () => {
  const all = messages(300);
  const { bytes, offsets } = prepare(5, 1, all);
  assert.equal(offsets.length, 301);
  assert.equal(offsets.at(-1), bytes.length);
  const packets = parse(bytes.subarray(offsets[100], offsets[103]), 5);
  assert.deepEqual(packets.map((one) => one.cmd === "publish" && one.messageId), [101, 102, 103]);
});

Deno.test("bench: ids begin again before they run out", () => {
  const { bytes, offsets } = prepare(4, 1, Array.from({ length: packetIds + 2 }, (_, n) => numbered(n)));
  const packets = parse(bytes.subarray(offsets[packetIds - 1], offsets[packetIds + 2]), 4);
  assert.deepEqual(packets.map((one) => one.cmd === "publish" && one.messageId), [packetIds, 1, 2]);
});

Deno.test("bench: a numbered reading is a JSON object that holds its number", () => {
  for (const n of [0, 1, 2, 19_999, 123_456]) {
    const { topic, payload } = numbered(n);
    const { seq, value } = JSON.parse(payload as string) as { seq: number; value: number };
    assert.equal(seq, n);
    assert.ok(value >= 15 && value < 25);
    assert.equal(topic, message(n).topic);
  }
});

Deno.test("bench: payloads are JSON, because mosquitto_sub -F %J prints nothing else", () => {
  for (const { payload } of messages(1000)) JSON.parse(payload as string);
});

Deno.test("bench: packets come out whole, however the stream is cut", () => {
  const sizes = [0, 1, 127, 128, 16_383, 16_384];
  const stream = sizes.map((size, i) => packet(packetType.puback | i, new Uint8Array(size).fill(i)));
  const bytes = Uint8Array.from(stream.flatMap((one) => [...one]));
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1 }), (cuts) => {
      const framer = new Framer();
      const seen: [number, number][] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const to = at + cuts[i % cuts.length]!;
        framer.push(bytes.slice(at, to), (first, body) => {
          assert.ok(body.every((byte) => byte === (first & 0xf)));
          seen.push([first & 0xf, body.length]);
        });
        at = to;
      }
      assert.deepEqual(seen, sizes.map((size, i) => [i, size]));
    }),
    { numRuns: 50 },
  );
});

Deno.test("bench: the publisher's CONNECT is one", () => {
  const [read] = parse(connectBytes("bench"), 4);
  assert.ok(read?.cmd === "connect");
  assert.equal(read.clientId, "bench");
  assert.equal(read.clean, true);
});

Deno.test("bench: Receive Maximum is found among the properties of a CONNECT", () => {
  const connect = (protocolVersion: 4 | 5, receiveMaximum?: number) => {
    const properties = {
      sessionExpiryInterval: 86_400,
      requestProblemInformation: true,
      userProperties: { a: "b" },
      ...(receiveMaximum === undefined ? {} : { receiveMaximum }),
    };
    const bytes = new Uint8Array(
      generate({ cmd: "connect", protocolId: "MQTT", protocolVersion, clientId: "c", properties }),
    );
    let body = new Uint8Array(0);
    new Framer().push(bytes, (_, whole) => body = whole.slice());
    return readConnect(body);
  };
  assert.deepEqual(connect(5, 1234), { protocol: 5, receiveMax: 1234 });
  assert.deepEqual(connect(5), { protocol: 5, receiveMax: 65_535 });
  assert.deepEqual(connect(4), { protocol: 4, receiveMax: 65_535 });
  assert.throws(() => readConnect(Uint8Array.of(0, 4, 77, 81, 84, 84, 3)), /protocol level 3/);
});
