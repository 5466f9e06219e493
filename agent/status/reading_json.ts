/** A stored reading as one JSON object, for `tail` and `spool cat --json`. */
import { type Reading, recordId } from "../spool/spool_types.ts";

/** Times are ISO 8601 in UTC as the agent's clock showed them at arrival; a payload that is not UTF-8 is in base64. */
export interface ReadingJson {
  id: string;
  sequence: number;
  topic: string;
  payload?: string;
  payload_base64?: string;
  qos: 0 | 1 | 2;
  retain: boolean;
  arrived: string;
  clock_synchronised: "yes" | "no" | "unknown";
  /** Only when true. */
  duplicate?: true;
  truncated?: true;
  queued?: true;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

export function readingJson(reading: Reading): ReadingJson {
  return {
    id: recordId(reading),
    sequence: reading.sequence,
    topic: lenient.decode(reading.topic),
    ...payloadJson(reading.payload),
    qos: reading.qos,
    retain: reading.retain,
    arrived: isoTime(reading.wallMs),
    clock_synchronised: reading.synchronised,
    ...(reading.duplicate ? { duplicate: true } : {}),
    ...(reading.truncated ? { truncated: true } : {}),
    ...(reading.queued ? { queued: true } : {}),
  };
}

function payloadJson(payload: Uint8Array): { payload: string } | { payload_base64: string } {
  try {
    return { payload: strict.decode(payload) };
  } catch {
    return { payload_base64: payload.toBase64() };
  }
}

/** ISO 8601, also for a time that no calendar has. */
function isoTime(timeMs: number): string {
  const time = new Date(timeMs);
  return Number.isNaN(time.getTime()) ? String(timeMs) : time.toISOString();
}
