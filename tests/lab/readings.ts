/** Readings as the tests keep and compare them. */
import type { Reading } from "../../agent/spool/spool_types.ts";

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
