/** A reading as a row of the store. What its payload is, and its time, is decided as for a document. Pure. */
import { documentTime, inRange, propertyFields } from "./document.ts";
import type { StoreItem } from "./local_batch.ts";
import { clockMarks, clockUnit, retainBit, truncatedBit } from "./local_schema.ts";
import { type Content, contentOf, objectFields } from "./payload_content.ts";

/** Texts are UTF-8 bytes: SQLite keeps them as they are. */
export interface StoreRow {
  timeMs: number;
  delivery: number;
  number: number | null;
  text: Uint8Array | null;
  json: Uint8Array | string | null;
  bytes: Uint8Array | null;
  /** null: the same as `timeMs`. */
  arrivedMs: number | null;
  startMs: number | null;
  properties: string | null;
}

const decoder = new TextDecoder();

export function rowOf(item: StoreItem): StoreRow {
  const content = contentOf(item.payload, item.truncated);
  const { timestampMs, clock } = documentTime(item, content);
  const arrivedMs = inRange(item.arrivalMs);
  return {
    timeMs: timestampMs,
    delivery: item.qos + (item.retain ? retainBit : 0) + (item.truncated ? truncatedBit : 0) +
      clockMarks.indexOf(clock) * clockUnit,
    ...fieldsOf(content),
    arrivedMs: arrivedMs === timestampMs ? null : arrivedMs,
    startMs: item.startMs === undefined ? null : inRange(item.startMs),
    properties: propertiesOf(item),
  };
}

function fieldsOf(content: Content): Pick<StoreRow, "number" | "text" | "json" | "bytes"> {
  const none = { number: null, text: null, json: null, bytes: null };
  switch (content.kind) {
    case "number":
      return { ...none, number: Number(decoder.decode(content.json)), text: content.text ?? null };
    case "plain object":
      return { ...none, json: content.payload };
    case "object": {
      const { number = null, text = null, json = null } = objectFields(content.json, content.text);
      return { ...none, number, text, json };
    }
    case "text":
      return { ...none, text: content.text };
    case "bytes":
      return { ...none, bytes: content.bytes };
  }
}

function propertiesOf({ properties, truncated }: StoreItem): string | null {
  if (properties.length === 0 && !truncated) return null;
  const json = JSON.stringify(propertyFields(properties, truncated));
  return json === "{}" ? null : json;
}
