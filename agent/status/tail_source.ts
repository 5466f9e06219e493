/** Readings as they become durable, read back from the spool: nothing is held for a reader that is slow. */
import { tailBatchBytes, tailBatchReadings, tailBehindMax } from "../limits.ts";
import type { SpoolApi } from "../spool/spool_types.ts";
import type { TailBatch } from "./agent_api.ts";

/**
 * Yields readings whose topic `matches`, from now on until `signal` aborts. A consumer that is more than
 * `tailBehindMax` readings behind gets on at the end, and is told how many it missed.
 */
export async function* tailSpool(
  spool: Pick<SpoolApi, "reader" | "nextSequence" | "waitBeyond">,
  matches: (topic: Uint8Array) => boolean,
  signal: AbortSignal,
): AsyncGenerator<TailBatch> {
  let position = spool.nextSequence();
  const reader = spool.reader(position);
  try {
    while (true) {
      await spool.waitBeyond(position, signal);
      if (signal.aborted) return;
      let skipped = 0;
      const behind = spool.nextSequence() - position;
      if (behind > tailBehindMax) {
        skipped = behind;
        position += behind;
        reader.seek(position);
      }
      const batch = reader.next(tailBatchReadings, tailBatchBytes);
      position = batch.nextSequence;
      skipped += batch.gone;
      const readings = batch.readings.filter((reading) => matches(reading.topic));
      if (readings.length > 0 || skipped > 0) yield { readings, skipped };
      else await new Promise((done) => setTimeout(done, 0)); // others get their turn between two batches
    }
  } finally {
    reader.close();
  }
}
