/** Who owns a store: one agent, as with the spool. */
import { OperationError } from "../base/errors.ts";
import { type Lock, lockFolder } from "../base/lock.ts";

/** Takes the lock of a store's folder. Throws an OperationError that names the owner when there is another. */
export async function lockStore(dir: string): Promise<Lock> {
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
