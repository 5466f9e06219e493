/**
 * A broker of the test's own, packet by packet: for what Mosquitto can't be made to do (refuse MQTT 5, keep silent, break
 * the rules, send a reason). It answers nothing by itself, except what the agent asks about `$SYS`: that it grants.
 */
import { Buffer } from "node:buffer";
import { generate, type Packet, parser as makeParser } from "mqtt-packet";
import { waitUntil } from "../lab/wait.ts";

export type FiguresPacket = Extract<Packet, { cmd: "subscribe" } | { cmd: "unsubscribe" }>;

function isFigures(packet: Packet): packet is FiguresPacket {
  const topics = packet.cmd === "subscribe"
    ? packet.subscriptions.map(({ topic }) => topic)
    : packet.cmd === "unsubscribe"
    ? packet.unsubscriptions
    : [];
  return topics.length > 0 && topics.every((topic) => topic.startsWith("$SYS/broker/"));
}

/** One client that connected. */
export class FakeClient {
  /** Everything it sent, in order. */
  readonly received: Packet[] = [];
  /** SUBSCRIBE and UNSUBSCRIBE for nothing but `$SYS`; these are not in `received`. */
  readonly figures: Packet[] = [];
  /** Answers such a packet; undefined: does not. */
  answerFigures: ((packet: FiguresPacket) => Promise<void>) | undefined = (packet) => this.#grant(packet);
  /** When its connection ended, by it or by us. */
  ended = false;
  #version = 4;
  #taken = 0;

  constructor(private readonly connection: Deno.Conn, readonly number: number) {}

  get version(): number {
    return this.#version;
  }

  async read(): Promise<void> {
    const parser = makeParser();
    parser.on("packet", (packet: Packet) => {
      if (packet.cmd === "connect") this.#version = packet.protocolVersion ?? 4;
      if (isFigures(packet)) {
        this.figures.push(packet);
        this.answerFigures?.(packet).catch(() => this.ended = true);
      } else this.received.push(packet);
    });
    const chunk = new Uint8Array(65_536);
    try {
      while (true) {
        const count = await this.connection.read(chunk);
        if (count === null) break;
        parser.parse(Buffer.from(chunk.slice(0, count)));
      }
    } catch {
      // closed
    }
    this.ended = true;
  }

  /** The next packet of that kind that was not asked for before; others before it are passed over. */
  async next<C extends Packet["cmd"]>(cmd: C, timeoutMs = 5_000): Promise<Extract<Packet, { cmd: C }>> {
    const find = () => this.received.findIndex((packet, i) => i >= this.#taken && packet.cmd === cmd);
    await waitUntil(() => find() >= 0 || this.ended, timeoutMs, `${cmd} of client ${this.number}`, {
      everyMs: 2,
      explain: () => this.received.map((packet) => packet.cmd).join(" "),
    });
    const at = find();
    if (at < 0) throw new Error(`client ${this.number} ended without ${cmd}`);
    this.#taken = at + 1;
    return this.received[at] as Extract<Packet, { cmd: C }>;
  }

  async send(...packets: (Packet | Uint8Array)[]): Promise<void> {
    const parts = packets.map((one) =>
      one instanceof Uint8Array ? one : generate(one, { protocolVersion: this.#version })
    );
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    try {
      for (let at = 0; at < bytes.length;) at += await this.connection.write(bytes.subarray(at));
    } catch {
      this.ended = true; // the client has gone; its test sees that elsewhere
    }
  }

  /** CONNACK with this code, after CONNECT. */
  async answerConnect(code = 0, sessionPresent = false, properties?: Record<string, unknown>): Promise<void> {
    const connect = await this.next("connect");
    const answer = connect.protocolVersion === 5 ? { reasonCode: code } : { returnCode: code };
    await this.send(
      { cmd: "connack", sessionPresent, ...answer, ...(properties ? { properties } : {}) } as Packet,
    );
  }

  /** SUBACK with these codes (repeated as needed) to the next SUBSCRIBE, which is returned. */
  async answerSubscribe(...codes: number[]): Promise<Extract<Packet, { cmd: "subscribe" }>> {
    const packet = await this.next("subscribe");
    const granted = packet.subscriptions.map((one, i) => codes[i % codes.length] ?? one.qos);
    await this.send({ cmd: "suback", messageId: packet.messageId!, granted } as Packet);
    return packet;
  }

  #grant(packet: FiguresPacket): Promise<void> {
    const cmd = packet.cmd === "subscribe" ? "suback" : "unsuback";
    const granted = packet.cmd === "subscribe"
      ? packet.subscriptions.map(() => 0)
      : packet.unsubscriptions.map(() => 0);
    return this.send({ cmd, messageId: packet.messageId!, granted } as Packet);
  }

  close(): void {
    try {
      this.connection.close();
    } catch {
      // closed already
    }
  }
}

export class FakeBroker implements AsyncDisposable {
  readonly clients: FakeClient[] = [];
  readonly port: number;
  readonly url: string;
  readonly #listener: Deno.TcpListener;
  readonly #running: Promise<void>[] = [];
  failure: unknown;

  /** `serve` is called for each client that connects. */
  constructor(private readonly serve: (client: FakeClient) => Promise<void> | void = () => {}) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.url = `mqtt://127.0.0.1:${this.port}`;
    this.#running.push(this.#accept());
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      connection.setNoDelay(true);
      const client = new FakeClient(connection, this.clients.length + 1);
      this.clients.push(client);
      this.#running.push(client.read(), this.#serve(client));
    }
  }

  async #serve(client: FakeClient): Promise<void> {
    try {
      await this.serve(client);
    } catch (error) {
      if (!client.ended) this.failure ??= error;
    }
  }

  /** The n-th client, as soon as it connects. */
  client(number: number, timeoutMs = 10_000): Promise<FakeClient> {
    return waitUntil(() => this.clients[number - 1], timeoutMs, `client ${number}`, { everyMs: 2 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const client of this.clients) client.close();
    await Promise.all(this.#running);
    if (this.failure !== undefined) throw this.failure;
  }
}
