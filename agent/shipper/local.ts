/**
 * The output `local`: readings go into a SQLite database on this machine (`local_store.ts`, in a thread of its own). What
 * is confirmed is committed and synced; a reading that comes again meets its own id.
 */
import { type Alarm, Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { storeCloseMs, storeGatherMs } from "../limits.ts";
import type { LocalSettings, Settings } from "../settings.ts";
import { packBatch } from "./local_batch.ts";
import { storeFailed } from "./local_failure.ts";
import type { StoreCondition } from "./local_host.ts";
import { StoreLock } from "./local_lock.ts";
import { StoreThread } from "./local_thread.ts";
import type { Finding, Outgoing, Output, Verdict } from "./output.ts";

/** All readings of a local store are addressed to this. */
export const localTarget = "local";
const confirmed: Verdict = { kind: "confirmed" };

/** What the store takes of the machine. */
export interface LocalParts {
  log: Log;
  clock: Pick<Clock, "synchronised">;
  /** What runs in the store's thread, where a test wants to see it die. */
  threadScript?: URL;
}

export class LocalOutput implements Output {
  readonly name: string;
  readonly type = "local";
  readonly place: string;
  readonly gatherMs = storeGatherMs;
  readonly #alarms = new Alarms({ wallMs: Date.now });
  readonly #lock: StoreLock;
  #thread: StoreThread | undefined;
  #closing: Promise<void> | undefined;

  /** Starts and opens nothing yet. */
  constructor(
    private readonly settings: LocalSettings,
    private readonly common: Pick<Settings, "spool">,
    private readonly parts: LocalParts,
  ) {
    this.name = settings.name;
    this.place = settings.dir;
    this.#lock = new StoreLock(settings.dir);
  }

  async prepare(signal: AbortSignal): Promise<void> {
    try {
      await this.#lock.take();
    } catch (error) {
      throw storeFailed("open the store", this.place, error);
    }
    if (this.#thread?.lives !== true) {
      const onCondition = (condition: StoreCondition) => this.#tell(condition);
      this.#thread = new StoreThread(this.place, onCondition, this.parts.threadScript);
    }
    const { dir, keepMs, maxSizeBytes } = this.settings;
    const { minFreeBytes, dir: spoolDir } = this.common.spool;
    const settings = { dir, keepMs, maxSizeBytes, minFreeBytes, spoolDir };
    await this.#thread.order({ kind: "open", settings }, signal);
  }

  async send(batch: Outgoing[], signal: AbortSignal): Promise<Verdict[]> {
    if (batch.length === 0) return [];
    if (this.#thread === undefined) throw new Error("send before prepare");
    const synchronised = this.parts.clock.synchronised() !== "no";
    await this.#thread.order({ kind: "write", batch: packBatch(batch), synchronised }, signal);
    return batch.map(() => confirmed);
  }

  alarms(): Alarm[] {
    return this.#alarms.list();
  }

  async examine(_signal: AbortSignal): Promise<Finding[]> {
    const { examineStore } = await import("./local_examine.ts"); // SQLite is loaded for who needs it
    return examineStore(this.settings);
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close().finally(() => this.#closing = undefined);
  }

  async #close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    if (thread !== undefined) await endThread(thread);
    this.#lock.release();
  }

  #tell({ setAside, givesWay, trouble, notes }: StoreCondition): void {
    const { log } = this.parts;
    const { name, dir } = this.settings;
    for (const note of notes) log.warning(note, { output: name, dir });
    const judge = (code: string, text: string | undefined, remedy: string) => {
      if (text === undefined) this.#alarms.clear(code);
      else this.#alarms.raise(code, `${name}: ${text}`, remedy);
    };
    judge(
      "store_set_aside",
      setAside.length === 0 ? undefined : `the store was damaged and set aside: ${setAside.join(", ")}`,
      `check the disk; when they are no longer wanted, remove them from ${dir}`,
    );
    judge(
      "store_gives_way",
      givesWay ? "the disk is short of room: the oldest readings go before their time" : undefined,
      "make room on the disk, or lower max_size",
    );
    judge(
      "store_untended",
      trouble === undefined ? undefined : `old readings can't be removed: ${trouble}`,
      "check the disk and the store's folder",
    );
  }
}

/** Lets the thread finish what it does and write the log back, but not for long. */
async function endThread(thread: StoreThread): Promise<void> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), storeCloseMs);
  try {
    await thread.order({ kind: "close" }, patience.signal);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error; // it ends all the same, and no reading depends on it
  } finally {
    clearTimeout(timer);
    thread.end();
  }
}
