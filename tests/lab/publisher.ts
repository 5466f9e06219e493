/**
 * A fast and exact MQTT publisher for tests and benches: it knows which messages the broker has taken over. Real
 * clients are slower or, like `mosquitto_pub -l`, lose messages without a word.
 */
import * as packets from "./packets.ts";

const { packetType } = packets;

export interface Message {
  topic: string;
  payload: string | Uint8Array;
  /** Default 0. */
  qos?: 0 | 1 | 2;
  retain?: boolean;
  /** MQTT 5 only. */
  userProperties?: [string, string][];
}

export interface PublisherOptions {
  port: number;
  hostname?: string;
  /** PEM file of the CA; connects with TLS. */
  caFile?: string | undefined;
  username?: string;
  password?: string;
  clientId?: string;
  /** 4 is MQTT 3.1.1 (default), 5 is MQTT 5. */
  protocol?: packets.Protocol;
  /** Messages at QoS 1 and 2 under way at once; less when the broker allows less (MQTT 5). Default 1,000. */
  inFlightMax?: number;
  /** Of these at QoS 2. Default 10: with 20 by its default settings Mosquitto closes a 3.1.1 connection. */
  qos2InFlightMax?: number;
}

const bufferBytes = 256 * 1024;
const encoder = new TextEncoder();
const noProperties = new Uint8Array();

/** A connection to a broker that publishes. `await using` closes it. */
export class Publisher implements AsyncDisposable {
  /** Messages that the broker has taken over: QoS 0 written, QoS 1 with PUBACK, QoS 2 with PUBCOMP. */
  taken = 0;
  readonly #free: number[];
  readonly #underWay = new Map<number, Message>();
  #qos2UnderWay = 0;
  readonly #topics = new Map<string, Uint8Array>();
  readonly #framer = new packets.Framer(64 * 1024);
  readonly #reading: Promise<void>;
  #buffer = new Uint8Array(bufferBytes);
  #used = 0;
  #writing: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #onTaken: ((message: Message) => void) | undefined;
  #closing = false;

  private constructor(
    private readonly connection: Deno.Conn,
    private readonly protocol: packets.Protocol,
    inFlightMax: number,
    private readonly qos2InFlightMax: number,
  ) {
    this.#free = Array.from({ length: inFlightMax }, (_, i) => inFlightMax - i);
    this.#reading = this.#read();
  }

  /** Connects with a clean session. Throws when the broker refuses. */
  static async connect(options: PublisherOptions): Promise<Publisher> {
    const { port, hostname = "127.0.0.1", caFile, protocol = 4, inFlightMax = 1_000 } = options;
    const connection = caFile === undefined
      ? await Deno.connect({ hostname, port })
      : await Deno.connectTls({ hostname, port, caCerts: [await Deno.readTextFile(caFile)] });
    try {
      if ("setNoDelay" in connection) connection.setNoDelay();
      const { username, password, clientId = `publisher-${crypto.randomUUID().slice(0, 8)}` } = options;
      await writeAll(connection, packets.connectPacket({ protocol, clientId, username, password }));
      const answer = packets.readConnack(await firstPacket(connection), protocol);
      if (answer.reason !== 0) throw new Error(`the broker refused the publisher: reason ${answer.reason}`);
      const most = Math.min(inFlightMax, answer.receiveMax);
      return new Publisher(connection, protocol, most, options.qos2InFlightMax ?? 10);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /**
   * Publishes in order and resolves when the broker has taken over every one; `onTaken` is told one by one. Throws
   * when the connection ends before. One call at a time.
   */
  async publish(messages: Iterable<Message>, onTaken?: (message: Message) => void): Promise<void> {
    this.#onTaken = onTaken;
    for (const message of messages) {
      while (this.#mustWait(message.qos ?? 0) && this.#failure === undefined) {
        this.#flush();
        await this.#woken();
      }
      if (this.#failure !== undefined) throw this.#failure;
      this.#add(message);
      if (this.#used > bufferBytes / 2) {
        this.#flush();
        await this.#writing;
      }
    }
    this.#flush();
    await this.#writing;
    while (this.#underWay.size > 0 && this.#failure === undefined) await this.#woken();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Says DISCONNECT and closes. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#failure === undefined) this.#write(packets.disconnectPacket);
    await this.#writing;
    try {
      this.connection.close();
    } catch { /* closed by the other side already */ }
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #mustWait(qos: number): boolean {
    return qos > 0 && this.#free.length === 0 || qos === 2 && this.#qos2UnderWay >= this.qos2InFlightMax;
  }

  #add(message: Message): void {
    const { qos = 0, retain = false } = message;
    const payload = typeof message.payload === "string" ? encoder.encode(message.payload) : message.payload;
    const topic = this.#topicBytes(message.topic);
    const properties = message.userProperties === undefined
      ? noProperties
      : packets.userProperties(message.userProperties);
    const most = topic.length + payload.length + properties.length + packets.publishOverheadBytes;
    if (this.#used + most > this.#buffer.length) this.#flush(most);
    const id = qos === 0 ? 0 : this.#free.pop()!;
    const fields = { topic, payload, qos, retain, id, properties };
    this.#used = packets.writePublish(this.#buffer, this.#used, fields, this.protocol);
    if (qos === 2) this.#qos2UnderWay++;
    if (qos > 0) this.#underWay.set(id, message);
    else this.#took(message);
  }

  #topicBytes(topic: string): Uint8Array {
    let bytes = this.#topics.get(topic);
    if (bytes === undefined) {
      bytes = encoder.encode(topic);
      if (this.#topics.size < 10_000) this.#topics.set(topic, bytes);
    }
    return bytes;
  }

  /** Hands the buffer to the writer and takes a new one with room for at least `roomBytes`. */
  #flush(roomBytes = 0): void {
    if (this.#used > 0) this.#write(this.#buffer.subarray(0, this.#used));
    this.#buffer = new Uint8Array(Math.max(bufferBytes, roomBytes));
    this.#used = 0;
  }

  #write(bytes: Uint8Array): void {
    this.#writing = this.#writing.then(async () => {
      if (this.#failure !== undefined) return;
      try {
        await writeAll(this.connection, bytes);
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  async #read(): Promise<void> {
    const chunk = new Uint8Array(64 * 1024);
    try {
      while (true) {
        const size = await this.connection.read(chunk);
        if (size === null) throw new Error("the broker closed the publisher's connection");
        const releases: Uint8Array[] = [];
        for (const packet of this.#framer.push(chunk.subarray(0, size))) this.#take(packet, releases);
        if (releases.length > 0) {
          this.#flush();
          this.#write(new Uint8Array(await new Blob(releases as BlobPart[]).arrayBuffer()));
        }
        this.#wake?.();
      }
    } catch (error) {
      if (!this.#closing) this.#fail(error);
    }
  }

  #take(packet: packets.Packet, releases: Uint8Array[]): void {
    if (packet.type === packetType.pubrec) {
      const { id, reason } = packets.readAck(packet);
      if (reason >= 128) throw new Error(`the broker refused a message: reason ${reason}`);
      releases.push(packets.ackPacket(packetType.pubrel, id));
    } else if (packet.type === packetType.puback || packet.type === packetType.pubcomp) {
      const { id, reason } = packets.readAck(packet);
      if (reason >= 128) throw new Error(`the broker refused a message: reason ${reason}`);
      const message = this.#underWay.get(id);
      if (message === undefined) throw new Error(`the broker acknowledged id ${id}, which is not under way`);
      this.#underWay.delete(id);
      this.#free.push(id);
      if (message.qos === 2) this.#qos2UnderWay--;
      this.#took(message);
    } else if (packet.type === packetType.disconnect) {
      throw new Error(`the broker disconnected the publisher: reason ${packet.head[0] ?? 0}`);
    }
  }

  #took(message: Message): void {
    this.taken++;
    this.#onTaken?.(message);
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#wake?.();
  }

  #woken(): Promise<void> {
    return new Promise((done) => this.#wake = done);
  }
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function firstPacket(connection: Deno.Conn): Promise<packets.Packet> {
  const framer = new packets.Framer();
  const chunk = new Uint8Array(1024);
  while (true) {
    const size = await connection.read(chunk);
    if (size === null) throw new Error("the broker closed the connection instead of answering CONNECT");
    const [packet] = framer.push(chunk.subarray(0, size));
    if (packet !== undefined) return packet;
  }
}
