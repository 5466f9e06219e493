/** A row of the store as a reading again. Pure. */
import { blockReadings, clockMarks, clockUnit, retainBit, truncatedBit } from "./local_schema.ts";
import type { ClockMark } from "./output.ts";

/** One reading as it stands in the store. */
export interface StoredReading {
  /** `<segment id>-<sequence>`, the same as `_id` in Elasticsearch. */
  id: string;
  /** When it was measured or arrived (`@timestamp`), when it arrived (`event.created`); ms since 1970. */
  timeMs: number;
  arrivedMs: number;
  /** Of a queued one: when the agent was last connected before it (`event.start`). */
  startMs?: number;
  clock: ClockMark;
  topic: string;
  /** What the payload is. A whole number beyond 2^53 has number and text; an object may have a number or text of its own. */
  number?: number;
  text?: string;
  json?: string;
  bytes?: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
  truncated: boolean;
  /** JSON object: user properties, content type, full size and SHA-256 of a truncated payload; only when there are any. */
  properties?: string;
}

/** Texts come out as bytes: the binding would cut them at a NUL character. */
export const columns = `stored.id AS key, blocks.segment, blocks.block, stored.time, stored.delivery,
  CAST(topics.topic AS BLOB) AS topic, stored.number, CAST(stored.text AS BLOB) AS text,
  CAST(stored.json AS BLOB) AS json, stored.bytes, stored.arrived, stored.start, stored.properties`;

export interface RawRow {
  key: number;
  segment: string;
  block: number;
  time: number;
  delivery: number;
  topic: Uint8Array;
  number: number | null;
  text: Uint8Array | null;
  json: Uint8Array | null;
  bytes: Uint8Array | null;
  arrived: number | null;
  start: number | null;
  properties: string | null;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export function readingOf(row: RawRow): StoredReading {
  const { delivery, time, text, json, number, bytes, start, properties } = row;
  return {
    id: `${row.segment}-${row.block * blockReadings + row.key % blockReadings}`,
    timeMs: time,
    arrivedMs: row.arrived ?? time,
    ...(start === null ? {} : { startMs: start }),
    clock: clockMarks[Math.floor(delivery / clockUnit)]!,
    topic: decoder.decode(row.topic),
    ...(number === null ? {} : { number }),
    ...(text === null ? {} : { text: decoder.decode(text) }),
    ...(json === null ? {} : { json: decoder.decode(json) }),
    ...(bytes === null ? {} : { bytes }),
    qos: (delivery % retainBit) as StoredReading["qos"],
    retain: (delivery & retainBit) !== 0,
    truncated: (delivery & truncatedBit) !== 0,
    ...(properties === null ? {} : { properties }),
  };
}

/** About how much memory it takes. */
export function rowBytes({ topic, text, json, bytes, properties }: RawRow): number {
  return 200 + topic.length + (text?.length ?? 0) + (json?.length ?? 0) + (bytes?.length ?? 0) +
    (properties?.length ?? 0);
}
