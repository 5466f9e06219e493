/**
 * The stream that npm:mqtt believes to be its connection. PUBLISH and PUBREL coming in never reach it, and PUBACK, PUBREC
 * and PUBCOMP are written by the gate's own side, always between two whole packets of npm:mqtt.
 */
import { Duplex } from "node:stream";
import { Buffer } from "node:buffer";
import { OutgoingFramer, packetType } from "./framing.ts";
import type { Transport } from "./transport.ts";

const ours: number[] = [packetType.puback, packetType.pubrec, packetType.pubcomp];

export class Gate extends Duplex {
  readonly #framer = new OutgoingFramer();
  /** Resolves when all that was handed over has been written. */
  #written: Promise<void> = Promise.resolve();

  constructor(private readonly transport: Pick<Transport, "write" | "close">) {
    super({ autoDestroy: true, allowHalfOpen: false });
  }

  /** Hands a whole packet of the broker's to npm:mqtt. */
  pass(packet: Uint8Array): void {
    if (!this.destroyed) this.push(Buffer.from(packet)); // a copy: the receive buffer is used again
  }

  /** Writes whole packets of our own behind what was handed over before; resolves when they are with the system. */
  send(packets: Uint8Array): Promise<void> {
    const written = this.#written.then(() => this.transport.write(packets));
    this.#written = written.catch(() => {}); // whoever waits for its own bytes hears of it; the reader sees the close
    return written;
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    let packets: Uint8Array[];
    try {
      packets = this.#framer.add(chunk).filter((packet) => !ours.includes(packet[0]! >> 4));
    } catch (error) {
      return done(error as Error);
    }
    const all = packets.map((packet) => this.send(packet));
    Promise.all(all).then(() => done(), (error) => done(error));
  }

  override _read(): void {
    // pass() pushes; few and small packets come this way, and the reader bounds them
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.transport.close();
    done(error);
  }
}
