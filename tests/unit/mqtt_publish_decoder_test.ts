import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { IPublishPacket } from "mqtt-packet";
import { Frame, type ProtocolVersion } from "../../agent/subscriber/framing.ts";
import { keptProperties } from "../../agent/subscriber/message_properties.ts";
import {
  checkProperties,
  decodeHead,
  decodePubrel,
  propertiesFit,
  Publish,
  short,
} from "../../agent/subscriber/publish_decoder.ts";
import { decodeProperties, decodeUserProperty, propertyTypes } from "../../agent/spool/properties.ts";
import { propertiesBytesMax } from "../../agent/limits.ts";
import { bytesOf, publishes, readByReference } from "./mqtt_packets.ts";

/** Decodes one whole PUBLISH that lies in the middle of a buffer: its offsets, or why not. */
function decode(packet: Uint8Array, version: ProtocolVersion): Publish | string {
  const bytes = new Uint8Array(packet.length + 10).fill(0xaa);
  bytes.set(packet, 5);
  const frame = new Frame();
  assert.equal(frame.read(bytes, 5, 5 + packet.length), "whole");
  const publish = new Publish();
  const fault = decodeHead(bytes, frame, 5 + packet.length, version, publish);
  if (fault === short) return "short";
  return (fault ?? checkProperties(bytes, publish))?.reason ?? publish;
}

function assertSame(packet: Uint8Array, publish: Publish, expected: IPublishPacket): void {
  const part = (start: number, end: number) => Buffer.from(packet.subarray(start - 5, end - 5));
  assert.equal(part(publish.topicStart, publish.topicEnd).toString(), expected.topic);
  assert.deepEqual(part(publish.payloadStart, publish.payloadEnd), Buffer.from(expected.payload));
  assert.equal(publish.qos, expected.qos);
  assert.equal(publish.retain, expected.retain);
  assert.equal(publish.duplicate, expected.dup && expected.qos > 0);
  assert.equal(publish.packetId, expected.messageId ?? 0);
}

for (const version of [4, 5] as const) {
  Deno.test(`mqtt decoder: version ${version}: every valid PUBLISH is read as npm:mqtt-packet reads it`, () => {
    fc.assert(
      fc.property(publishes(version), (packet) => {
        const bytes = bytesOf(packet, version);
        const publish = decode(bytes, version);
        assert.ok(typeof publish !== "string", String(publish));
        const [read] = readByReference(bytes, version).packets as IPublishPacket[];
        assertSame(bytes, publish, read!);
      }),
      { numRuns: 500 },
    );
  });

  Deno.test(`mqtt decoder: version ${version}: what it takes of mutated packets, npm:mqtt-packet takes the same way`, () => {
    const mutation = fc.tuple(fc.nat(), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(
        publishes(version),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        (packet, mutations) => {
          const bytes = bytesOf(packet, version);
          const bodyStart = bytes.length < 130 ? 2 : 3; // the frame itself stays
          for (const [at, value] of mutations) bytes[bodyStart + at % (bytes.length - bodyStart)] = value;
          bytes[0] = 0x30 | mutations[0]![1] & 15;
          const publish = decode(bytes, version);
          if (typeof publish === "string") return;
          const read = readByReference(bytes, version);
          assert.equal(read.error, undefined);
          assertSame(bytes, publish, read.packets[0] as IPublishPacket);
        },
      ),
      { numRuns: 2_500 },
    );
  });
}

Deno.test("mqtt decoder: a head that has not arrived in full is waited for, at every byte", () => {
  const packet = bytesOf({
    cmd: "publish",
    topic: "a/b",
    qos: 1,
    messageId: 7,
    dup: false,
    retain: false,
    payload: Buffer.from("xyz"),
    properties: { userProperties: { k: "v" } },
  }, 5);
  const frame = new Frame();
  frame.read(packet, 0, packet.length);
  const headEnd = 2 + 2 + 3 + 2 + 1; // header, topic, packet id, length of the properties
  for (let end = 2; end <= packet.length; end++) {
    const answer = decodeHead(packet, frame, end, 5, new Publish());
    assert.equal(answer, end < headEnd ? short : undefined, `${end}`);
  }
});

const head = (first: number, ...body: number[]) => Uint8Array.from([first, body.length, ...body]);

Deno.test("mqtt decoder: what the specification forbids in a PUBLISH is refused with its reason", () => {
  const a = [0, 1, 0x61];
  for (
    const [packet, reason] of [
      [head(0x36, ...a, 0, 1, 0), /QoS 3/],
      [head(0x30), /before its topic/],
      [head(0x30, 0), /before its topic/],
      [head(0x30, 0, 5, 0x61, 0), /topic is longer/],
      [head(0x30, 0, 0, 0), /topic is empty/],
      [head(0x30, 0, 1, 0x23, 0), /wildcard/],
      [head(0x30, 0, 1, 0xff, 0), /not UTF-8/],
      [head(0x30, 0, 1, 0, 0), /U\+0000/],
      [head(0x32, ...a, 0, 0, 0), /packet id 0/],
      [head(0x32, ...a, 0), /topic is longer/],
      [head(0x30, ...a), /properties are longer/],
      [head(0x30, ...a, 3, 0), /properties are longer/],
      [head(0x30, ...a, 0x80, 0x80, 0x80, 0x80, 1), /properties are longer/],
      [head(0x30, ...a, 2, 0x01, 2), /payload format/],
      [head(0x30, ...a, 3, 0x23, 0, 1), /topic alias/],
      [head(0x30, ...a, 2, 0x0b, 0), /subscription identifier of 0/],
      [head(0x30, ...a, 4, 0x01, 1, 0x01, 1), /property 1 twice/],
      [head(0x30, ...a, 3, 0x11, 0, 0), /property 17 that it may not have/],
      [head(0x30, ...a, 1, 0x02), /ends too early/],
      [head(0x30, ...a, 4, 0x03, 0, 9, 0x61), /ends too early/],
      [head(0x30, ...a, 4, 0x03, 0, 1, 0xff), /not UTF-8/],
      [head(0x30, ...a, 5, 0x26, 0, 1, 0x61, 0), /ends too early/],
      [head(0x30, ...a, 2, 0x0b, 0x80), /ends too early/],
    ] as const
  ) {
    const answer = decode(packet, 5);
    assert.ok(typeof answer === "string", `${packet}`);
    assert.match(answer, reason);
  }
});

Deno.test("mqtt decoder: properties are kept as typed properties, subscription identifiers aside", () => {
  const packet = bytesOf({
    cmd: "publish",
    topic: "a",
    qos: 0,
    dup: false,
    retain: false,
    payload: "",
    properties: {
      payloadFormatIndicator: true,
      messageExpiryInterval: 70_000,
      contentType: "text/plain",
      responseTopic: "r",
      correlationData: Buffer.from([1, 2]),
      subscriptionIdentifier: 3,
      userProperties: { unit: ["°C", "K"] },
    },
  }, 5);
  const publish = decode(packet, 5);
  assert.ok(typeof publish !== "string");
  const kept = keptProperties(packet, publish.propertiesStart - 5, publish.propertiesEnd - 5);
  const found = [...decodeProperties(kept)].map(({ type, value }) => {
    const pair = type === propertyTypes.user ? decodeUserProperty(value)! : undefined;
    return pair === undefined
      ? [type, [...value]]
      : [type, Buffer.from(pair.key).toString(), Buffer.from(pair.value).toString()];
  });
  assert.deepEqual(found, [
    [propertyTypes.payloadFormat, [1]],
    [propertyTypes.messageExpiryS, [0x70, 0x11, 0x01, 0]],
    [propertyTypes.contentType, [...Buffer.from("text/plain")]],
    [propertyTypes.responseTopic, [0x72]],
    [propertyTypes.correlationData, [1, 2]],
    [propertyTypes.user, "unit", "°C"],
    [propertyTypes.user, "unit", "K"],
  ]);
});

Deno.test("mqtt decoder: no more properties are kept than a record holds, and what is left out is counted", () => {
  const one = [0x26, 0, 0, 0, 0]; // an empty user property: 5 bytes on the wire, 8 on disk
  const count = Math.floor(propertiesBytesMax / one.length);
  const bytes = Uint8Array.from({ length: count * one.length }, (_, i) => one[i % one.length]!);
  const kept = [...decodeProperties(keptProperties(bytes, 0, bytes.length))];
  const leftOut = kept.pop()!;
  assert.equal(leftOut.type, propertyTypes.leftOutBytes);
  const leftOutBytes = new DataView(leftOut.value.slice().buffer).getUint32(0, true);
  assert.equal(kept.length * one.length + leftOutBytes, bytes.length);
  assert.ok(kept.length * 8 <= propertiesBytesMax);
  assert.ok(propertiesFit(Object.assign(new Publish(), { propertiesEnd: propertiesBytesMax })));
  assert.ok(!propertiesFit(Object.assign(new Publish(), { propertiesEnd: propertiesBytesMax + 1 })));
});

Deno.test("mqtt decoder: PUBREL gives its packet id, whatever reason it carries", () => {
  const pubrel = (version: ProtocolVersion, ...bytes: number[]) => {
    const packet = Uint8Array.from(bytes);
    const frame = new Frame();
    frame.read(packet, 0, packet.length);
    return decodePubrel(packet, frame, version);
  };
  assert.equal(pubrel(4, 0x62, 2, 1, 2), 258);
  assert.equal(pubrel(5, 0x62, 2, 0, 9), 9);
  assert.equal(pubrel(5, 0x62, 3, 0, 9, 0x92), 9);
  assert.equal(pubrel(5, 0x62, 4, 0, 9, 0, 0), 9);
  for (const bytes of [[0x60, 2, 0, 9], [0x62, 1, 0], [0x62, 2, 0, 0], [0x62, 0]]) {
    assert.ok(typeof pubrel(5, ...bytes) === "object", `${bytes}`);
  }
  assert.ok(typeof pubrel(4, 0x62, 3, 0, 9, 0) === "object");
});
