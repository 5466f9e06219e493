/** Readings as the tests keep and compare them. */
import type { Reading, SpoolApi } from "../../agent/spool/spool_types.ts";

/** A plain copy: a stored reading looks its properties up in its record, and holds what was read with it. */
export function copyOf(reading: Reading): Reading {
  const { segmentId, sequence, qos, retain, duplicate, truncated, queued, packetId } = reading;
  const { bootId, bootMs, wallMs, synchronised, topic, properties, payload } = reading;
  return {
    ...{ segmentId, sequence, qos, retain, duplicate, truncated, queued, packetId },
    ...{ bootId, bootMs, wallMs, synchronised },
    ...{ topic: topic.slice(), properties: properties.slice(), payload: payload.slice() },
  };
}

/** All readings of a spool that are durable, in order; copies. */
export function durableReadings(spool: Pick<SpoolApi, "reader">): Reading[] {
  const reader = spool.reader(1);
  const all: Reading[] = [];
  try {
    while (true) {
      const { readings, fromSequence, nextSequence } = reader.next(10_000, 8 * 1024 * 1024);
      if (nextSequence === fromSequence) return all;
      for (const one of readings) all.push(copyOf(one));
    }
  } finally {
    reader.close();
  }
}
