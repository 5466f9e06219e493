/**
 * Who owns a store's folder: one agent, as with the spool. The lock is taken on the event loop, not in the store's thread:
 * it is the process's, and would outlive a thread that dies.
 */
import { join } from "node:path";
import { OperationError } from "../base/errors.ts";
import { type Lock, lockFolder } from "../base/lock.ts";
import { identityOf, makeStoreFolder } from "./local_files.ts";

export class StoreLock {
  #held: { lock: Lock; identity: string | undefined } | undefined;
  readonly #file: string;

  constructor(private readonly dir: string) {
    this.#file = join(dir, "lock");
  }

  /** Makes the folder when it is missing, and takes its lock, anew when the folder is another one than before. */
  async take(): Promise<void> {
    if (this.#held !== undefined && this.#held.identity === identityOf(this.#file)) return;
    this.release();
    await makeStoreFolder(this.dir);
    const lock = await lockStore(this.dir);
    this.#held = { lock, identity: identityOf(this.#file) };
  }

  /** Frees it; a second call does nothing. */
  release(): void {
    this.#held?.lock.release();
    this.#held = undefined;
  }
}

async function lockStore(dir: string): Promise<Lock> {
  try {
    return await lockFolder(dir);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const taken = / has it$/.test(error.reason);
    throw new OperationError({
      operation: "lock the store",
      place: error.place,
      cause: error.reason,
      remedy: taken
        ? "stop that one first, or give this output a dir of its own"
        : "the agent must be able to write in this folder",
      from: error,
    });
  }
}
