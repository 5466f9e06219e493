import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { gateBufferBytes, gatherPlainBytes, gatherTlsBytes } from "../../agent/limits.ts";
import { Counters } from "../../agent/subscriber/counters.ts";
import { Gate } from "../../agent/subscriber/gate.ts";
import { Intake } from "../../agent/subscriber/intake.ts";
import { Pace } from "../../agent/subscriber/pace.ts";
import { PacketWalk } from "../../agent/subscriber/packet_walk.ts";
import { QueuedWatch } from "../../agent/subscriber/queued_watch.ts";
import { ReceiveBuffer } from "../../agent/subscriber/receive_buffer.ts";
import { type ReceiveEnd, ReceiveLoop } from "../../agent/subscriber/receive_loop.ts";
import { makeFigures } from "../fakes/broker_figures.ts";
import { HurriedClock } from "../fakes/hurried_clock.ts";
import { MemorySpool } from "../fakes/memory_spool.ts";
import { waitUntil } from "../lab/wait.ts";
import { bytesOf, connack, readByReference } from "./mqtt_packets.ts";

/** A connection that hands out the given pieces one per read, and then waits for more. */
class Pieces {
  gatherBytes = gatherTlsBytes;
  reads = 0;
  /** Reads that are waiting. */
  waiting = 0;
  readonly written: Uint8Array[] = [];
  readonly #pieces: (Uint8Array | null)[] = [];
  #wake: (() => void) | undefined;

  give(...pieces: (Uint8Array | null)[]): void {
    this.#pieces.push(...pieces);
    this.#wake?.();
  }
  async read(into: Uint8Array): Promise<number | null> {
    this.reads++;
    this.waiting++;
    assert.equal(this.waiting, 1, "one read at a time");
    while (this.#pieces.length === 0) await new Promise<void>((done) => this.#wake = done);
    this.waiting--;
    const piece = this.#pieces.shift()!;
    if (piece === null) return null;
    const taken = piece.subarray(0, into.length);
    into.set(taken);
    if (taken.length < piece.length) this.#pieces.unshift(piece.subarray(taken.length));
    return taken.length;
  }
  write(bytes: Uint8Array): Promise<void> {
    this.written.push(bytes.slice());
    return Promise.resolve();
  }
  close(): void {
    this.give(null);
  }
  get acknowledged(): number {
    return readByReference(new Uint8Array(Buffer.concat(this.written)), 4).packets.length;
  }
}

class Setup {
  readonly wire = new Pieces();
  readonly spool = new MemorySpool();
  readonly counters = new Counters();
  /** Messages of each batch that had any. */
  readonly batches: number[] = [];
  readonly stop = new AbortController();
  readonly running: Promise<ReceiveEnd>;

  constructor() {
    const clock = new HurriedClock(1);
    const queued = new QueuedWatch();
    const { spool, counters, wire } = this;
    const intake = new Intake(
      { spool, clock, counters, queued, figures: makeFigures(), onMarker: () => {} },
      {
        exclude: [],
        marker: undefined,
      },
    );
    const gate = new Gate(wire);
    const buffer = new ReceiveBuffer();
    const walk = new PacketWalk(buffer, 4, {
      message: (reading) => intake.message(reading),
      release: (packetId) => intake.release(packetId),
      control: (bytes) => gate.pass(bytes),
      disconnect: () => {},
    }, () => 1_000_000);
    const loop = new ReceiveLoop({
      ...{ transport: wire, gate, buffer, walk, intake, counters, queued, clock, pace: new Pace(20) },
      fullReason: () => undefined,
      onConnack: (packet) => (intake.connected(4, packet.sessionPresent, undefined), true),
      onBatch: (messages) => this.batches.push(messages),
    });
    this.running = loop.run(this.stop.signal);
  }
}

/** `count` messages at QoS 1 in one piece of at least `bytes` bytes. */
function piece(count: number, bytes: number, from = 0): Uint8Array {
  return new Uint8Array(Buffer.concat(Array.from({ length: count }, (_, i) =>
    bytesOf({
      cmd: "publish",
      topic: "a",
      payload: Buffer.alloc(Math.ceil(bytes / count), String(from + i)),
      qos: 1,
      messageId: from + i + 1,
      dup: false,
      retain: false,
    }, 4))));
}

Deno.test("gate: what TLS hands out in small pieces is one batch, with one sync and one write of acknowledgements", async () => {
  const { wire, spool, running } = new Setup();
  const pieces = Array.from({ length: 50 }, (_, i) => piece(40, 4_096, 40 * i));
  wire.give(connack(4), ...pieces, null);
  assert.deepEqual(await running, { kind: "end of stream" });
  assert.equal(spool.readings.length, 2_000);
  assert.equal(spool.commits, 1);
  assert.equal(wire.written.length, 1);
  assert.equal(wire.acknowledged, 2_000);
});

for (const [gatherBytes, bytes] of [[gatherTlsBytes, 200], [gatherPlainBytes, 3_000]] as const) {
  Deno.test(`gate: a piece below ${gatherBytes} bytes is stored without a second look at the socket`, async () => {
    const { wire, spool, running } = new Setup();
    wire.gatherBytes = gatherBytes;
    wire.give(connack(4));
    await waitUntil(() => wire.reads === 2, 1_000, "the second read");
    const disk = Promise.withResolvers<void>();
    spool.onCommit = () => disk.promise;
    wire.give(piece(2, bytes));
    await new Promise((done) => setTimeout(done, 20));
    assert.equal(wire.reads, 2);
    disk.resolve();
    wire.close();
    await running;
  });
}

Deno.test("gate: what comes while the disk is waited for is the next batch, and no more than the buffer is read of it", async () => {
  const { wire, spool, counters, running } = new Setup();
  wire.give(connack(4));
  await waitUntil(() => wire.reads === 2, 1_000, "the second read");
  const disk = Promise.withResolvers<void>();
  spool.onCommit = () => disk.promise;
  wire.give(piece(10, 5_000));
  await waitUntil(() => wire.reads === 3, 1_000, "a read beside the sync");
  wire.give(...Array.from({ length: 40 }, (_, i) => piece(10, 60_000, 10 * i)));
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(wire.reads, 3, "one read is under way, no more");
  assert.equal(wire.written.length, 0);
  disk.resolve();
  wire.give(null);
  assert.deepEqual((await running).kind, "end of stream");
  assert.equal(spool.readings.length, 410);
  assert.equal(counters.acknowledged, 410);
  assert.ok(spool.commits >= 1 + Math.floor(40 * 60_000 / gateBufferBytes));
});

Deno.test("gate: stopping does not wait for the read that is under way", async () => {
  const { wire, spool, stop, running } = new Setup();
  wire.give(connack(4), piece(1, 10));
  await waitUntil(() => spool.readings.length === 1, 1_000, "the message");
  stop.abort();
  assert.deepEqual(await running, { kind: "stopped" });
  wire.close();
});

Deno.test("gate: what was read beside the last sync is stored and acknowledged before the end", async () => {
  const { wire, spool, counters, stop, running } = new Setup();
  wire.give(connack(4));
  await waitUntil(() => wire.reads === 2, 1_000, "the second read");
  const disk = Promise.withResolvers<void>();
  spool.onCommit = () => disk.promise;
  wire.give(piece(10, 5_000));
  await waitUntil(() => wire.reads === 3, 1_000, "a read beside the sync");
  wire.give(piece(10, 1_000, 10));
  await waitUntil(() => wire.waiting === 0, 1_000, "that read to end");
  stop.abort();
  disk.resolve();
  assert.deepEqual(await running, { kind: "stopped" });
  assert.equal(spool.readings.length, 20);
  assert.equal(counters.acknowledged, 20);
  assert.equal(wire.reads, 3);
});

Deno.test("gate: what the broker says of itself makes no batch, no sync and no acknowledgement", async () => {
  const { wire, spool, counters, batches, running } = new Setup();
  const figure = bytesOf({
    cmd: "publish",
    topic: "$SYS/broker/clients/connected",
    payload: Buffer.from("3"),
    qos: 0,
    dup: false,
    retain: true,
  }, 4);
  wire.give(connack(4), figure);
  await waitUntil(() => wire.reads === 3, 5_000, "the next read");
  assert.deepEqual([batches, spool.commits, counters.received], [[], 0, 0]);
  wire.give(new Uint8Array(Buffer.concat([figure, piece(2, 100), figure])));
  await waitUntil(() => wire.acknowledged === 2, 5_000, "the acknowledgements");
  wire.close();
  await running;
  assert.deepEqual([batches, spool.commits, counters.received], [[2], 1, 2]);
});
