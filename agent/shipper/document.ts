/**
 * One reading as a JSON document, written straight into bytes. This is the hot path of shipping: what readings have in
 * common (topic, host, labels, the second of a time) is made once and copied.
 */
import { Buffer } from "node:buffer";
import { decodeProperties, decodeUserProperty, type Property, propertyTypes } from "../spool/properties.ts";
import { bytesOf, type ByteWriter } from "./byte_writer.ts";
import type { ClockMark, Outgoing } from "./output.ts";
import type { Content } from "./payload_content.ts";
import { payloadAgeMs, payloadTimeMs } from "./payload_time.ts";
import { labelsOfTopic, type TopicPattern } from "./topic_labels.ts";

/** What all documents of an output have in common. */
export interface DocumentFacts {
  hostName: string;
  /** Undefined: not known, and left out. */
  hostIp: string | undefined;
  labels: Record<string, string>;
  topicPattern: TopicPattern | undefined;
}

/** `@timestamp` and what it rests on. */
export interface DocumentTime {
  timestampMs: number;
  clock: ClockMark;
}

/** The last millisecond that Elasticsearch takes in its usual format (four digits of the year). */
const lastMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
/** Topics that are remembered as JSON, and how many bytes of them. */
const topicsMax = 20_000;
const topicBytesMax = 4 * 1024 * 1024;
/** Longest name of a user property in the index, in UTF-16 units; with its value a term must stay below 32,766 bytes. */
const propertyNameMax = 500;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The time of a document: the payload's own when it brings one that can be believed, else the arrival. */
export function documentTime(outgoing: Outgoing, content: Content): DocumentTime {
  const arrivalMs = outgoing.arrivalMs;
  const reading = content.kind === "object" ? content.json.reading : undefined;
  if (reading !== undefined) {
    const timeMs = payloadTimeMs(reading.time, arrivalMs);
    if (timeMs !== undefined) return { timestampMs: inRange(timeMs), clock: "payload" };
    const agedMs = payloadAgeMs(reading.ageS, arrivalMs);
    if (agedMs !== undefined) {
      const believed = outgoing.mark === "synced" || outgoing.mark === "corrected";
      return { timestampMs: inRange(agedMs), clock: believed ? "payload" : outgoing.mark };
    }
  }
  return { timestampMs: inRange(arrivalMs), clock: outgoing.mark };
}

function inRange(timeMs: number): number {
  return timeMs >= 0 && timeMs <= lastMs ? Math.floor(timeMs) : timeMs > lastMs ? lastMs : 0;
}

/** Times as `2026-01-02T03:04:05.678Z`; the last second is remembered. */
class TimeWriter {
  #second = NaN;
  #prefix = new Uint8Array(0);

  put(writer: ByteWriter, timeMs: number): void {
    const second = Math.floor(timeMs / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = bytesOf(new Date(second * 1_000).toISOString().slice(0, 20));
    }
    writer.put(this.#prefix);
    writer.putThreeDigits(timeMs - second * 1_000);
    writer.put(zulu);
  }
}

/** `,"topic":…,"host":…,"labels":…` of each topic, remembered by the topic's bytes. */
class TopicParts {
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
    if (json.length > topicBytesMax / 16) return json;
    this.#count++;
    this.#bytes += json.length + topic.length;
    this.#parts.set(hash, [...this.#parts.get(hash) ?? [], { topic: topic.slice(), json }]);
    return json;
  }

  #make(topicBytes: Uint8Array): Uint8Array {
    const { hostName, hostIp, labels, topicPattern } = this.facts;
    const topic = decoder.decode(topicBytes);
    const host = { name: hostName, ...(hostIp === undefined ? {} : { ip: hostIp }) };
    const ofTopic = topicPattern === undefined ? {} : labelsOfTopic(topicPattern, topic);
    const json = JSON.stringify({ topic, host, labels: { ...labels, ...ofTopic } });
    return bytesOf(`,${json.slice(1, -1)}`);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const zulu = bytesOf("Z");
const head = bytesOf(`{"@timestamp":"`);
const afterTime = bytesOf(`"`);
const value = bytesOf(`,"value":`);
const text = bytesOf(`,"text":`);
const values = bytesOf(`,"values":`);
const payload = bytesOf(`,"payload":`);
const base64 = bytesOf(`,"payload_base64":"`);
const closed = bytesOf(`"`);
const events = bytesOf(`},"event":{"created":"`);
const start = bytesOf(`","start":"`);
const clockName = bytesOf(`","clock":"`);
const idName = bytesOf(`","id":"`);
const sequenceName = bytesOf(`","sequence":`);
const end = bytesOf(`}}\n`);
const clocks: Record<ClockMark, Uint8Array> = {
  payload: bytesOf("payload"),
  unsynced: bytesOf("unsynced"),
  retained: bytesOf("retained"),
  queued: bytesOf("queued"),
  corrected: bytesOf("corrected"),
  synced: bytesOf("synced"),
};
const deliveries = [0, 1, 2].flatMap((qos) =>
  [false, true].map((retain) => bytesOf(`,"mqtt":{"qos":${qos},"retain":${retain}`))
);

/** Writes documents, one line each. */
export class DocumentWriter {
  readonly #timestamp = new TimeWriter();
  readonly #created = new TimeWriter();
  readonly #start = new TimeWriter();
  readonly #topics: TopicParts;

  constructor(facts: DocumentFacts) {
    this.#topics = new TopicParts(facts);
  }

  /** One document and a line feed. The id stands in `writer` already, from `idFrom` to `idTo`, its sequence at `sequenceFrom`. */
  write(
    writer: ByteWriter,
    outgoing: Outgoing,
    content: Content,
    time: DocumentTime,
    id: { from: number; sequenceFrom: number; to: number },
  ): void {
    const { reading } = outgoing;
    writer.put(head);
    this.#timestamp.put(writer, time.timestampMs);
    writer.put(afterTime);
    writer.put(this.#topics.of(reading.topic));
    putContent(writer, content);
    writer.put(deliveries[reading.qos * 2 + (reading.retain ? 1 : 0)]!);
    if (reading.properties.length > 0 || reading.truncated) {
      putProperties(writer, reading.properties, reading.truncated);
    }
    writer.put(events);
    this.#created.put(writer, inRange(outgoing.arrivalMs));
    if (outgoing.startMs !== undefined) {
      writer.put(start);
      this.#start.put(writer, inRange(outgoing.startMs));
    }
    writer.put(clockName);
    writer.put(clocks[time.clock]);
    writer.put(idName);
    writer.repeat(id.from, id.to);
    writer.put(sequenceName);
    writer.repeat(id.sequenceFrom, id.to);
    writer.put(end);
  }
}

function putContent(writer: ByteWriter, content: Content): void {
  switch (content.kind) {
    case "number":
      writer.put(value);
      writer.put(content.json);
      if (content.text !== undefined) putTextField(writer, content.text);
      return;
    case "text":
      return putTextField(writer, content.text);
    case "bytes":
      writer.put(base64);
      writer.putText(
        Buffer.from(content.bytes.buffer, content.bytes.byteOffset, content.bytes.length).toString("base64"),
      );
      writer.put(closed);
      return;
    case "object":
      return putObject(writer, content.json, content.text);
  }
}

function putTextField(writer: ByteWriter, utf8: Uint8Array): void {
  writer.put(text);
  writer.putJsonString(utf8);
}

/** A reading's own `value` stands where that of a plain payload stands. */
function putObject(
  writer: ByteWriter,
  json: Extract<Content, { kind: "object" }>["json"],
  whole: Uint8Array,
): void {
  const own = json.reading?.value;
  if (typeof own === "number" && Number.isFinite(own)) {
    writer.put(value);
    writer.putText(String(own));
  }
  if (json.values !== undefined) {
    writer.put(values);
    writer.putText(json.values);
  }
  if (json.payload === undefined) return putTextField(writer, whole);
  if (typeof own === "string") putTextField(writer, bytesOf(own));
  writer.put(payload);
  writer.putText(json.payload);
}

/** `,"user_properties":{…}`, content type, and what is known of a truncated payload. */
function putProperties(writer: ByteWriter, bytes: Uint8Array, truncated: boolean): void {
  const users = new Map<string, string[]>();
  const fields: Record<string, unknown> = {};
  for (const property of decodeProperties(bytes)) {
    if (property.type === propertyTypes.user) addUserProperty(users, property);
    else if (property.type === propertyTypes.contentType) fields["content_type"] = decodeText(property.value);
    else if (truncated) addTruncated(fields, property);
  }
  if (truncated) fields["truncated"] = true;
  if (users.size > 0) {
    const object = [...users].map(([name, list]) => [name, list.length === 1 ? list[0] : list]);
    fields["user_properties"] = Object.fromEntries(object);
  }
  const json = JSON.stringify(fields);
  if (json.length > 2) writer.putText(`,${json.slice(1, -1)}`);
}

function addUserProperty(users: Map<string, string[]>, property: Property): void {
  const pair = decodeUserProperty(property.value);
  if (pair === undefined) return;
  const name = decodeText(pair.key).slice(0, propertyNameMax).toWellFormed();
  const list = users.get(name);
  if (list === undefined) users.set(name, [decodeText(pair.value)]);
  else list.push(decodeText(pair.value));
}

function addTruncated(fields: Record<string, unknown>, { type, value }: Property): void {
  if (type === propertyTypes.sha256) fields["payload_sha256"] = value.toHex();
  if (type === propertyTypes.fullSize) {
    fields["payload_size"] = value.reduceRight((number, byte) => number * 256 + byte, 0);
  }
}

/** Text of a peer: what is not UTF-8 is replaced, and NUL, which a flattened field refuses in its keys. */
function decodeText(utf8: Uint8Array): string {
  return decoder.decode(utf8).replaceAll("\0", "\ufffd");
}
