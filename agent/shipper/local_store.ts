/**
 * The store of the output `local`: one SQLite database, opened, written, kept within its bounds. Everything here blocks its
 * thread, so it runs in one of its own (`local_worker.ts`).
 *
 * - A batch is one transaction: when `write` returns it is committed and synced, else nothing of it is there.
 * - A database that was removed or replaced meanwhile is noticed before anything is confirmed that stands only in the old one.
 * - A damaged database is set aside with its log, and a new one is begun.
 */
import type { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { OperationError } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import { storeLogBytes } from "../limits.ts";
import { type PackedBatch, unpackBatch } from "./local_batch.ts";
import { openDatabase, pagesOf } from "./local_database.ts";
import { faultOf, storeFailed } from "./local_failure.ts";
import { identityOf, prepareDatabase, removeLog, sameDisk, setAside, sizeOf } from "./local_files.ts";
import { StorePruner } from "./local_pruner.ts";
import { expiredBefore, leastBytes, mustShrink, type Shrink } from "./local_room.ts";
import { storeFile } from "./local_schema.ts";
import { StoreWriter } from "./local_writer.ts";

export interface StoreSettings {
  dir: string;
  keepMs: number | undefined;
  maxSizeBytes: number;
  /** What is to stay free on the spool's disk, and where that is. */
  minFreeBytes: number;
  spoolDir: string;
}

export interface StoreNow {
  wallMs: number;
  /** Whether the wall clock can be believed, as far as is known. */
  synchronised: boolean;
  /** Time since the last reading was written, by a clock that does not step. */
  sinceWriteMs: number;
}

/** Steps of removing before one batch at most; the rest goes between the batches. */
const stepsBeforeWrite = 20;

export class LocalStore {
  readonly #path: string;
  readonly #identity: string | undefined;
  readonly #logIdentity: string | undefined;
  readonly #writer: StoreWriter;
  readonly #pruner: StorePruner;
  readonly #minFreeBytes: number;
  #shrink: Shrink | undefined;
  #tidied = false;
  #closed = false;

  private constructor(
    private readonly settings: StoreSettings,
    private readonly db: DatabaseSync,
    /** The name under which a damaged database was set aside at opening. */
    readonly damaged: string | undefined,
  ) {
    this.#path = join(settings.dir, storeFile);
    this.#writer = new StoreWriter(db);
    this.#pruner = new StorePruner(db);
    this.#identity = identityOf(this.#path);
    this.#logIdentity = identityOf(`${this.#path}-wal`);
    this.#minFreeBytes = sameDisk(settings.dir, settings.spoolDir) ? settings.minFreeBytes : 0;
  }

  /**
   * Opens the store of a folder that is there and whose lock is held. `suspect`: the database is known to be damaged. Throws
   * OperationErrors for what is not the agent's; the system's and SQLite's own errors come out as they are.
   */
  static async open(settings: StoreSettings, nowMs: number, suspect: boolean): Promise<LocalStore> {
    const { dir } = settings;
    let damaged = suspect ? await setAside(dir, nowMs) : undefined;
    let db: DatabaseSync;
    try {
      db = openDatabase(await prepareDatabase(dir, nowMs));
    } catch (error) {
      if (error instanceof OperationError || faultOf(error) !== "damaged") throw error;
      damaged = await setAside(dir, nowMs);
      db = openDatabase(await prepareDatabase(dir, nowMs));
    }
    return new LocalStore(settings, db, damaged);
  }

  /** Whether database and log are still the ones that were opened. */
  isThere(): boolean {
    return this.#identity !== undefined && identityOf(this.#path) === this.#identity &&
      identityOf(`${this.#path}-wal`) === this.#logIdentity;
  }

  /** Whether the oldest readings go at present because the disk is short of room. */
  get givesWay(): boolean {
    return this.#shrink === "min_free";
  }

  /** Commits a batch. Throws an OperationError; nothing of the batch is confirmed then. */
  write(batch: PackedBatch): void {
    try {
      for (let i = 0; i < stepsBeforeWrite && this.#exceeds(batch.bytes.length); i++) {
        if (this.#pruner.step(Infinity) === 0) break;
      }
      this.#writer.write(unpackBatch(batch));
    } catch (error) {
      throw storeFailed("store readings", this.#path, error);
    }
    if (this.isThere()) return;
    throw new OperationError({
      operation: "store readings",
      place: this.#path,
      cause: "it was removed or replaced while the agent had it open",
      remedy: "nothing is to be done: it is opened anew, or another one begun",
      retryable: true,
    });
  }

  #exceeds(bytes: number): boolean {
    return pagesOf(this.db).usedBytes + bytes > this.settings.maxSizeBytes - storeLogBytes;
  }

  /** One step of keeping the store within its bounds. Returns whether there is more to do at once. */
  async tend(now: StoreNow): Promise<boolean> {
    const { freeBytes } = await realFiles.space(this.settings.dir);
    if (this.#closed) return false;
    const pages = pagesOf(this.db);
    const bounds = { ...this.settings, minFreeBytes: this.#minFreeBytes };
    this.#shrink = mustShrink({ ...pages, freeBytes }, bounds, this.#shrink);
    const removed = this.#removeOld(pages.usedBytes, now);
    if (removed > 0) this.#tidied = false;
    const unusedBytes = pages.fileBytes - pages.usedBytes;
    const givesBack = this.#shrink === "min_free"
      ? removed + unusedBytes > 0
      : unusedBytes > Math.max(2 * storeLogBytes, pages.fileBytes / 4);
    if (givesBack) this.#pruner.giveBack();
    if (removed > 0 || givesBack) return true;
    if (this.#tidied) return false;
    const unused = this.#pruner.removeUnused();
    if (unused > 0) this.#writer.forget();
    this.#tidied = unused === 0;
    return unused > 0;
  }

  #removeOld(usedBytes: number, now: StoreNow): number {
    if (this.#shrink === "max_size") return this.#pruner.step(Infinity);
    if (this.#shrink === "min_free" && usedBytes > leastBytes(this.settings.maxSizeBytes)) {
      return this.#pruner.step(Infinity);
    }
    const oldestMs = this.#pruner.oldestMs();
    if (oldestMs === undefined) return 0;
    const { believedMs: lastMs } = this.#writer;
    const believedMs = lastMs === undefined ? undefined : lastMs + now.sinceWriteMs;
    const before = expiredBefore(this.settings.keepMs, { ...now, believedMs }, oldestMs);
    return before > oldestMs ? this.#pruner.step(before) : 0;
  }

  /** Database and log, in bytes. */
  sizeBytes(): number {
    return sizeOf(this.#path) + sizeOf(`${this.#path}-wal`);
  }

  /** Writes the log back; a second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const gone = identityOf(this.#path) !== this.#identity;
    this.db.close();
    if (gone && identityOf(`${this.#path}-wal`) === this.#logIdentity) removeLog(this.#path);
  }
}
