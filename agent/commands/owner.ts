/** What root writes into the agent's folder, the agent's own user can't read later. */
import { OperationError } from "../base/errors.ts";

/** Throws OperationError when root is about to work in a folder of another user. */
export function assertOwner(dir: string, uid: number | null = Deno.uid()): void {
  if (uid !== 0) return;
  let owner: number | null;
  try {
    owner = Deno.statSync(dir).uid;
  } catch {
    return; // it is made, or the reason why not is told elsewhere
  }
  if (owner === null || owner === uid) return;
  throw new OperationError({
    operation: "work in the spool",
    place: dir,
    cause: `it belongs to user id ${owner}, who could not read what root writes there`,
    remedy: `be that user: sudo -u '#${owner}' sensorlog-agent …`,
  });
}
