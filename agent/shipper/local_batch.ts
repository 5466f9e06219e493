/** A batch on its way to the store's thread: a few buffers that change hands, instead of thousands of objects copied. */
import { ByteWriter } from "./byte_writer.ts";
import type { Outgoing } from "./output.ts";

/** What of a reading is stored. */
export type StoreItem =
  & Pick<Outgoing["reading"], "segmentId" | "sequence" | "qos" | "retain" | "truncated">
  & Pick<Outgoing["reading"], "topic" | "properties" | "payload">
  & Pick<Outgoing, "arrivalMs" | "mark" | "startMs">;

export interface PackedBatch {
  segmentIds: string[];
  /** Ten for each reading, as `packBatch` writes them. */
  numbers: Float64Array<ArrayBuffer>;
  /** Topic, properties and payload of each, one behind the other. */
  bytes: Uint8Array<ArrayBuffer>;
}

const marks: Outgoing["mark"][] = ["synced", "corrected", "queued", "retained", "unsynced"];
const numbersEach = 10;
const writer = new ByteWriter();

/** Packs readings; the result has buffers of its own. */
export function packBatch(batch: readonly Outgoing[]): PackedBatch {
  const segmentIds: string[] = [];
  const numbers = new Float64Array(batch.length * numbersEach);
  writer.reset();
  let at = 0;
  for (const { reading, arrivalMs, mark, startMs } of batch) {
    const { segmentId, sequence, qos, retain, truncated, topic, properties, payload } = reading;
    if (segmentIds.at(-1) !== segmentId) segmentIds.push(segmentId);
    numbers[at++] = segmentIds.length - 1;
    numbers[at++] = sequence;
    numbers[at++] = arrivalMs;
    numbers[at++] = startMs ?? NaN;
    numbers[at++] = marks.indexOf(mark);
    numbers[at++] = qos;
    numbers[at++] = (retain ? 1 : 0) + (truncated ? 2 : 0);
    for (const part of [topic, properties, payload]) {
      numbers[at++] = part.length;
      writer.put(part);
    }
  }
  return { segmentIds, numbers, bytes: writer.view().slice() };
}

/** How many readings it has. */
export function packedCount({ numbers }: PackedBatch): number {
  return numbers.length / numbersEach;
}

/** The readings of a packed batch; their byte arrays are views of its bytes. */
export function* unpackBatch({ segmentIds, numbers, bytes }: PackedBatch): Iterable<StoreItem> {
  let from = 0;
  const part = (length: number) => bytes.subarray(from, from += length);
  for (let first = 0; first < numbers.length; first += numbersEach) {
    const value = (at: number) => numbers[first + at]!;
    const startMs = value(3);
    yield {
      segmentId: segmentIds[value(0)]!,
      sequence: value(1),
      arrivalMs: value(2),
      startMs: Number.isNaN(startMs) ? undefined : startMs,
      mark: marks[value(4)]!,
      qos: value(5) as StoreItem["qos"],
      retain: (value(6) & 1) !== 0,
      truncated: (value(6) & 2) !== 0,
      topic: part(value(7)),
      properties: part(value(8)),
      payload: part(value(9)),
    };
  }
}
