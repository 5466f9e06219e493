/** What many documents have in common, as bytes that are made once: times, topics with host and labels, ends of events. */
import { bytesOf, type ByteWriter } from "./byte_writer.ts";
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
const clockMarks: ClockMark[] = ["payload", "unsynced", "retained", "queued", "corrected", "synced"];

/** Times as `2026-01-02T03:04:05.678`, the Z is what follows; the last one is remembered. */
export class TimeWriter {
  #timeMs = NaN;
  #second = NaN;
  readonly #text = bytesOf("0000-00-00T00:00:00.000");

  put(writer: ByteWriter, timeMs: number): void {
    if (timeMs !== this.#timeMs) this.#set(timeMs);
    writer.put(this.#text);
  }

  #set(timeMs: number): void {
    this.#timeMs = timeMs;
    const second = Math.floor(timeMs / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text.set(bytesOf(new Date(second * 1_000).toISOString().slice(0, 20)));
    }
    const ms = timeMs - second * 1_000;
    this.#text[20] = 48 + Math.floor(ms / 100);
    this.#text[21] = 48 + Math.floor(ms / 10) % 10;
    this.#text[22] = 48 + ms % 10;
  }
}

/** `Z","topic":…,"host":…,"labels":…` of each topic, remembered by the topic's bytes. */
export class TopicParts {
  readonly #parts = new Map<number, { topic: Uint8Array; json: Uint8Array }[]>();
  #count = 0;
  #bytes = 0;

  constructor(private readonly facts: DocumentFacts) {}

  of(topic: Uint8Array): Uint8Array {
    let hash = topic.length;
    for (let i = 0; i < topic.length; i++) hash = (Math.imul(hash, 31) + topic[i]!) | 0;
    const sameHash = this.#parts.get(hash);
    if (sameHash !== undefined) {
      for (const part of sameHash) if (equal(part.topic, topic)) return part.json;
    }
    return this.#remember(hash, topic);
  }

  #remember(hash: number, topic: Uint8Array): Uint8Array {
    const json = this.#make(topic);
    if (this.#count >= topicsMax || this.#bytes + json.length > topicBytesMax) {
      this.#parts.clear();
      this.#count = this.#bytes = 0;
    }
    const sameHash = this.#parts.get(hash) ?? [];
    if (json.length > topicBytesMax / 16 || sameHash.length >= sameHashMax) return json;
    this.#count++;
    this.#bytes += json.length + topic.length;
    this.#parts.set(hash, [...sameHash, { topic: topic.slice(), json }]);
    return json;
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

/** `Z","clock":"…","id":"SEGMENT-` for each mark and the last segment. */
export class EventEnds {
  #segmentId: string | undefined;
  #ends = new Map<ClockMark, Uint8Array>();

  of(clock: ClockMark, segmentId: string): Uint8Array {
    if (segmentId !== this.#segmentId) {
      this.#segmentId = segmentId;
      this.#ends = new Map(
        clockMarks.map((mark) => [mark, bytesOf(`Z","clock":"${mark}","id":"${segmentId}-`)]),
      );
    }
    return this.#ends.get(clock)!;
  }
}
