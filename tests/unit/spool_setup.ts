/** What the tests of the spool have in common: readings in words, and a spool on the fake disk. */
import type { Files } from "../../agent/base/files.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { Arrival, IncomingReading, ReadBatch, Reading } from "../../agent/spool/spool_types.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

export const dir = "/spool";

export const arrival: Arrival = {
  wallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  bootMs: 3_600_123,
  bootId: "00112233445566778899aabbccddeeff",
  synchronised: "yes",
  queued: false,
  lastConnectedMs: undefined,
};

/** A message whose payload is `text`. */
export function message(text: string, more: Partial<IncomingReading> = {}): IncomingReading {
  return {
    qos: 1,
    retain: false,
    duplicate: false,
    packetId: 7,
    topic: new TextEncoder().encode("plant/line/temperature"),
    payload: new TextEncoder().encode(text),
    properties: new Uint8Array(0),
    truncated: false,
    ...more,
  };
}

/** A message at QoS 2. */
export function message2(
  text: string,
  packetId: number,
  more: Partial<IncomingReading> = {},
): IncomingReading {
  return message(text, { qos: 2, packetId, ...more });
}

export interface Opened {
  spool: Spool;
  log: MemoryLog;
}

export async function open(files: Files, segmentBytes?: number, floorSequence = 0): Promise<Opened> {
  const log = new MemoryLog();
  const spool = await Spool.open({
    files,
    dir,
    log,
    floorSequence,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  return { spool, log };
}

export function textOf(reading: Reading): string {
  return new TextDecoder().decode(reading.payload);
}

/** Everything from `fromSequence` on, in one batch. */
export function readAll(spool: Spool, fromSequence = 1): ReadBatch {
  const reader = spool.reader(fromSequence);
  try {
    const all: ReadBatch = { readings: [], fromSequence, nextSequence: fromSequence, damaged: 0, gone: 0 };
    while (true) {
      const batch = reader.next(3, 1e6);
      if (batch.readings.length + batch.damaged + batch.gone !== batch.nextSequence - batch.fromSequence) {
        throw new Error(
          `a batch does not add up: ${JSON.stringify({ ...batch, readings: batch.readings.length })}`,
        );
      }
      if (batch.nextSequence === batch.fromSequence) return all;
      all.readings.push(...batch.readings);
      all.damaged += batch.damaged;
      all.gone += batch.gone;
      all.nextSequence = batch.nextSequence;
    }
  } finally {
    reader.close();
  }
}

/** The payloads of everything from `fromSequence` on. */
export function texts(spool: Spool, fromSequence = 1): string[] {
  return readAll(spool, fromSequence).readings.map(textOf);
}

/** Stores each text as a reading, one commit each. */
export async function store(spool: Spool, ...payloads: string[]): Promise<void> {
  for (const payload of payloads) {
    spool.addReading(message(payload), arrival);
    await spool.commit();
  }
}
