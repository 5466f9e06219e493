/** What many documents have in common, as bytes that are made once: times, topics with host and labels, ends of events. */
import { bytesOf } from "./byte_writer.ts";
import type { ClockMark } from "./output.ts";
import { labelsOfTopic, type TopicPattern } from "./topic_labels.ts";

/** What all documents of an output have in common. */
export interface DocumentFacts {
  hostName: string;
  /** Undefined: not known, and left out. */
  hostIp: string | undefined;
  labels: Record<string, string>;
  topicPattern: TopicPattern | undefined;
}

/** Topics that are remembered as JSON, and how many bytes of them. */
const topicsMax = 20_000;
const topicBytesMax = 4 * 1024 * 1024;
/** Of topics with the same hash; somebody may choose them so. */
const sameHashMax = 4;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A text around a time, `2026-01-02T03:04:05.678` (the Z is what follows). The time is set in place: one copy writes all. */
export class TimedText {
  readonly #bytes: Uint8Array;
  /** Where the time stands. */
  readonly #at: number;
  #timeMs = NaN;
  /** Beginning of the second that stands there. */
  #secondMs = NaN;

  constructor(before: string, after = "") {
    this.#bytes = bytesOf(`${before}0000-00-00T00:00:00.000${after}`);
    this.#at = bytesOf(before).length;
  }

  /** The text with this time; valid until the next call. */
  with(timeMs: number): Uint8Array {
    if (timeMs !== this.#timeMs) this.#set(timeMs);
    return this.#bytes;
  }

  #set(timeMs: number): void {
    this.#timeMs = timeMs;
    const bytes = this.#bytes;
    let ms = timeMs - this.#secondMs;
    if (!(ms >= 0 && ms < 1_000)) {
      this.#secondMs = Math.floor(timeMs / 1_000) * 1_000;
      bytes.set(bytesOf(new Date(this.#secondMs).toISOString().slice(0, 20)), this.#at);
      ms = timeMs - this.#secondMs;
    }
    const at = this.#at + 20;
    const tens = (ms / 10) | 0;
    const hundreds = (ms / 100) | 0;
    bytes[at] = 48 + hundreds;
    bytes[at + 1] = 48 + tens - 10 * hundreds;
    bytes[at + 2] = 48 + ms - 10 * tens;
  }
}

/** A topic and what is written for it. */
interface TopicPart {
  topic: Uint8Array;
  json: Uint8Array;
  /** What came behind it the last time: sensors report in turn, so that is tried first. */
  next: TopicPart | undefined;
}

/** `Z","topic":…,"host":…,"labels":…` of each topic, remembered by the topic's bytes. */
export class TopicParts {
  readonly #parts = new Map<number, TopicPart[]>();
  #count = 0;
  #bytes = 0;
  #last: TopicPart | undefined;

  constructor(private readonly facts: DocumentFacts) {}

  of(topic: Uint8Array): Uint8Array {
    const expected = this.#last?.next;
    if (expected === undefined || !equal(expected.topic, topic)) return this.#find(topic);
    this.#last = expected;
    return expected.json;
  }

  #find(topic: Uint8Array): Uint8Array {
    let hash = topic.length;
    for (let i = 0; i < topic.length; i++) hash = (Math.imul(hash, 31) + topic[i]!) | 0;
    const known = this.#parts.get(hash)?.find((part) => equal(part.topic, topic));
    return known === undefined ? this.#remember(hash, topic) : this.#follow(known);
  }

  #follow(part: TopicPart): Uint8Array {
    if (this.#last !== undefined) this.#last.next = part;
    this.#last = part;
    return part.json;
  }

  #remember(hash: number, topic: Uint8Array): Uint8Array {
    const json = this.#make(topic);
    if (this.#count >= topicsMax || this.#bytes + json.length > topicBytesMax) this.#forget();
    const sameHash = this.#parts.get(hash) ?? [];
    if (json.length > topicBytesMax / 16 || sameHash.length >= sameHashMax) return json;
    this.#count++;
    this.#bytes += json.length + topic.length;
    const part = { topic: topic.slice(), json, next: undefined };
    this.#parts.set(hash, [...sameHash, part]);
    return this.#follow(part);
  }

  #forget(): void {
    this.#parts.clear();
    this.#count = this.#bytes = 0;
    this.#last = undefined;
  }

  #make(topicBytes: Uint8Array): Uint8Array {
    const { hostName, hostIp, labels, topicPattern } = this.facts;
    const topic = decoder.decode(topicBytes);
    const host = { name: hostName, ...(hostIp === undefined ? {} : { ip: hostIp }) };
    const ofTopic = topicPattern === undefined ? {} : labelsOfTopic(topicPattern, topic);
    const json = JSON.stringify({ topic, host, labels: { ...labels, ...ofTopic } });
    return bytesOf(`Z",${json.slice(1, -1)}`);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** By QoS and retain flag: the beginning of `mqtt`. */
const deliveries = [0, 1, 2].flatMap((qos) =>
  [false, true].map((retain) => `,"mqtt":{"qos":${qos},"retain":${retain}`)
);
const createdName = `},"event":{"created":"`;

/** `mqtt` and `event` up to the sequence in `event.id`, for readings of one segment with one mark. */
export interface EventParts {
  /** By delivery: all of it, as nearly all readings have it, without properties and `event.start`. */
  whole: TimedText[];
  /** By delivery: `,"mqtt":{"qos":…,"retain":…`. */
  beginnings: Uint8Array[];
  /** `},"event":{"created":"…`. */
  created: TimedText;
  /** `Z","start":"…`. */
  start: TimedText;
  /** `Z","clock":…,"id":"SEGMENT-`. */
  end: Uint8Array;
}

function makeEventParts(clock: ClockMark, segmentId: string): EventParts {
  const end = `Z","clock":"${clock}","id":"${segmentId}-`;
  return {
    whole: deliveries.map((delivery) => new TimedText(`${delivery}${createdName}`, end)),
    beginnings: deliveries.map((delivery) => bytesOf(delivery)),
    created: new TimedText(createdName),
    start: new TimedText(`Z","start":"`),
    end: bytesOf(end),
  };
}

/** The parts of the last segment, by mark. */
export class EventPartsCache {
  #segmentId: string | undefined;
  readonly #parts = new Map<ClockMark, EventParts>();

  of(clock: ClockMark, segmentId: string): EventParts {
    if (segmentId !== this.#segmentId) {
      this.#segmentId = segmentId;
      this.#parts.clear();
    }
    let parts = this.#parts.get(clock);
    if (parts === undefined) this.#parts.set(clock, parts = makeEventParts(clock, segmentId));
    return parts;
  }
}
