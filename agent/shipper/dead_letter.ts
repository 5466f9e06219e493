/** One dead letter: a refused reading, whole, and as a line of a file. */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { OperationError } from "../base/errors.ts";
import { propertiesBytesMax } from "../limits.ts";
import { checksumHolds, checksumSeed, headBytes, plausibleLength } from "../spool/format.ts";
import { findNumberProperty, propertyTypes } from "../spool/properties.ts";
import { ReadingDecoder } from "../spool/reading_decoder.ts";
import { RecordBatch } from "../spool/record_batch.ts";
import { type Reading, recordId } from "../spool/spool_types.ts";
import type { Outgoing } from "./output.ts";

/** One refused reading, as `dead show` prints it. */
export interface DeadLetter {
  sequence: number;
  id: string;
  /** When it was refused, ms since 1970. */
  atMs: number;
  /** The number that the output gave: 400 of Elasticsearch; 0 when it gave none. */
  status: number;
  reason: string;
  topic: string;
  /** Index pattern or data stream, arrival and clock mark as they were decided: a replay meets its own id. */
  target: string;
  arrivalMs: number;
  mark: Outgoing["mark"];
  startMs?: number;
  /** The whole record in the bytes that FORMAT.md describes, base64. */
  record: string;
}

/** Length of the property that the spool adds to a queued reading. */
const lastConnectedBytes = 14;
const headLength = `{"crc32":"00000000",`.length;
const segmentIdLength = 16;
const decoder = new TextDecoder();

/** Makes the letter of a refused reading. */
export function makeLetter(
  outgoing: Outgoing,
  refusal: { atMs: number; status: number; reason: string },
): DeadLetter {
  const { reading, target, arrivalMs, mark, startMs } = outgoing;
  return {
    sequence: reading.sequence,
    id: recordId(reading),
    ...refusal,
    topic: decoder.decode(reading.topic),
    target,
    arrivalMs,
    mark,
    ...(startMs === undefined ? {} : { startMs }),
    record: Buffer.from(encodeReading(reading)).toString("base64"),
  };
}

/** The reading of a letter, ready to be sent again. Throws OperationError when its record is damaged. */
export function letterToOutgoing(letter: DeadLetter): Outgoing {
  const bytes = new Uint8Array(Buffer.from(letter.record, "base64"));
  const view = new DataView(bytes.buffer);
  const segmentId = letter.id.slice(0, segmentIdLength);
  const length = bytes.length >= headBytes ? plausibleLength(view, 0) : 0;
  if (
    length === 0 || length !== bytes.length || !checksumHolds(bytes, view, 0, length, checksumSeed(segmentId))
  ) {
    throw new OperationError({
      operation: "read a dead letter",
      place: letter.id,
      cause: "its record is damaged",
    });
  }
  const { target, arrivalMs, mark, startMs } = letter;
  return {
    reading: new ReadingDecoder().decode(bytes, view, 0, length, segmentId),
    target,
    arrivalMs,
    mark,
    startMs,
  };
}

function encodeReading(reading: Reading): Uint8Array {
  const batch = new RecordBatch();
  let { properties } = reading;
  let lastConnectedMs: number | undefined;
  if (properties.length > propertiesBytesMax) {
    // what is beyond the limit was added by the spool, which adds it again
    lastConnectedMs = findNumberProperty(properties, propertyTypes.lastConnectedMs);
    properties = properties.subarray(0, properties.length - lastConnectedBytes);
  }
  const { sequence, qos, retain, duplicate, packetId, topic, payload, truncated } = reading;
  const incoming = { qos, retain, duplicate, packetId, topic, payload, properties, truncated };
  const { wallMs, bootMs, bootId, synchronised, queued } = reading;
  batch.addReading(sequence, 0, incoming, { wallMs, bootMs, bootId, synchronised, queued, lastConnectedMs });
  return batch.sealed(checksumSeed(reading.segmentId));
}

/** `content` as a line that begins with the checksum of what follows it. */
export function encodeLine(content: object): Buffer {
  const rest = JSON.stringify(content).slice(1);
  return Buffer.from(`{"crc32":"${crc32(rest).toString(16).padStart(8, "0")}",${rest}\n`);
}

/** The content of a line without its line feed; undefined when it is damaged. */
export function decodeLine(line: Uint8Array): Record<string, unknown> | undefined {
  const text = decoder.decode(line);
  const sum = /^\{"crc32":"([0-9a-f]{8})",/.exec(text)?.[1];
  const rest = text.slice(headLength);
  if (sum === undefined || crc32(rest) !== parseInt(sum, 16)) return undefined;
  return JSON.parse(`{${rest}`) as Record<string, unknown>;
}
