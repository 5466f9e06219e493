import fc from "fast-check";
import mqttPacket from "mqtt-packet";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as packets from "./packets.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

const message = fc.record({
  topic: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).filter((t) => !/[+#\0]/.test(t)),
  payload: fc.uint8Array({ maxLength: 300 }),
  qos: fc.constantFrom<(0 | 1 | 2)[]>(0, 1, 2),
  retain: fc.boolean(),
  id: fc.integer({ min: 1, max: 65_535 }),
  pairs: fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 3 }),
});
const protocol = fc.constantFrom<packets.Protocol[]>(4, 5);

/** Cuts bytes into chunks of the given sizes, again and again. */
function* chunks(bytes: Uint8Array, sizes: number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

Deno.test("packets: mqtt-packet reads what is written here", () => {
  fc.assert(fc.property(message, protocol, (made, protocolVersion) => {
    const into = new Uint8Array(4_000);
    const properties = packets.userProperties(made.pairs);
    const fields = { ...made, topic: utf8(made.topic), properties };
    const end = packets.writePublish(into, 7, fields, protocolVersion);
    const parser = mqttPacket.parser({ protocolVersion });
    const seen: mqttPacket.IPublishPacket[] = [];
    parser.on("packet", (packet) => seen.push(packet as mqttPacket.IPublishPacket));
    parser.parse(Buffer.from(into.subarray(7, end)));
    assert.equal(seen.length, 1);
    const { topic, payload, qos, retain, messageId } = seen[0]!;
    assert.deepEqual({ topic, qos, retain }, { topic: made.topic, qos: made.qos, retain: made.retain });
    assert.deepEqual(new Uint8Array(payload as Buffer), made.payload);
    if (qos > 0) assert.equal(messageId, made.id);
  }));
});

Deno.test("packets: what mqtt-packet writes is read here, however the stream is cut", () => {
  const packet = fc.oneof(
    message.map((m): mqttPacket.Packet => ({
      cmd: "publish",
      topic: m.topic,
      payload: Buffer.from(m.payload),
      qos: m.qos,
      retain: m.retain,
      dup: m.qos > 0 && m.retain,
      messageId: m.id,
      // a plain name: mqtt-packet writes nothing at all for an empty set of properties
      properties: {
        userProperties: Object.fromEntries([["name", "value"], ...m.pairs.map(([n, v]) => [`x${n}`, v])]),
      },
    })),
    fc.constant<mqttPacket.Packet>({ cmd: "pingreq" }),
    fc.tuple(fc.constantFrom("puback", "pubrec", "pubrel", "pubcomp"), fc.integer({ min: 1, max: 65_535 }))
      .map(([cmd, messageId]) => ({ cmd, messageId }) as mqttPacket.Packet),
  );
  const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(packet, { minLength: 1, maxLength: 8 }), protocol, sizes, (sent, version, cuts) => {
      const bytes = Buffer.concat(sent.map((one) => mqttPacket.generate(one, { protocolVersion: version })));
      const framer = new packets.Framer();
      const got: unknown[] = [];
      for (const chunk of chunks(bytes, cuts)) {
        for (const one of framer.push(chunk)) {
          if (one.type !== packets.packetType.publish) {
            got.push(one.type === 12 ? "ping" : [one.type, packets.readAck(one).id]);
          } else {
            const { topic, qos, duplicate, retain, id, payload } = packets.readPublish(one, version);
            got.push({ topic, qos, duplicate, retain, id, payload: [...payload] });
          }
        }
      }
      const types: Record<string, number> = packets.packetType;
      const wanted = sent.map((one) => {
        if (one.cmd === "pingreq") return "ping";
        if (one.cmd !== "publish") return [types[one.cmd], one.messageId];
        const { topic, qos, dup, retain, messageId, payload } = one;
        return {
          topic,
          qos,
          duplicate: dup,
          retain,
          id: qos > 0 ? messageId : 0,
          payload: [...payload as Buffer],
        };
      });
      assert.deepEqual(got, wanted);
    }),
  );
});

Deno.test("packets: of a long message only the head is kept, its length is known", () => {
  const into = new Uint8Array(100_000);
  const fields = {
    topic: utf8("t"),
    payload: new Uint8Array(90_000).fill(7),
    qos: 1,
    retain: false,
    id: 3,
  } as const;
  const end = packets.writePublish(into, 0, { ...fields, properties: new Uint8Array() }, 4);
  const framer = new packets.Framer(100);
  const found = [...chunks(into.subarray(0, end), [1_000])].flatMap((chunk) => framer.push(chunk));
  assert.equal(found.length, 1);
  const read = packets.readPublish(found[0]!, 4);
  assert.deepEqual([read.topic, read.id, read.payloadBytes, read.payload.length], ["t", 3, 90_000, 95]);
  assert.throws(() => new packets.Framer().push(new Uint8Array(9).fill(255)), /not MQTT/);
});

Deno.test("packets: receive maximum and session present are read from a CONNACK, whatever stands before", () => {
  const packet: mqttPacket.Packet = {
    cmd: "connack",
    reasonCode: 0,
    sessionPresent: true,
    properties: {
      sessionExpiryInterval: 5,
      reasonString: "why",
      userProperties: { a: "b" },
      topicAliasMaximum: 7,
      receiveMaximum: 20,
    },
  };
  const bytes = mqttPacket.generate(packet, { protocolVersion: 5 });
  const read = packets.readConnack(new packets.Framer().push(bytes)[0]!, 5);
  assert.deepEqual(read, { sessionPresent: true, reason: 0, receiveMax: 20 });
  const connect = packets.connectPacket({ protocol: 5, clientId: "c", username: "u", password: "p" });
  const parser = mqttPacket.parser();
  parser.on("packet", (found) => assert.equal((found as mqttPacket.IConnectPacket).username, "u"));
  parser.parse(Buffer.from(connect));
  assert.deepEqual(packets.readConnect(new packets.Framer().push(connect)[0]!), {
    protocol: 5,
    cleanStart: true,
  });
});
