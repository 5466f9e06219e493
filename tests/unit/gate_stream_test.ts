import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Packet } from "mqtt-packet";
import { writeToStream } from "mqtt-packet";
import { Gate } from "../../agent/subscriber/gate.ts";
import { bytesOf, readByReference } from "./mqtt_packets.ts";

/** A connection that notes what is written, one write at a time, each as slow as the event loop. */
class SlowWire {
  readonly written: Uint8Array[] = [];
  closed = 0;
  fail = false;
  #busy = false;

  async write(bytes: Uint8Array): Promise<void> {
    assert.ok(!this.#busy, "one write at a time");
    this.#busy = true;
    const copy = bytes.slice();
    await new Promise((done) => setTimeout(done, 0));
    this.#busy = false;
    if (this.fail) throw new Error("broken pipe");
    this.written.push(copy);
  }
  close(): void {
    this.closed++;
  }
  get packets(): Packet[] {
    return readByReference(new Uint8Array(Buffer.concat(this.written)), 4).packets;
  }
}

const settle = () => new Promise((done) => setTimeout(done, 20));

Deno.test("gate: its own packets stand only between whole packets of npm:mqtt", async () => {
  const wire = new SlowWire();
  const gate = new Gate(wire);
  const subscribe = bytesOf({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a/b", qos: 1 }] }, 4);
  const puback = bytesOf({ cmd: "puback", messageId: 9 }, 4);
  for (let cut = 1; cut < subscribe.length; cut++) {
    gate.write(subscribe.subarray(0, cut));
    const sent = gate.send(puback);
    gate.write(subscribe.subarray(cut));
    await sent;
    await settle();
  }
  const { packets } = wire;
  assert.equal(packets.length, 2 * (subscribe.length - 1));
  assert.deepEqual(packets.slice(0, 2).map((packet) => packet.cmd), ["puback", "subscribe"]);
  gate.destroy();
});

Deno.test("gate: acknowledgements of npm:mqtt never leave, everything else of it does", async () => {
  const wire = new SlowWire();
  const gate = new Gate(wire);
  const packets: Packet[] = [
    { cmd: "puback", messageId: 1 },
    { cmd: "pingreq" },
    { cmd: "pubrec", messageId: 2 },
    { cmd: "pubcomp", messageId: 3 },
    { cmd: "publish", topic: "t", payload: "x", qos: 1, messageId: 4, dup: false, retain: false },
    { cmd: "pubrel", messageId: 5, qos: 1 } as Packet,
    { cmd: "disconnect" },
  ];
  for (const packet of packets) writeToStream(packet, gate);
  await settle();
  assert.deepEqual(wire.packets.map((packet) => packet.cmd), ["pingreq", "publish", "pubrel", "disconnect"]);
  gate.destroy();
});

Deno.test("gate: packets for npm:mqtt are copied, for the receive buffer is used again", async () => {
  const gate = new Gate(new SlowWire());
  const bytes = Uint8Array.from([0xd0, 0]);
  const seen: number[] = [];
  gate.on("data", (chunk: Buffer) => seen.push(...chunk));
  gate.pass(bytes);
  bytes.fill(0xff);
  await settle();
  assert.deepEqual(seen, [0xd0, 0]);
  gate.destroy();
  gate.pass(bytes); // after its end nothing happens
});

Deno.test("gate: whoever sends hears that the connection broke, and destroying it closes the connection", async () => {
  const wire = new SlowWire();
  const gate = new Gate(wire);
  wire.fail = true;
  await assert.rejects(gate.send(Uint8Array.from([0x40, 2, 0, 1])), /broken pipe/);
  const closed = new Promise((done) => gate.once("close", done));
  gate.destroy();
  await closed;
  assert.equal(wire.closed, 1);
});
