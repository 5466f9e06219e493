/** A folder for a store, and readings to put into it. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { packBatch } from "../../agent/shipper/local_batch.ts";
import { makeStoreFolder } from "../../agent/shipper/local_files.ts";
import { StoreReader } from "../../agent/shipper/local_reader.ts";
import type { StoredReading, StoreQuery } from "../../agent/shipper/local_reader.ts";
import { LocalStore, type StoreNow, type StoreSettings } from "../../agent/shipper/local_store.ts";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { arrivalMs, makeOutgoing, type ReadingParts } from "./shipper_fixture.ts";

export const MiB = 2 ** 20;
export const dayMs = 86_400_000;

/** The clock of these tests: one day after the readings of `makeOutgoing`. */
export const now: StoreNow = { wallMs: arrivalMs + dayMs, synchronised: true, sinceWriteMs: 0 };

export class StoreFolder implements Disposable {
  readonly root = Deno.makeTempDirSync({ prefix: "sensorlog-store-" });
  readonly dir = join(this.root, "store");
  readonly file = join(this.dir, "readings.sqlite");

  settings(more: Partial<StoreSettings> = {}): StoreSettings {
    return {
      dir: this.dir,
      keepMs: 365 * dayMs,
      maxSizeBytes: 64 * MiB,
      minFreeBytes: 0,
      spoolDir: this.root,
      ...more,
    };
  }

  async open(more: Partial<StoreSettings> = {}): Promise<LocalStore> {
    await makeStoreFolder(this.dir);
    return await LocalStore.open(this.settings(more), now.wallMs, false);
  }

  /** Opens the store, puts readings into it, and closes it. */
  async put(batch: Outgoing[], more: Partial<StoreSettings> = {}): Promise<void> {
    const store = await this.open(more);
    store.write(packBatch(batch));
    store.close();
  }

  read(query: StoreQuery = {}, batch?: number): StoredReading[] {
    const reader = StoreReader.open(this.dir);
    try {
      return [...reader.read(query, batch)].flat();
    } finally {
      reader.close();
    }
  }

  /** Asks the database as another program would. */
  ask(sql: string): Record<string, unknown>[] {
    const db = new DatabaseSync(this.file, { readOnly: true });
    try {
      return db.prepare(sql).all().map((row) => ({ ...row }));
    } finally {
      db.close();
    }
  }

  names(): string[] {
    return [...Deno.readDirSync(this.dir)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** Readings with sequences from `from` on, one a second. */
export function series(count: number, from = 1, parts: ReadingParts = {}): Outgoing[] {
  return Array.from(
    { length: count },
    (_, i) =>
      makeOutgoing({
        sequence: from + i,
        payload: String(from + i),
        wallMs: arrivalMs + 1_000 * (from + i),
        ...parts,
      }),
  );
}

/** Tends until nothing is left to do; returns how many steps there were. */
export async function tendAll(store: LocalStore, at: StoreNow = now, stepsMax = 1_000): Promise<number> {
  for (let steps = 0; steps < stepsMax; steps++) if (!await store.tend(at)) return steps;
  throw new Error(`tending goes on after ${stepsMax} steps`);
}
