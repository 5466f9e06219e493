/**
 * One reading as a JSON document, written straight into bytes. This is the hot path of shipping: what readings have in
 * common (topic, host, labels, the second of a time) is made once and copied.
 */
import { Buffer } from "node:buffer";
import { decodeProperties, decodeUserProperty, type Property, propertyTypes } from "../spool/properties.ts";
import { bytesOf, type ByteWriter } from "./byte_writer.ts";
import {
  type DocumentFacts,
  type EventParts,
  EventPartsCache,
  TimedText,
  TopicParts,
} from "./document_parts.ts";
import type { ClockMark, Outgoing } from "./output.ts";
import { type Content, objectFields } from "./payload_content.ts";
import { payloadAgeMs, payloadTimeMs } from "./payload_time.ts";

/** `@timestamp` and what it rests on. */
export interface DocumentTime {
  timestampMs: number;
  clock: ClockMark;
}

/** The last millisecond that Elasticsearch takes in its usual format (four digits of the year). */
const lastMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
/** Longest name of a user property in the index, in UTF-16 units; with its value a term must stay below 32,766 bytes. */
const propertyNameMax = 500;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The time of a document: the payload's own when it brings one that can be believed, else the arrival. */
export function documentTime(outgoing: Pick<Outgoing, "arrivalMs" | "mark">, content: Content): DocumentTime {
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

/** A time that a document can hold. */
export function inRange(timeMs: number): number {
  return timeMs >= 0 && timeMs <= lastMs ? Math.floor(timeMs) : timeMs > lastMs ? lastMs : 0;
}

const value = bytesOf(`,"value":`);
const text = bytesOf(`,"text":`);
const values = bytesOf(`,"values":`);
const payload = bytesOf(`,"payload":`);
const base64 = bytesOf(`,"payload_base64":"`);
const closed = bytesOf(`"`);
const sequenceName = bytesOf(`","sequence":`);
const end = bytesOf(`}}\n`);

/** Writes documents, one line each. */
export class DocumentWriter {
  /** From behind the id in the action line to the time. */
  readonly #timestamp = new TimedText(`"}}\n{"@timestamp":"`);
  readonly #topics: TopicParts;
  readonly #events = new EventPartsCache();

  constructor(facts: DocumentFacts) {
    this.#topics = new TopicParts(facts);
  }

  /** One document and a line feed. What `writer` holds ends with an id, whose sequence begins at `digitsFrom`. */
  write(
    writer: ByteWriter,
    outgoing: Outgoing,
    content: Content,
    time: DocumentTime,
    digitsFrom: number,
  ): void {
    const { reading } = outgoing;
    const digitsTo = writer.length;
    writer.put(this.#timestamp.with(time.timestampMs));
    writer.put(this.#topics.of(reading.topic));
    putContent(writer, content);
    putEvent(writer, outgoing, this.#events.of(time.clock, reading.segmentId));
    writer.repeat(digitsFrom, digitsTo);
    writer.put(sequenceName);
    writer.repeat(digitsFrom, digitsTo);
    writer.put(end);
  }
}

/** `mqtt` and `event`, up to the sequence in `event.id`. */
function putEvent(writer: ByteWriter, { reading, arrivalMs, startMs }: Outgoing, parts: EventParts): void {
  const { qos, retain, properties, truncated } = reading;
  const delivery = qos * 2 + (retain ? 1 : 0);
  const createdMs = inRange(arrivalMs);
  if (properties.length === 0 && !truncated && startMs === undefined) {
    return writer.put(parts.whole[delivery]!.with(createdMs));
  }
  writer.put(parts.beginnings[delivery]!);
  putProperties(writer, properties, truncated);
  writer.put(parts.created.with(createdMs));
  if (startMs !== undefined) writer.put(parts.start.with(inRange(startMs)));
  writer.put(parts.end);
}

function putContent(writer: ByteWriter, content: Content): void {
  switch (content.kind) {
    case "number":
      writer.put(value);
      writer.put(content.json);
      if (content.text !== undefined) putTextField(writer, content.text);
      return;
    case "plain object":
      if (content.values !== undefined) {
        writer.put(values);
        writer.put(content.values);
      }
      writer.put(payload);
      return writer.put(content.payload);
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
  const fields = objectFields(json, whole);
  if (fields.number !== undefined) {
    writer.put(value);
    writer.putText(String(fields.number));
  }
  if (json.values !== undefined) {
    writer.put(values);
    writer.putText(json.values);
  }
  if (fields.text !== undefined) putTextField(writer, fields.text);
  if (fields.json === undefined) return;
  writer.put(payload);
  writer.putText(fields.json);
}

/** `,"user_properties":{…}` and the rest of `propertyFields`. */
function putProperties(writer: ByteWriter, bytes: Uint8Array, truncated: boolean): void {
  const json = JSON.stringify(propertyFields(bytes, truncated));
  if (json.length > 2) writer.putText(`,${json.slice(1, -1)}`);
}

/** User properties, content type, and what is known of a truncated payload, by the names that documents have for them. */
export function propertyFields(bytes: Uint8Array, truncated: boolean): Record<string, unknown> {
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
  return fields;
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
