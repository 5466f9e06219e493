/** The sender's side of QoS 0, 1 and 2 at full speed: one loop writes, one reads acknowledgements, nothing is encoded. */
import {
  Framer,
  packetIds,
  packetType,
  type Prepared,
  type Protocol,
  publishBytes,
  type Qos,
} from "./packets.ts";
import { endMessage } from "./messages.ts";
import { delay } from "../tests/lab/wait.ts";

export interface Order {
  qos: Qos;
  /** How many readings; the prepared ones are sent again and again. An end message at QoS 1 follows the last. */
  count: number;
  /** Most messages under way, as the receiver allows. */
  window: number;
  /** Readings per second; undefined: as fast as the receiver takes them. */
  perS: number | undefined;
  /** Number of the first reading: each carries its own. No end message follows then (QoS 1 or 2). */
  numberedFrom?: number;
}

/** Times in ms since 1970. */
export interface Poured {
  startedMs: number;
  /** All that is acknowledged at all is, the end message included. */
  doneMs: number;
  /** When each reading was written, only for numbered ones. */
  sentMs?: Float64Array;
}

/** Id of the end message: above all prepared ones. */
const endId = 65_535;
const sliceBytes = 256 * 1024;
const pubackHigh = packetType.puback >> 4;
const pubrecHigh = packetType.pubrec >> 4;
const pubcompHigh = packetType.pubcomp >> 4;

export const nowMs = (): number => performance.timeOrigin + performance.now();

export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Pours prepared messages into one connection. `take` is to be called with every packet that comes back. */
export class Pour {
  #sent = 0;
  #completed = 0;
  #releases: number[] = [];
  readonly #sentMs: Float64Array | undefined;
  #wake: () => void = () => {};

  constructor(
    private readonly conn: Deno.Conn,
    private readonly protocol: Protocol,
    private readonly prepared: Prepared,
    private readonly order: Order,
  ) {
    if (order.numberedFrom !== undefined) this.#sentMs = new Float64Array(order.count);
  }

  /** Notes an acknowledgement; true when the packet was one. */
  take(first: number, body: Uint8Array): boolean {
    const high = first >> 4;
    if (high === pubackHigh || high === pubcompHigh) this.#completed++;
    else if (high === pubrecHigh) this.#releases.push(body[0]!, body[1]!);
    else return false;
    this.#wake();
    return true;
  }

  /** The next packets that may be sent now, at least one unless the window or the pace forbids it. */
  #slice(elapsedMs: number): { bytes: Uint8Array; count: number } | undefined {
    const { qos, count, window, perS } = this.order;
    const { bytes, offsets } = this.prepared;
    const period = offsets.length - 1;
    const from = this.#sent % period;
    let room = Math.min(count - this.#sent, period - from);
    if (qos > 0) room = Math.min(room, Math.min(window, period, packetIds) - (this.#sent - this.#completed));
    if (perS !== undefined) room = Math.min(room, Math.floor(elapsedMs * perS / 1000) - this.#sent);
    if (room <= 0) return undefined;
    let to = from + 1;
    while (to < from + room && offsets[to + 1]! - offsets[from]! <= sliceBytes) to++;
    return { bytes: bytes.subarray(offsets[from]!, offsets[to]!), count: to - from };
  }

  /** Whether the end message may follow now. */
  #mayEnd(): boolean {
    const { qos, count, window } = this.order;
    return this.#sent === count && (qos === 0 || count - this.#completed < window);
  }

  async #waitForRoom(): Promise<void> {
    if (this.order.perS !== undefined) return await delay(1);
    await new Promise<void>((done) => this.#wake = done);
  }

  #takeReleases(): Uint8Array {
    const ids = this.#releases;
    this.#releases = [];
    const bytes = new Uint8Array(ids.length * 2);
    for (let i = 0; i < ids.length; i += 2) {
      bytes.set([packetType.pubrel | 2, 2, ids[i]!, ids[i + 1]!], i * 2);
    }
    return bytes;
  }

  /** Sends all; resolves when the last is acknowledged. */
  async run(): Promise<Poured> {
    const { qos, count } = this.order;
    const startedMs = nowMs();
    let ended = this.#sentMs !== undefined;
    const wanted = (qos === 0 ? 0 : count) + (ended ? 0 : 1);
    while (this.#completed < wanted) {
      const slice = this.#slice(nowMs() - startedMs);
      if (this.#releases.length > 0) {
        await writeAll(this.conn, this.#takeReleases());
      } else if (slice !== undefined) {
        this.#sentMs?.fill(nowMs(), this.#sent, this.#sent + slice.count);
        this.#sent += slice.count; // before the write: acknowledgements may come while it waits
        await writeAll(this.conn, slice.bytes);
      } else if (!ended && this.#mayEnd()) {
        ended = true;
        await writeAll(this.conn, publishBytes(this.protocol, 1, endMessage, endId));
      } else {
        await this.#waitForRoom();
      }
    }
    return { startedMs, doneMs: nowMs(), ...this.#sentMs === undefined ? {} : { sentMs: this.#sentMs } };
  }
}

/** Reads packets until the connection ends, however it ends. */
export async function readPackets(
  conn: Deno.Conn,
  each: (first: number, body: Uint8Array) => void,
): Promise<void> {
  const framer = new Framer();
  const buffer = new Uint8Array(256 * 1024);
  try {
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      framer.push(buffer.subarray(0, n), each);
    }
  } catch (error) {
    const cut = error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BadResource ||
      error instanceof Deno.errors.Interrupted;
    if (!cut) throw error;
  }
}
