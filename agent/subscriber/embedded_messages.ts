/** What becomes of each message that a client of the agent's own broker publishes, and when it is answered. */
import { createHash } from "node:crypto";
import { truncatedPayloadBytes } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import type { IncomingReading } from "../spool/spool_types.ts";
import type { Counters } from "./counters.ts";
import type { EmbeddedIds } from "./embedded_ids.ts";
import type { Answer, EmbeddedIntake } from "./embedded_intake.ts";
import { joined, truncationMarks } from "./message_properties.ts";
import { TopicFilter, topicNameFault } from "./topic_filter.ts";

/** A PUBLISH, or a will, which has no packet id. */
export interface EmbeddedMessage {
  topic: string;
  payload: Uint8Array | string;
  qos: 0 | 1 | 2;
  dup?: boolean;
  messageId?: number | undefined;
}

export interface EmbeddedMessagesParts {
  intake: Pick<EmbeddedIntake, "add">;
  ids: EmbeddedIds;
  counters: Counters;
  /** Why nothing is stored for the time being, or undefined. */
  refusal: () => string | undefined;
}

const encoder = new TextEncoder();
const none = new Uint8Array(0);

export class EmbeddedMessages {
  #topics: TopicFilter[] = [];
  #exclude: TopicFilter[] = [];
  #payloadBytesMax = 0;

  constructor(private readonly parts: EmbeddedMessagesParts, settings: MqttSettings) {
    this.reload(settings);
  }

  reload({ topics, exclude, maxPayloadBytes }: MqttSettings): void {
    this.#topics = topics.map((filter) => new TopicFilter(filter));
    this.#exclude = exclude.map((filter) => new TopicFilter(filter));
    this.#payloadBytesMax = maxPayloadBytes;
  }

  /**
   * Takes one message; `answer` is called once it is durable or needs no record. Called with an error, nothing may be
   * acknowledged: the client must be disconnected, so that it sends again.
   */
  take(clientId: string, message: EmbeddedMessage, answer: Answer): void {
    const { ids, counters, intake, refusal } = this.parts;
    const { qos, messageId } = message;
    const topic = encoder.encode(message.topic);
    const fault = message.topic.startsWith("$SYS/")
      ? "belongs to the broker"
      : topicNameFault(topic, 0, topic.length);
    if (fault !== undefined) return answer(new Error(`a message whose topic ${fault}`));
    counters.received++;
    const named = qos === 2 && messageId !== undefined;
    if (named && message.dup) {
      // with DUP 0 a held id names a new message: the client lost its state and began to count at 1 again
      const earlier = ids.find(clientId, messageId);
      if (earlier !== undefined) counters.duplicates++;
      if (earlier?.state === "pending") return void earlier.repetitions.push((error) => answer(error, true));
      if (earlier !== undefined) return answer(null, true);
    }
    const wanted = this.#wanted(topic);
    const why = wanted ? refusal() : undefined;
    if (why !== undefined) {
      if (qos === 0) counters.qos0Lost++;
      return answer(new Error(`the message can't be stored: ${why}`));
    }
    const settle = named ? this.#hold(clientId, messageId, answer) : answer;
    if (wanted) return intake.add(this.#reading(message, topic), settle);
    counters.excluded++;
    settle(null);
  }

  /** Holds the id; what it returns tells the message and its repetitions the answer. */
  #hold(clientId: string, packetId: number, answer: Answer): Answer {
    const { ids } = this.parts;
    const held = ids.begin(clientId, packetId);
    return (error) => {
      if (error === null) held.state = "stored";
      else if (ids.find(clientId, packetId) === held) ids.release(clientId, packetId);
      answer(error);
      for (const repetition of held.repetitions) repetition(error);
    };
  }

  #wanted(topic: Uint8Array): boolean {
    const matches = (filter: TopicFilter) => filter.matches(topic, 0, topic.length);
    return this.#topics.some(matches) && !this.#exclude.some(matches);
  }

  /**
   * As a broker would deliver it: a message that has just come is not marked retained (3.3.1.3). Packet ids of many clients
   * would mix, so the record has none.
   */
  #reading({ qos, payload, dup }: EmbeddedMessage, topic: Uint8Array): IncomingReading {
    const whole = typeof payload === "string" ? encoder.encode(payload) : payload;
    const truncated = whole.length > this.#payloadBytesMax;
    if (truncated) this.parts.counters.truncated++;
    return {
      qos,
      retain: false,
      duplicate: qos > 0 && (dup ?? false),
      packetId: 0,
      topic,
      payload: truncated ? whole.subarray(0, truncatedPayloadBytes) : whole,
      properties: truncated
        ? joined(truncationMarks(whole.length, createHash("sha256").update(whole).digest()))
        : none,
      truncated,
    };
  }
}
