/**
 * One batch at a time: read → decode → append → fdatasync → acknowledge. Runs from the first byte of a connection to its
 * end. One buffer, no copy of a message but the one into the spool.
 */
import { setImmediate } from "node:timers";
import type { IConnackPacket } from "mqtt-packet";
import type { Clock } from "../base/clock.ts";
import { DiskFullError, LostSyncError, reasonOf } from "../base/errors.ts";
import { lingerBytesMax, lingerMs } from "../limits.ts";
import type { Counters } from "./counters.ts";
import type { Gate } from "./gate.ts";
import type { Intake } from "./intake.ts";
import type { Pace } from "./pace.ts";
import type { PacketWalk } from "./packet_walk.ts";
import type { QueuedWatch } from "./queued_watch.ts";
import type { ReceiveBuffer } from "./receive_buffer.ts";
import type { Transport } from "./transport.ts";

/** Why reading ended. What was read before is stored and acknowledged, except with "full", "disk" and "lost". */
export type ReceiveEnd =
  | { kind: "stopped" }
  | { kind: "end of stream" }
  | { kind: "lost"; reason: string }
  | { kind: "malformed"; reason: string }
  | { kind: "full"; reason: string }
  /** The disk refuses for another reason than want of room. */
  | { kind: "disk"; reason: string };

export interface ReceiveParts {
  transport: Transport;
  gate: Gate;
  buffer: ReceiveBuffer;
  walk: PacketWalk;
  intake: Intake;
  counters: Counters;
  queued: QueuedWatch;
  pace: Pace;
  clock: Clock;
  fullReason: () => string | undefined;
  /** A CONNACK; nothing waits to be acknowledged then. False: the connection is refused, and reading ends. */
  onConnack: (packet: IConnackPacket) => boolean;
  /** A batch is durable and acknowledged. */
  onBatch: (messages: number) => void;
}

/** A read of the socket: under way until `count` or `error` is set. `promise` never rejects. */
interface Reading {
  promise: Promise<void>;
  /** Bytes that came; null: the stream is at its end. */
  count: number | null | undefined;
  error: unknown;
}

export class ReceiveLoop {
  /** How long the last read waited for its first byte. */
  #waitedMs = 0;
  /** The disk is being waited for: that the broker is silent then says nothing about the connection. */
  committing = false;
  /** Bytes read since the start of the connection. */
  readBytes = 0;
  #commitError: unknown;
  #wake: (() => void) | undefined;
  #reading: Reading | undefined;

  constructor(private readonly parts: ReceiveParts) {}

  /** Reads until the connection ends or `stop` aborts. Rejects with LostSyncError only. */
  async run(stop: AbortSignal): Promise<ReceiveEnd> {
    const wake = () => this.#wake?.();
    stop.addEventListener("abort", wake);
    try {
      return await this.#run(stop);
    } catch (error) {
      if (error instanceof LostSyncError) throw error;
      const reason = reasonOf(error);
      if (error !== this.#commitError) return { kind: "lost", reason };
      return { kind: error instanceof DiskFullError ? "full" : "disk", reason };
    } finally {
      stop.removeEventListener("abort", wake);
    }
  }

  async #run(stop: AbortSignal): Promise<ReceiveEnd> {
    const { counters, pace, clock, fullReason } = this.parts;
    while (true) {
      const receivedBefore = counters.received;
      const bytesBefore = this.readBytes;
      const end = await this.#read(stop) ?? await this.#takeBatch(stop);
      const messages = counters.received - receivedBefore; // without the agent's own, and what the broker says of itself
      if (messages > 0) this.parts.onBatch(messages);
      if (end !== undefined) return end;
      const reason = fullReason();
      if (reason !== undefined) return { kind: "full", reason };
      const pauseMs = pace.pauseMs(this.readBytes - bytesBefore, messages, this.#waitedMs);
      if (pauseMs > 0) await clock.sleep(pauseMs, stop);
    }
  }

  /** Waits for bytes and puts them into the buffer; or says why there will be none. */
  async #read(stop: AbortSignal): Promise<ReceiveEnd | undefined> {
    const { transport, clock, queued, intake } = this.parts;
    // what came while the last batch was made durable has been read, and is taken before the end
    const over = () => stop.aborted && typeof this.#reading?.count !== "number";
    if (over()) return { kind: "stopped" };
    const startMs = clock.bootMs();
    const { promise: woken, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const reading = this.#reading ??= this.#beginRead();
    reading.promise.then(resolve);
    await woken;
    if (over()) return { kind: "stopped" };
    this.#waitedMs = clock.bootMs() - startMs;
    queued.waited(this.#waitedMs);
    let count = this.#endRead(reading);
    if (count === null) return { kind: "end of stream" };
    while (count !== null && count >= transport.gatherBytes) count = await this.#gather();
    intake.beginBatch();
    return undefined;
  }

  /**
   * TLS hands out little at a time, however much has come: takes what is there without waiting. What is not there yet is
   * read while the batch is made durable. Returns how much it took; null: nothing.
   */
  async #gather(): Promise<number | null> {
    const { buffer } = this.parts;
    if (buffer.held === buffer.bytes.length) return null;
    const reading = this.#reading = this.#beginRead();
    await new Promise<void>((done) => setImmediate(done));
    return reading.count === undefined || reading.count === null ? null : this.#endRead(reading);
  }

  #beginRead(): Reading {
    const { buffer, transport, walk } = this.parts;
    const reading: Reading = { promise: Promise.resolve(), count: undefined, error: undefined };
    reading.promise = transport.read(buffer.space(walk.packetBytes)).then(
      (count) => void (reading.count = count),
      (error) => void (reading.error = error),
    );
    return reading;
  }

  /** Takes what a read that is over has brought. */
  #endRead(reading: Reading): number | null {
    this.#reading = undefined;
    if (reading.count === undefined) throw reading.error;
    this.parts.buffer.end += reading.count ?? 0;
    this.readBytes += reading.count ?? 0;
    return reading.count;
  }

  /** Decodes all that is there, makes it durable and acknowledges it. */
  async #takeBatch(stop: AbortSignal): Promise<ReceiveEnd | undefined> {
    const { walk, intake, gate, onConnack } = this.parts;
    while (true) {
      const step = walk.walk();
      if (step.kind !== "connack") await this.#settle();
      if (step.kind === "taken") return undefined;
      if (step.kind === "malformed") return step;
      if (step.kind === "drain") {
        const end = await this.#drain(stop);
        if (end !== undefined) return end;
        continue;
      }
      if (!onConnack(step.packet)) return { kind: "stopped" };
      // that the broker forgot the session is durable before anything is subscribed
      await this.#settle();
      gate.pass(step.bytes);
      intake.beginBatch();
    }
  }

  /** One write, one sync, one write of acknowledgements. */
  async #settle(): Promise<void> {
    const { intake, gate, counters } = this.parts;
    this.committing = true;
    try {
      await intake.commit();
    } catch (error) {
      this.#commitError = error;
      throw error;
    } finally {
      this.committing = false;
    }
    const { acknowledgements } = intake;
    if (acknowledgements.empty) return;
    await gate.send(acknowledgements.bytes);
    counters.acknowledged += acknowledgements.messages;
    acknowledgements.clear();
  }

  async #drain(stop: AbortSignal): Promise<ReceiveEnd | undefined> {
    const { walk, buffer, fullReason } = this.parts;
    const drain = walk.beginDrain();
    while (true) {
      buffer.start += drain.take(buffer.bytes, buffer.start, buffer.end);
      if (drain.done) break;
      const end = await this.#read(stop);
      if (end !== undefined) return end;
      const reason = fullReason();
      if (reason !== undefined) return { kind: "full", reason };
    }
    walk.endDrain(drain);
    return undefined;
  }

  /**
   * Writes DISCONNECT and reads on until the broker closes, so that it gets to read our last packets, and counts the
   * messages at QoS 0 that were on their way. Ends after lingerMs or lingerBytesMax. Never throws.
   */
  async sayGoodbye(disconnect: Uint8Array): Promise<void> {
    const { transport, gate, walk, intake, clock } = this.parts;
    const over = new AbortController();
    const timer = clock.sleep(lingerMs, over.signal).then(() => transport.close());
    walk.sink = { message: (reading) => intake.lose(reading), release() {}, control() {}, disconnect() {} };
    const enough = this.readBytes + lingerBytesMax;
    try {
      await gate.send(disconnect);
      while (this.readBytes < enough) {
        const reading = this.#reading ??= this.#beginRead();
        await reading.promise;
        if (this.#endRead(reading) === null) break;
        if (walk.walk().kind !== "taken") break;
      }
    } catch {
      // closed, by us or by the broker
    }
    over.abort();
    await timer;
  }
}
