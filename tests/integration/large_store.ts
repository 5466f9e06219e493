/** A local store with readings of a test's own, written by the agent's writer. */
import { join } from "node:path";
import { packBatch } from "../../agent/shipper/local_batch.ts";
import { LocalStore } from "../../agent/shipper/local_store.ts";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { makeOutgoing } from "../unit/shipper_fixture.ts";

/** What a test says of a reading; the rest is the same for all. */
export interface Sample {
  timeMs: number;
  topic: string;
  payload: Uint8Array;
}

const encoder = new TextEncoder();
const segmentId = "00a1b2c3d4e5f607";
const batchReadings = 2_000;

/** Fills the store of `dir`, which is made when it is not there; ids count from `first` on. */
export async function fillStore(dir: string, samples: Iterable<Sample>, first = 1): Promise<void> {
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  const settings = { dir, keepMs: undefined, maxSizeBytes: 2 ** 31, minFreeBytes: 0, spoolDir: dir };
  const store = await LocalStore.open(settings, Date.now(), false);
  try {
    let sequence = first;
    let batch: Outgoing[] = [];
    for (const sample of samples) {
      batch.push(outgoing(sample, sequence++));
      if (batch.length < batchReadings) continue;
      store.write(packBatch(batch));
      batch = [];
    }
    if (batch.length > 0) store.write(packBatch(batch));
  } finally {
    store.close();
  }
}

function outgoing({ timeMs, topic, payload }: Sample, sequence: number): Outgoing {
  return makeOutgoing({ segmentId, sequence, wallMs: timeMs, topic, payload }, { target: "local" });
}

/** Numbers of 50 sensors, one reading each a second, from `startMs` on. */
export function* plainReadings(count: number, startMs: number): Iterable<Sample> {
  for (let i = 0; i < count; i++) {
    yield {
      timeMs: startMs + Math.floor(i / 50) * 1_000,
      topic: `hall${i % 5}/machine${i % 50}/temperature`,
      payload: encoder.encode(String(20 + (i % 1_000) / 100)),
    };
  }
}

/** A configuration whose output `here` is the store in `DIR/store`, and which names a secret that is not there. */
export async function writeConfig(dir: string): Promise<{ config: string; store: string }> {
  const store = join(dir, "store");
  const config = join(dir, "agent.yaml");
  const text = JSON.stringify({
    mqtt: { url: "mqtts://localhost:8883", username: "agent", password_file: "of-another-user" },
    spool: { dir: join(dir, "spool") },
    outputs: { here: { type: "local", dir: store } },
  });
  await Deno.writeTextFile(config, text, { mode: 0o600 });
  return { config, store };
}
