/** Runs `work` while no other process does: the lock is freed by the system when the process ends. */
export async function exclusively(lockPath: string, work: () => Promise<void>): Promise<void> {
  const lock = await Deno.open(lockPath, { write: true, create: true });
  try {
    await lock.lock(true);
    await work();
  } finally {
    lock.close();
  }
}
