/**
 * One client's connection, as aedes wants it: a stream. It hands on whole packets only, a few at a time, and reads no more
 * before these are settled: what a client can make the process hold is bounded, however fast it sends.
 */
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import type { Clock } from "../base/clock.ts";
import {
  embeddedOutgoingBytesMax,
  embeddedPacketsMax,
  embeddedReadBytes,
  lingerBytesMax,
  lingerMs,
} from "../limits.ts";
import { PacketCutter, ProtocolError } from "./embedded_packets.ts";

/** What the large packets of all connections take together. */
export class LargeBytes {
  held = 0;

  constructor(private readonly bytesMax: number) {}

  /** Takes or gives back; false when that goes beyond the limit (it counts all the same). */
  change(bytes: number): boolean {
    this.held += bytes;
    return bytes <= 0 || this.held <= this.bytesMax;
  }
}

type Done = (error?: Error | null) => void;

export class EmbeddedConnection extends Duplex {
  readonly #cutter = new PacketCutter();
  readonly #readBuffer = new Uint8Array(embeddedReadBytes);
  /** Messages that were handed on and are not settled. */
  #unsettled = 0;
  #handedBytes = 0;
  #largeBytes = 0;
  /** CONNECT waits for its answer: nothing else is handed on. */
  #awaitsConnack = false;
  #connectSeen = false;
  #stopped = false;
  #wake: (() => void) | undefined;
  #quiet: (() => void) | undefined;
  #reading: Promise<number | null> | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Resolves when the socket is closed. */
  readonly closing = Promise.withResolvers<void>();

  constructor(
    private readonly socket: Deno.Conn,
    private readonly clock: Pick<Clock, "sleep">,
    private readonly large: LargeBytes,
  ) {
    super({ readableHighWaterMark: 1, writableHighWaterMark: embeddedOutgoingBytesMax });
  }

  /** Where it comes from, for the log. */
  get peer(): string {
    const address = this.socket.remoteAddr;
    return "hostname" in address ? address.hostname : address.transport;
  }

  /** Resolves when all that was handed on is settled. */
  async quiet(): Promise<void> {
    while (this.#unsettled > 0 && !this.destroyed) {
      await new Promise<void>((resolve) => this.#quiet = resolve);
    }
    await nextTurn(); // the last acknowledgement is written then
  }

  /** One message is stored and handed on to those who subscribed to it. */
  settled(): void {
    if (--this.#unsettled === 0) {
      this.#handedBytes = 0;
      this.#count();
      this.#quiet?.();
    }
    this.#wake?.();
  }

  /** Reads no more; what was handed on is still answered. */
  stopReading(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** What a listener throws, such as a parser, ends this connection and not the agent. */
  override emit(event: string | symbol, ...parameters: unknown[]): boolean {
    try {
      return super.emit(event, ...parameters);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
      return true;
    }
  }

  override _read(): void {
    this.#handOn().catch((error) => void this.destroy(error));
  }

  /** Pushes the next packets, or the end of the stream. */
  async #handOn(): Promise<void> {
    while (true) {
      await this.#calm();
      if (this.destroyed || this.#stopped) return;
      const cut = this.#cutter.take(embeddedPacketsMax);
      if (cut !== undefined) {
        if (!this.#connectSeen) this.#connectSeen = this.#awaitsConnack = true;
        this.#unsettled += cut.publishes;
        if (cut.publishes > 0) this.#handedBytes = cut.bytes.length;
        this.#count();
        return void this.push(cut.bytes);
      }
      const count = await (this.#reading = this.socket.read(this.#readBuffer));
      this.#reading = undefined;
      if (this.destroyed || this.#stopped) return;
      if (count === null) return void this.push(null);
      this.#cutter.add(this.#readBuffer.subarray(0, count));
      if (!this.#count()) throw new ProtocolError("clients send too many large packets at once");
    }
  }

  /** Waits until what was handed on is settled, and what was written is taken. */
  async #calm(): Promise<void> {
    const busy = () =>
      this.#unsettled > 0 || this.#awaitsConnack || this.writableLength >= embeddedOutgoingBytesMax;
    while (busy() && !this.destroyed && !this.#stopped) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#wake = undefined;
  }

  /** Keeps account of what goes beyond a few reads. */
  #count(): boolean {
    const now = this.destroyed
      ? 0
      : Math.max(0, this.#cutter.heldBytes + this.#handedBytes - 4 * embeddedReadBytes);
    const change = now - this.#largeBytes;
    this.#largeBytes = now;
    return this.large.change(change);
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#write(chunk, done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: Done): void {
    const all = new Uint8Array(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0));
    let at = 0;
    for (const { chunk } of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    this.#write(all, done);
  }

  #write(bytes: Uint8Array, done: Done): void {
    this.#writing = this.#writeAll(bytes).then(() => done(), done).then(() => {
      this.#awaitsConnack = false;
      this.#wake?.();
    });
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.socket.write(bytes.subarray(at));
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#count();
    this.#wake?.();
    this.#quiet?.();
    this.#close(error).then(() => {
      this.closing.resolve();
      done(error);
    });
  }

  /**
   * Closes the socket: what is being written gets a moment, and after an end in order the client gets one to read it (closed
   * with bytes unread, TCP would take the last acknowledgements back).
   */
  async #close(error: Error | null): Promise<void> {
    const over = new AbortController();
    const patience = this.clock.sleep(lingerMs, over.signal);
    try {
      await Promise.race([this.#writing, patience]);
      if (error === null) await Promise.race([this.#sayGoodbye(), patience]);
    } catch {
      // the client is gone
    }
    over.abort();
    try {
      this.socket.close();
    } catch {
      // closed already
    }
  }

  async #sayGoodbye(): Promise<void> {
    await this.socket.closeWrite();
    for (let bytes = 0; bytes < lingerBytesMax;) {
      const count = await (this.#reading ?? this.socket.read(this.#readBuffer));
      this.#reading = undefined;
      if (count === null) return;
      bytes += count;
    }
  }
}

/** After what is under way in this turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((done) => void setImmediate(done));
}
