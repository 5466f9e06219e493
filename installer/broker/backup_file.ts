/** A backup on a disk, which may be a USB stick that knows neither modes nor links. */
import { dirname } from "node:path";
import { errorCode, OperationError, reasonOf } from "../../agent/base/errors.ts";
import { backupBytesMax } from "./backup.ts";

/**
 * Writes a file that is there whole, synced and for its owner only, or not at all. One that is there already is never
 * overwritten. Returns whether others may read it: the file system knows no modes. Throws OperationError.
 */
export async function writeBackup(path: string, bytes: Uint8Array): Promise<{ readableByOthers: boolean }> {
  const part = `${path}.part`;
  await assertFree(path);
  try {
    await Deno.remove(part).catch(unlessMissing);
    {
      using file = await Deno.open(part, { write: true, createNew: true, mode: 0o600 });
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    }
    await publish(part, path);
    await syncFolder(dirname(path));
    return { readableByOthers: ((await Deno.stat(path)).mode! & 0o077) !== 0 };
  } catch (error) {
    await Deno.remove(part).catch(() => {}); // the error that led here says more
    if (error instanceof Deno.errors.AlreadyExists) await assertFree(path);
    throw new OperationError({
      ...{ operation: "write a backup", place: path, cause: reasonOf(error), from: error },
      remedy: "name a file in a folder that is there and has room; nothing was written",
    });
  }
}

/** The whole file. Throws OperationError when it can't be read or is too large to be a backup. */
export async function readBackup(path: string): Promise<Uint8Array> {
  const refuse = (cause: string, from?: unknown) =>
    new OperationError({
      ...{ operation: "read a backup", place: path, cause, from },
      remedy: "name what sensorlog-agent broker backup has written",
    });
  try {
    using file = await Deno.open(path);
    const { size, isFile } = await file.stat();
    if (!isFile) throw refuse("it is no file");
    if (size > backupBytesMax) throw refuse("it is too large to be a backup of the broker");
    return new Uint8Array(await new Response(file.readable).arrayBuffer());
  } catch (error) {
    throw error instanceof OperationError ? error : refuse(reasonOf(error), error);
  }
}

async function assertFree(path: string): Promise<void> {
  const found = await Deno.lstat(path).catch(unlessMissing);
  if (found === undefined) return;
  throw new OperationError({
    ...{ operation: "write a backup", place: path, cause: "something of that name is there already" },
    remedy: "name another file, such as one with today's date; nothing was written",
  });
}

/** Gives the file its name unless another one has taken it meanwhile, as far as the file system can do that. */
async function publish(part: string, path: string): Promise<void> {
  try {
    await Deno.link(part, path);
    await Deno.remove(part);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(errorCode(error) ?? "")) throw error;
    await assertFree(path);
    await Deno.rename(part, path);
  }
}

async function syncFolder(dir: string): Promise<void> {
  using folder = await Deno.open(dir);
  await folder.sync();
}

function unlessMissing(error: unknown): undefined {
  if (error instanceof Deno.errors.NotFound) return undefined;
  throw error;
}
