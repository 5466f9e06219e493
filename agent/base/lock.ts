/** One agent per spool: a lock that the system frees when its owner is gone, however it went. */
import { join } from "node:path";
import { errorCode, OperationError, reasonOf } from "./errors.ts";
import { cString, libc } from "./libc.ts";

export interface Lock {
  /** Frees the lock; a second call does nothing. */
  release(): void;
}

const readOnlyCloseOnExec = 0o2000000;
const exclusiveAtOnce = 2 | 4; // LOCK_EX | LOCK_NB

/**
 * Takes the lock of `dir` (file `lock`, which holds the owner's pid as text). Never waits: throws an OperationError that
 * names the owner when another process, or this one, has it, and when the file can't be written.
 */
export function lockFolder(dir: string): Promise<Lock> {
  return Promise.resolve().then(() => takeLock(join(dir, "lock")));
}

/** The lock of a file that is there (flock(2)), at once or not at all. It lasts until `release` or the process's end. */
export function lockFile(path: string): Lock | "taken" | "impossible" {
  const descriptor = libc === undefined ? -1 : libc.open(cString(path), readOnlyCloseOnExec);
  if (libc === undefined || descriptor < 0) return "impossible";
  if (libc.flock(descriptor, exclusiveAtOnce) !== 0) {
    libc.close(descriptor);
    return "taken";
  }
  let held = true;
  return {
    release() {
      if (held) libc!.close(descriptor);
      held = false;
    },
  };
}

function takeLock(path: string): Lock {
  const file = openLockFile(path);
  try {
    const lock = lockFile(path);
    if (lock === "impossible") {
      throw lockError(
        path,
        "the system offers no way to lock it",
        "use a file system and a C library that know flock",
      );
    }
    if (lock === "taken") {
      throw lockError(
        path,
        `${ownerOf(path)} has it`,
        "stop that one first, or give this one a spool.dir of its own",
      );
    }
    try {
      file.truncateSync(0);
      writeAll(file, `${Deno.pid}\n`);
    } catch (error) {
      if (!isFull(error)) {
        lock.release();
        throw lockError(path, reasonOf(error), "check the folder's disk");
      }
      // on a full disk the lock holds all the same; only its owner's number can't be read
    }
    return lock;
  } finally {
    file.close();
  }
}

function openLockFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (error) {
    throw lockError(path, reasonOf(error), "the agent must be able to write in this folder");
  }
}

function writeAll(file: Deno.FsFile, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

function ownerOf(path: string): string {
  try {
    const pid = /^(\d{1,10})\n/.exec(Deno.readTextFileSync(path))?.[1];
    return pid === undefined ? "another process" : `the process with pid ${pid}`;
  } catch {
    return "another process";
  }
}

function isFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT";
}

function lockError(path: string, cause: string, remedy: string): OperationError {
  return new OperationError({ operation: "lock the spool", place: path, cause, remedy });
}
