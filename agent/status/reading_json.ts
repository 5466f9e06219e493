/** A stored reading as one JSON object, for `tail` and `spool cat --json`. */
import {
  decodeProperties,
  decodeUserProperty,
  findNumberProperty,
  propertyTypes,
} from "../spool/properties.ts";
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
  /** Of a truncated reading: the whole payload's size in bytes and SHA-256 in hex. */
  full_size?: number;
  sha256?: string;
  content_type?: string;
  /** MQTT 5 user properties as they came: a name may occur more than once. */
  user_properties?: [string, string][];
  /** Of a queued reading: when the agent was last connected before. */
  last_connected?: string;
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
    ...propertiesJson(reading.properties),
  };
}

function propertiesJson(properties: Uint8Array): Partial<ReadingJson> {
  if (properties.length === 0) return {};
  const json: Partial<ReadingJson> = {};
  const user: [string, string][] = [];
  for (const { type, value } of decodeProperties(properties)) {
    if (type === propertyTypes.sha256) json.sha256 = value.toHex();
    else if (type === propertyTypes.contentType) json.content_type = lenient.decode(value);
    else if (type === propertyTypes.user) {
      const pair = decodeUserProperty(value);
      if (pair !== undefined) user.push([lenient.decode(pair.key), lenient.decode(pair.value)]);
    }
  }
  if (user.length > 0) json.user_properties = user;
  const fullSize = findNumberProperty(properties, propertyTypes.fullSize);
  if (fullSize !== undefined) json.full_size = fullSize;
  const lastConnectedMs = findNumberProperty(properties, propertyTypes.lastConnectedMs);
  if (lastConnectedMs !== undefined) json.last_connected = isoTime(lastConnectedMs);
  return json;
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
