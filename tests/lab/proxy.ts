/**
 * A TCP proxy for tests: cuts, delays and stalls what goes through it, and, between a broker and the agent, writes down
 * every packet of the message flow in both directions. What it has seen is what "on the wire" means in our tests.
 */
import * as packets from "./packets.ts";
import { delay } from "./wait.ts";

const { packetType } = packets;

/** `toClient`: from the server (broker) to the client that connected here (agent). */
export type Direction = "toClient" | "toServer";

/** Something that was seen. Acknowledgements count when they came in whole, publishes before they are passed on. */
export type WireEvent =
  & {
    /** Milliseconds on the test's own clock. */
    atMs: number;
    /** 1 is the first connection. */
    connection: number;
  }
  & (
    | { kind: "open" | "close" }
    | { kind: "connect"; protocol: packets.Protocol; cleanStart: boolean }
    | { kind: "connack"; sessionPresent: boolean; reason: number }
    | ({ kind: "publish"; direction: Direction } & packets.Publish)
    | { kind: "puback" | "pubrec" | "pubrel" | "pubcomp"; direction: Direction; id: number; reason: number }
    | { kind: "other"; direction: Direction; type: number }
  );

export interface ProxyOptions {
  to: { hostname?: string; port: number };
  /** Reads MQTT and records it; default true. Without, bytes are passed on as they are. */
  mqtt?: boolean;
  /** Bytes kept of each payload; default 256. */
  payloadBytesMax?: number;
}

interface Link {
  number: number;
  protocol: packets.Protocol;
  client: Deno.TcpConn;
  server: Deno.TcpConn;
  isOpen: boolean;
}

/** Listens on a port of its own on 127.0.0.1. `await using` ends it with all its connections. */
export class RecordingProxy implements AsyncDisposable {
  readonly events: WireEvent[] = [];
  /** Connections so far. */
  connections = 0;
  /** Closes what connects, at once. */
  refuses = false;
  /** Holds every chunk back for so long, in both directions. */
  delayMs = 0;
  /**
   * Sees each event before its bytes are passed on; "cut" closes the connection instead. Bytes of the same chunk that
   * stand before it are lost as well.
   */
  onEvent: ((event: WireEvent) => "cut" | void) | undefined;
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #links = new Set<Link>();
  readonly #work = new Set<Promise<void>>();
  readonly #payloadBytesMax: number;
  #stalled: { over: Promise<void>; end: () => void } | undefined;

  constructor(private readonly options: ProxyOptions) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#payloadBytesMax = options.payloadBytesMax ?? 256;
    this.#track(this.#accept());
  }

  /** Ends every connection now, on both sides. New ones are let in. */
  cut(): void {
    for (const link of this.#links) this.#end(link);
  }

  /** Passes nothing on, and reads nothing more, until `resume`. Connections stay. */
  stall(): void {
    if (this.#stalled !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stalled = { over: promise, end: resolve };
  }

  resume(): void {
    this.#stalled?.end();
    this.#stalled = undefined;
  }

  /** How many connections are open now. */
  openConnections(): number {
    return this.#links.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuses = true;
    this.#listener.close();
    this.resume();
    this.cut();
    await Promise.all(this.#work);
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    work.finally(() => this.#work.delete(work));
  }

  async #accept(): Promise<void> {
    while (true) {
      let client: Deno.TcpConn;
      try {
        client = await this.#listener.accept();
      } catch {
        return; // closed
      }
      if (this.refuses) client.close();
      else this.#track(this.#connect(client));
    }
  }

  async #connect(client: Deno.TcpConn): Promise<void> {
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", ...this.options.to });
    } catch {
      client.close(); // the server is down: the client sees a closed connection
      return;
    }
    for (const one of [client, server]) one.setNoDelay();
    const link: Link = { number: ++this.connections, protocol: 4, client, server, isOpen: true };
    this.#links.add(link);
    this.#note({ ...this.#stamp(link), kind: "open" });
    await Promise.all([this.#pump(link, "toServer"), this.#pump(link, "toClient")]);
  }

  /** Passes bytes on in one direction until either side ends; then both end. */
  async #pump(link: Link, direction: Direction): Promise<void> {
    const [from, to] = direction === "toServer" ? [link.client, link.server] : [link.server, link.client];
    // topic and properties stand before the payload
    const framer = this.options.mqtt === false
      ? undefined
      : new packets.Framer(128 * 1024 + this.#payloadBytesMax);
    const buffer = new Uint8Array(64 * 1024);
    try {
      while (true) {
        const size = await from.read(buffer);
        if (size === null) break;
        const chunk = buffer.subarray(0, size);
        if (framer !== undefined && this.#record(link, direction, framer.push(chunk)) === "cut") break;
        while (this.#stalled !== undefined) await this.#stalled.over;
        if (this.delayMs > 0) await delay(this.delayMs);
        for (let at = 0; at < chunk.length;) at += await to.write(chunk.subarray(at));
      }
    } catch (error) {
      if (error instanceof Error && error.message.startsWith("not MQTT")) throw error;
      // reset by a killed process, or closed here
    }
    this.#end(link);
  }

  #end(link: Link): void {
    if (!link.isOpen) return;
    link.isOpen = false;
    this.#links.delete(link);
    this.#note({ ...this.#stamp(link), kind: "close" });
    link.client.close();
    link.server.close();
  }

  #stamp(link: Link): { atMs: number; connection: number } {
    return { atMs: performance.now(), connection: link.number };
  }

  #note(event: WireEvent): "cut" | void {
    this.events.push(event);
    return this.onEvent?.(event);
  }

  #record(link: Link, direction: Direction, found: packets.Packet[]): "cut" | void {
    for (const packet of found) {
      if (this.#note(this.#event(link, direction, packet)) === "cut") return "cut";
    }
  }

  #event(link: Link, direction: Direction, packet: packets.Packet): WireEvent {
    const stamp = this.#stamp(link);
    switch (packet.type) {
      case packetType.connect: {
        const connect = packets.readConnect(packet);
        link.protocol = connect.protocol;
        return { ...stamp, kind: "connect", ...connect };
      }
      case packetType.connack: {
        const { sessionPresent, reason } = packets.readConnack(packet, link.protocol);
        return { ...stamp, kind: "connack", sessionPresent, reason };
      }
      case packetType.publish: {
        const publish = packets.readPublish(packet, link.protocol);
        const payload = publish.payload.slice(0, this.#payloadBytesMax);
        return { ...stamp, kind: "publish", direction, ...publish, payload };
      }
      case packetType.puback:
        return { ...stamp, kind: "puback", direction, ...packets.readAck(packet) };
      case packetType.pubrec:
        return { ...stamp, kind: "pubrec", direction, ...packets.readAck(packet) };
      case packetType.pubrel:
        return { ...stamp, kind: "pubrel", direction, ...packets.readAck(packet) };
      case packetType.pubcomp:
        return { ...stamp, kind: "pubcomp", direction, ...packets.readAck(packet) };
      default:
        return { ...stamp, kind: "other", direction, type: packet.type };
    }
  }
}
