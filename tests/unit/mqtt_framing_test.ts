import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { writeToStream } from "mqtt-packet";
import { Writable } from "node:stream";
import { Frame, OutgoingFramer } from "../../agent/subscriber/framing.ts";
import { bytesOf, serverPackets } from "./mqtt_packets.ts";

const header = (...bytes: number[]) => {
  const frame = new Frame();
  const all = Uint8Array.from([7, 7, ...bytes]);
  return { frame, answer: frame.read(all, 2, all.length) };
};

Deno.test("mqtt framing: remaining lengths of one to four bytes are read (1.5.5)", () => {
  for (
    const [length, bytes] of [
      [0, [0x00]],
      [127, [0x7f]],
      [128, [0x80, 0x01]],
      [16_383, [0xff, 0x7f]],
      [16_384, [0x80, 0x80, 0x01]],
      [2_097_151, [0xff, 0xff, 0x7f]],
      [2_097_152, [0x80, 0x80, 0x80, 0x01]],
      [268_435_455, [0xff, 0xff, 0xff, 0x7f]],
    ] as const
  ) {
    const { frame, answer } = header(0x30, ...bytes);
    assert.equal(answer, "whole");
    assert.equal(frame.bodyStart, 2 + 1 + bytes.length);
    assert.equal(frame.bodyEnd - frame.bodyStart, length);
    for (let cut = 0; cut <= bytes.length; cut++) {
      assert.equal(header(...[0x30, ...bytes].slice(0, cut)).answer, "short");
    }
  }
  assert.equal(header(0x30, 0xff, 0xff, 0xff, 0x80).answer, "malformed");
  assert.equal(header(0x30, 0x80, 0x80, 0x80, 0x80, 0x01).answer, "malformed");
});

Deno.test("mqtt framing: what npm:mqtt writes in pieces comes out in whole packets, however it is cut", () => {
  const packets = fc.array(serverPackets(5), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(packets, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (list, sizes) => {
      const expected = list.map((packet) => Buffer.from(bytesOf(packet, 5)));
      const stream = new Uint8Array(Buffer.concat(expected));
      const framer = new OutgoingFramer();
      const found: Uint8Array[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const size = sizes[i % sizes.length]!;
        const piece = stream.slice(at, at + size);
        found.push(...framer.add(piece));
        piece.fill(0xee); // the pieces may be used again by their owner
        at += size;
      }
      assert.deepEqual(found.map((one) => Buffer.from(one)), expected);
      assert.equal(framer.partial, false);
    }),
  );
});

Deno.test("mqtt framing: npm:mqtt-packet does write packets in pieces, which is why they are framed", () => {
  const pieces: number[] = [];
  const stream = new Writable({ write: (chunk, _encoding, done) => (pieces.push(chunk.length), done()) });
  writeToStream({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] }, stream);
  stream.uncork();
  assert.ok(pieces.length > 1);
});

Deno.test("mqtt framing: bytes that are no packet are refused", () => {
  const framer = new OutgoingFramer();
  framer.add(Uint8Array.from([0x30, 0xff, 0xff]));
  assert.ok(framer.partial);
  assert.throws(() => framer.add(Uint8Array.from([0xff, 0xff, 0xff])), RangeError);
});
