/** Takes readings out of the store in small steps, the oldest first, and gives the room back to the disk. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { storePruneBytes, storePruneReadings, storeVacuumPages } from "../limits.ts";
import { inTransaction } from "./local_database.ts";
import { blockReadings } from "./local_schema.ts";

const unusedMax = 1_000;

export class StorePruner {
  readonly #oldest: StatementSync;
  readonly #first: StatementSync;
  readonly #remove: StatementSync;
  readonly #unusedTopics: StatementSync;
  readonly #unusedBlocks: StatementSync;

  constructor(private readonly db: DatabaseSync) {
    this.#oldest = db.prepare("SELECT time FROM stored ORDER BY time LIMIT 1");
    this.#first = db.prepare(`
      SELECT id, coalesce(octet_length(text), 0) + coalesce(octet_length(json), 0) +
        coalesce(octet_length(bytes), 0) + coalesce(octet_length(properties), 0) AS size
      FROM stored WHERE time < ? ORDER BY time, id LIMIT ${storePruneReadings}`);
    this.#remove = db.prepare("DELETE FROM stored WHERE id = ?");
    this.#unusedTopics = db.prepare(`
      DELETE FROM topics WHERE number IN
        (SELECT number FROM topics WHERE newest <= ? ORDER BY newest LIMIT ${unusedMax})`);
    this.#unusedBlocks = db.prepare(`
      DELETE FROM blocks WHERE number IN (SELECT number FROM blocks WHERE NOT EXISTS (SELECT 1 FROM stored
        WHERE id >= blocks.number * ${blockReadings} AND id < (blocks.number + 1) * ${blockReadings})
        LIMIT ${unusedMax})`);
  }

  /** The time of the oldest reading, or undefined when there is none. */
  oldestMs(): number | undefined {
    const row = this.#oldest.get();
    return row === undefined ? undefined : Number(row["time"]);
  }

  /** Removes some of the oldest readings with times before `beforeMs`. Returns how many. */
  step(beforeMs: number): number {
    const ids: number[] = [];
    let bytes = 0;
    for (const row of this.#first.iterate(Number.isFinite(beforeMs) ? beforeMs : Number.MAX_SAFE_INTEGER)) {
      const size = Number(row["size"]);
      if (ids.length > 0 && bytes + size > storePruneBytes) break;
      bytes += size;
      ids.push(Number(row["id"]));
    }
    if (ids.length > 0) inTransaction(this.db, () => ids.forEach((id) => this.#remove.run(id)));
    return ids.length;
  }

  /** Removes some topics and blocks of which no reading is left. Returns how many. */
  removeUnused(): number {
    const oldestMs = this.oldestMs() ?? Number.MAX_SAFE_INTEGER;
    let removed = 0;
    inTransaction(this.db, () => {
      removed += Number(this.#unusedTopics.run(oldestMs).changes);
      removed += Number(this.#unusedBlocks.run().changes);
    });
    return removed;
  }

  /** Cuts some unused pages off the file. */
  giveBack(): void {
    this.db.prepare(`PRAGMA incremental_vacuum(${storeVacuumPages})`).all(); // one page a step
    // only then is the file itself shorter
    this.db.prepare("PRAGMA wal_checkpoint(PASSIVE)").all();
  }
}
