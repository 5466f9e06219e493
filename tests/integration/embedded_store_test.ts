/** The agent's own broker and the disk: nothing is acknowledged before its sync, whatever the disk does. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DiskFullError, LostSyncError, OperationError } from "../../agent/base/errors.ts";
import type { SpoolApi } from "../../agent/spool/spool_types.ts";
import { finish } from "../lab/command.ts";
import * as packets from "../lab/packets.ts";
import { accepts } from "../lab/ports.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { EmbeddedAgent } from "./embedded_setup.ts";

const facts = { operation: "append to segment", place: "spool", cause: "no space left on device" };

/** Holds commits back, or makes them fail before anything is written. */
class Disk {
  commits = 0;
  before: () => Promise<void> = () => Promise.resolve();

  over = (real: SpoolApi): SpoolApi => {
    const commit = real.commit.bind(real);
    real.commit = async () => {
      this.commits++;
      await this.before();
      await commit();
    };
    return real;
  };

  /** Commits wait from now on; call what it returns to let them go. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.before = () => promise;
    return () => {
      this.before = () => Promise.resolve();
      resolve();
    };
  }
}

function publishBytes(payload: string, qos: 0 | 1 | 2, id: number, dup = false): Uint8Array {
  const into = new Uint8Array(payload.length + 32);
  const encoder = new TextEncoder();
  const fields = { topic: encoder.encode("t"), payload: encoder.encode(payload), qos, retain: false, id };
  const end = packets.writePublish(into, 0, { ...fields, properties: new Uint8Array() }, 4);
  if (dup) into[0]! |= 8;
  return into.subarray(0, end);
}

/** A raw MQTT 3.1.1 client that shows every packet it gets. */
class Wire {
  readonly seen: { type: number; id: number }[] = [];
  closed = false;
  readonly #reading: Promise<void>;

  private constructor(private readonly socket: Deno.Conn) {
    this.#reading = this.#read();
  }

  static async connect(agent: EmbeddedAgent, clientId = "wire", clean = true): Promise<Wire> {
    const wire = new Wire(await Deno.connect({ hostname: "127.0.0.1", port: agent.port }));
    const connect = packets.connectPacket({ protocol: 4, clientId });
    if (!clean) connect[9] = 0;
    await wire.send(connect);
    await wire.sees(packets.packetType.connack);
    return wire;
  }

  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.socket.write(bytes.subarray(at));
  }

  async publish(payload: string, qos: 0 | 1 | 2, id: number, dup = false): Promise<void> {
    await this.send(publishBytes(payload, qos, id, dup));
  }

  count(type: number): number {
    return this.seen.filter((one) => one.type === type).length;
  }

  sees(type: number, times = 1): Promise<unknown> {
    return waitUntil(() => this.count(type) >= times, 20_000, `${times} packets of type ${type}`, {
      everyMs: 5,
      explain: () => `${JSON.stringify(this.seen)} closed: ${this.closed}`,
    });
  }

  isClosed(): Promise<unknown> {
    return waitUntil(() => this.closed, 20_000, "the connection to be closed", { everyMs: 5 });
  }

  async #read(): Promise<void> {
    const framer = new packets.Framer();
    const chunk = new Uint8Array(16 * 1024);
    try {
      for (let count; (count = await this.socket.read(chunk)) !== null;) {
        for (const packet of framer.push(chunk.subarray(0, count))) {
          const hasId = packet.type >= 4 && packet.type <= 7;
          this.seen.push({ type: packet.type, id: hasId ? packets.readAck(packet).id : 0 });
        }
      }
    } catch {
      // closed
    }
    this.closed = true;
  }

  async close(): Promise<void> {
    try {
      this.socket.close();
    } catch {
      // already
    }
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const { puback, pubrec, pubcomp, pubrel } = packets.packetType;

Deno.test("embedded broker: PUBACK and PUBREC wait for the sync, and one sync serves many", async () => {
  const disk = new Disk();
  await using agent = await EmbeddedAgent.start({}, { spool: disk.over });
  await using first = await Wire.connect(agent, "first");
  const release = disk.hold();
  const others = await Promise.all(Array.from({ length: 20 }, (_, i) => Wire.connect(agent, `w${i}`)));
  try {
    await first.publish("held", 1, 1);
    await agent.until("the commit to begin", () => disk.commits === 1);
    for (const [i, wire] of others.entries()) await wire.publish(`m${i}`, i % 2 === 0 ? 1 : 2, 1);
    await agent.until("all to have come", ({ received }) => received === 21);
    await delay(50); // nothing comes: there is nothing to wait for
    assert.equal(first.count(puback) + others.reduce((sum, one) => sum + one.seen.length - 1, 0), 0);
  } finally {
    release();
  }
  await first.sees(puback);
  for (const [i, wire] of others.entries()) await wire.sees(i % 2 === 0 ? puback : pubrec);
  assert.equal(disk.commits, 2);
  assert.equal(agent.payloads().length, 21);
  for (const wire of others) await wire.close();
});

Deno.test("embedded broker: a trickle gathers for the sync window and no longer", async () => {
  const disk = new Disk();
  await using agent = await EmbeddedAgent.start({}, { spool: disk.over, syncWindowMs: 400 });
  const wires = await Promise.all(Array.from({ length: 10 }, (_, i) => Wire.connect(agent, `w${i}`)));
  await wires[0]!.publish("at once", 1, 1);
  const startMs = performance.now();
  await wires[0]!.sees(puback);
  const firstMs = performance.now() - startMs;
  for (const wire of wires) await wire.publish("gathered", 1, 2);
  for (const [i, wire] of wires.entries()) await wire.sees(puback, i === 0 ? 2 : 1);
  assert.ok(firstMs < 390, `the first one waited ${firstMs} ms`);
  assert.equal(disk.commits, 2, "ten publishers share the second commit");
  for (const wire of wires) await wire.close();
});

Deno.test("embedded broker: a PUBLISH repeated with DUP on the next connection is stored once until its PUBREL", async () => {
  await using agent = await EmbeddedAgent.start();
  await using first = await Wire.connect(agent, "sensor", false);
  await first.publish("once", 2, 5);
  await first.sees(pubrec);
  await first.close();
  await using second = await Wire.connect(agent, "sensor", false);
  await second.publish("once", 2, 5, true);
  await second.sees(pubrec);
  await second.send(packets.ackPacket(pubrel, 5));
  await second.sees(pubcomp);
  await second.send(packets.ackPacket(pubrel, 5));
  await second.sees(pubcomp, 2);
  assert.deepEqual([agent.payloads(), agent.status.duplicates], [["once"], 1]);
  await second.publish("next", 2, 5);
  await second.sees(pubrec, 2);
  // the client lost its state: the same id, DUP 0, another message
  await second.publish("and another", 2, 5);
  await second.sees(pubrec, 3);
  assert.deepEqual(agent.payloads(), ["once", "next", "and another"]);
});

Deno.test("embedded broker: a clean session forgets what its client had not released", async () => {
  await using agent = await EmbeddedAgent.start();
  for (const payload of ["one", "two"]) {
    await using wire = await Wire.connect(agent, "sensor");
    await wire.publish(payload, 2, 5, true);
    await wire.sees(pubrec);
  }
  assert.deepEqual(agent.payloads(), ["one", "two"]);
});

Deno.test("embedded broker: with the spool full nothing is acknowledged, clients are refused, and it goes on by itself", async () => {
  await using agent = await EmbeddedAgent.start();
  await using before = await Wire.connect(agent, "before");
  await before.publish("1", 1, 1);
  await before.sees(puback);
  agent.full = "2.0 GiB of 2.0 GiB";
  await before.publish("2", 1, 2);
  await before.isClosed();
  assert.equal(before.count(puback), 1);
  await agent.until(
    "the pause",
    ({ state, reason }) => state === "paused" && reason === "spool full: 2.0 GiB of 2.0 GiB",
  );
  const refused = await finish("mosquitto_pub", [
    ...["-h", "127.0.0.1", "-p", String(agent.port), "-t", "t", "-m", "3", "-q", "1"],
  ]);
  assert.match(refused.stderr, /unavailable/i);
  assert.deepEqual(agent.payloads(), ["1"]);
  agent.full = undefined;
  await agent.until("reception to go on", ({ state }) => state === "listening");
  await using after = await Wire.connect(agent, "after");
  await after.publish("2", 1, 2, true);
  await after.sees(puback);
  assert.deepEqual(agent.payloads(), ["1", "2"]);
});

for (
  const [name, error, reason] of [
    ["for want of room", new DiskFullError(facts), /no space left/],
    ["for another reason", new OperationError({ ...facts, cause: "EIO", retryable: true }), /EIO/],
  ] as const
) {
  Deno.test(`embedded broker: when the disk refuses ${name} nothing of the batch is acknowledged, and it is tried again`, async () => {
    const disk = new Disk();
    await using agent = await EmbeddedAgent.start({}, { spool: disk.over });
    await using other = await Wire.connect(agent, "other");
    await using wire = await Wire.connect(agent);
    const { commit } = agent.spool;
    agent.spool.commit = () => {
      agent.spool.commit = commit;
      return Promise.reject(error); // what was added stays pending here, and goes with the next commit
    };
    await wire.publish("a", 1, 1);
    await wire.isClosed();
    assert.equal(wire.count(puback), 0);
    assert.equal(agent.status.state, "paused");
    assert.match(agent.status.reason!, reason);
    await agent.until("another try", ({ state }) => state === "listening");
    await other.publish("b", 1, 1);
    await other.sees(puback);
  });
}

Deno.test("embedded broker: a failed sync ends the agent, and nobody gets an answer", async () => {
  await using agent = await EmbeddedAgent.start();
  await using wire = await Wire.connect(agent);
  await using waiting = await Wire.connect(agent, "waiting");
  const lost = new LostSyncError({ operation: "sync", place: "segment", cause: "EIO" });
  agent.spool.commit = async () => {
    await waiting.publish("b", 2, 1);
    await agent.until("the next message", ({ received }) => received === 2);
    throw lost;
  };
  await wire.publish("a", 1, 1);
  await assert.rejects(agent.running, lost);
  await wire.isClosed();
  await waiting.isClosed();
  assert.equal(wire.count(puback) + waiting.count(pubrec), 0);
  assert.equal(agent.status.state, "stopped");
  await agent.stop().catch(() => {}); // the same error
});

Deno.test("embedded broker: asked to stop, it stores and acknowledges what it has, and takes nothing more", async () => {
  const disk = new Disk();
  await using agent = await EmbeddedAgent.start({}, { spool: disk.over });
  await using wire = await Wire.connect(agent);
  const release = disk.hold();
  await wire.send(Buffer.concat([1, 2, 3].map((id) => publishBytes(`m${id}`, id === 3 ? 2 : 1, id))));
  let stopped: Promise<void> | undefined;
  try {
    await agent.until("all to have come", ({ received }) => received === 3);
    stopped = agent.stop();
    await waitUntil(async () => !await accepts(agent.port, "127.0.0.1"), 20_000, "connections to be refused");
    await wire.publish("late", 1, 4);
  } finally {
    release();
  }
  await stopped;
  await wire.isClosed();
  assert.deepEqual([wire.count(puback), wire.count(pubrec)], [2, 1]);
  assert.equal(agent.spool.nextSequence(), 4);
});
