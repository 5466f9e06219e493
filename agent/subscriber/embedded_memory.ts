/**
 * What aedes remembers between packets, bounded: retained messages and QoS 2 ids. Sessions of subscribers are not kept:
 * who is away misses what passes, and CONNACK says so (session present 0). Method names are aedes's own.
 */
import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import type { AedesPublishPacket } from "aedes";
import { embeddedRetainedBytesMax, embeddedRetainedMax } from "../limits.ts";
import type { EmbeddedIds } from "./embedded_ids.ts";
import { TopicFilter } from "./topic_filter.ts";

type Client = { id: string };
type WithId = { messageId?: number | undefined };
type Retained = Pick<AedesPublishPacket, "topic" | "qos"> & { cmd: "publish"; retain: true; payload: Buffer };

const encoder = new TextEncoder();

export class EmbeddedMemory {
  readonly #retained = new Map<string, Retained>();
  #retainedBytes = 0;

  constructor(private readonly ids: EmbeddedIds, private readonly onRetainedFull: () => void) {}

  /** aedes wants an async function. */
  async setup(): Promise<void> {}

  storeRetained({ topic, qos, payload }: AedesPublishPacket): Promise<void> {
    const earlier = this.#retained.get(topic);
    if (earlier !== undefined) {
      this.#retained.delete(topic);
      this.#retainedBytes -= sizeOf(topic, earlier.payload);
    }
    if (payload.length === 0) return Promise.resolve(); // takes the retained message away (3.3.1.3)
    // a copy of its own: the payload is part of what was read from the connection
    const copy = Buffer.allocUnsafeSlow(payload.length);
    copy.set(typeof payload === "string" ? encoder.encode(payload) : payload);
    const bytes = this.#retainedBytes + sizeOf(topic, copy);
    if (this.#retained.size >= embeddedRetainedMax || bytes > embeddedRetainedBytesMax) this.onRetainedFull();
    else {
      this.#retained.set(topic, { cmd: "publish", topic, qos, retain: true, payload: copy });
      this.#retainedBytes = bytes;
    }
    return Promise.resolve();
  }

  createRetainedStreamCombi(patterns: string[]): Readable {
    return Readable.from(matching(this.#retained, patterns.map((pattern) => new TopicFilter(pattern))));
  }

  // PUBLISH and PUBREL at QoS 2: what is held was written down before aedes was asked to go on

  incomingGetPacket({ id }: Client, packet: WithId): Promise<WithId> {
    const held = this.ids.find(id, packet.messageId!);
    if (held?.state === "known") return Promise.resolve(packet);
    if (held?.state === "stored") held.state = "known";
    return Promise.reject(new Error("no such packet"));
  }

  incomingStorePacket(): Promise<void> {
    return Promise.resolve();
  }

  incomingDelPacket({ id }: Client, packet: WithId): Promise<void> {
    this.ids.release(id, packet.messageId!);
    return Promise.resolve();
  }

  cleanIncoming({ id }: Client): Promise<void> {
    this.ids.forget(id);
    return Promise.resolve();
  }

  // sessions of subscribers

  addSubscriptions(): Promise<void> {
    return Promise.resolve();
  }
  removeSubscriptions(): Promise<void> {
    return Promise.resolve();
  }
  cleanSubscriptions(): Promise<void> {
    return Promise.resolve();
  }
  subscriptionsByClient(): Promise<[]> {
    return Promise.resolve([]);
  }
  subscriptionsByTopic(): Promise<[]> {
    return Promise.resolve([]);
  }
  outgoingEnqueue(): Promise<void> {
    return Promise.resolve();
  }
  outgoingEnqueueCombi(): Promise<void> {
    return Promise.resolve();
  }
  outgoingUpdate(): Promise<void> {
    return Promise.resolve();
  }
  outgoingClearMessageId(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
  outgoingStream(): Readable {
    return Readable.from([]);
  }

  // wills stay with their connections; there is no other broker whose wills could be left behind

  putWill(): Promise<void> {
    return Promise.resolve();
  }
  delWill(): Promise<void> {
    return Promise.resolve();
  }
  streamWill(): Readable {
    return Readable.from([]);
  }
}

function sizeOf(topic: string, payload: Uint8Array): number {
  return 2 * topic.length + payload.length;
}

function* matching(retained: Map<string, Retained>, filters: TopicFilter[]): Generator<Retained> {
  for (const [topic, packet] of retained) {
    const bytes = encoder.encode(topic);
    if (filters.some((filter) => filter.matches(bytes, 0, bytes.length))) yield packet;
  }
}
