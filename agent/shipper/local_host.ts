/** What the store's thread does: opens, writes and tends the store as it is told, and says what came of it. */
import { join } from "node:path";
import { OperationError } from "../base/errors.ts";
import { storeReadFailuresMax } from "../limits.ts";
import type { PackedBatch } from "./local_batch.ts";
import { faultOf, storeFailed } from "./local_failure.ts";
import { canBeRead, setAsideStores } from "./local_files.ts";
import { storeFile } from "./local_schema.ts";
import { LocalStore, type StoreSettings } from "./local_store.ts";

/** What `status` and the log are to know. */
export interface StoreCondition {
  /** Names of damaged databases in the folder. */
  setAside: string[];
  /** Whether readings go at present because the disk is short of room. */
  givesWay: boolean;
  /** Why the store can't be kept within its bounds at present. */
  trouble: string | undefined;
  /** What happened that the log is to tell; each once. */
  notes: string[];
}

export class StoreHost {
  #store: LocalStore | undefined;
  /** The database is known to be damaged: SQLite said so, or the disk does not give it back. */
  #suspect = false;
  #readFailures = 0;
  #trouble: string | undefined;
  #notes: string[] = [];
  #synchronised = true;
  #wroteMs = performance.now();

  constructor(private readonly settings: StoreSettings) {}

  /** Opens the store; does nothing when it is open and well. Throws OperationErrors. */
  async open(): Promise<void> {
    if (this.#store?.isThere()) return;
    if (this.#store !== undefined) {
      this.#notes.push("the store was removed or replaced while it was open: what was in it may be gone");
    }
    this.close();
    try {
      this.#store = await LocalStore.open(this.settings, Date.now(), this.#suspect);
    } catch (error) {
      this.#judgeDisk(error);
      throw storeFailed("open the store", this.settings.dir, error);
    }
    this.#suspect = false;
    this.#readFailures = 0;
    const { damaged } = this.#store;
    if (damaged !== undefined) {
      this.#notes.push(`the store was damaged: it was set aside as ${damaged}, and a new one begun`);
    }
  }

  /** A disk that fails to give the database back again and again has lost it. */
  #judgeDisk(error: unknown): void {
    this.#readFailures = faultOf(error) === "io" ? this.#readFailures + 1 : 0;
    if (this.#readFailures < storeReadFailuresMax) return;
    this.#readFailures = 0;
    this.#suspect = !canBeRead(join(this.settings.dir, storeFile));
  }

  /** Commits a batch, or throws an OperationError. After most failures the store is opened anew before the next one. */
  write(batch: PackedBatch, synchronised: boolean): void {
    if (this.#store === undefined) {
      throw new OperationError({
        operation: "store readings",
        place: this.settings.dir,
        cause: "the store is not open",
        retryable: true,
      });
    }
    try {
      this.#store.write(batch);
    } catch (error) {
      this.#failed(error);
      throw error;
    }
    this.#synchronised = synchronised;
    this.#wroteMs = performance.now();
  }

  /** One step of keeping the store within its bounds. Returns whether there is more to do at once. Never throws. */
  async tend(): Promise<boolean> {
    const store = this.#store;
    if (store === undefined || !store.isThere()) return false;
    try {
      const more = await store.tend({
        wallMs: Date.now(),
        synchronised: this.#synchronised,
        sinceWriteMs: performance.now() - this.#wroteMs,
      });
      this.#trouble = undefined;
      return more;
    } catch (error) {
      const failure = storeFailed("remove old readings", this.settings.dir, error);
      this.#failed(failure);
      this.#trouble = failure.reason;
      return false;
    }
  }

  #failed(error: unknown): void {
    const fault = error instanceof OperationError ? faultOf(error.cause) : "other";
    if (fault === "damaged") this.#suspect = true;
    // nothing was half done, and it may go on at once
    if (fault === "full" || fault === "busy") return;
    if (this.#store?.isThere() ?? true) this.close();
  }

  /** What there is to say; notes are handed out once. */
  condition(): StoreCondition {
    const notes = this.#notes;
    this.#notes = [];
    const givesWay = this.#store?.givesWay ?? false;
    return { setAside: this.#setAside(), givesWay, trouble: this.#trouble, notes };
  }

  #setAside(): string[] {
    try {
      return setAsideStores(this.settings.dir);
    } catch {
      return []; // the folder is gone; opening says so
    }
  }

  close(): void {
    const store = this.#store;
    this.#store = undefined;
    try {
      store?.close();
    } catch (error) {
      this.#notes.push(`closing the store: ${storeFailed("close", this.settings.dir, error).reason}`);
    }
  }
}
