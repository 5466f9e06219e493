/** Carries out what recovery planned, and makes durable what the stream then rests on. */
import { join } from "node:path";
import { errorCode, LostSyncError, reasonOf } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { tornBytesMax, tornFilesMax } from "../limits.ts";
import { parseSegmentName } from "./format.ts";
import type { RecoveryAction, RecoveryPlan } from "./recovery.ts";

const tornEnding = ".torn";
const badEnding = ".bad";

/** Names in a folder that recovery set aside: `<segment>.bad` and `<segment>.torn`, in order; none when it can't be read. */
export function setAsideNames(files: Files, dir: string): string[] {
  return namesIn(files, dir).filter(isSetAside);
}

function namesIn(files: Files, dir: string): string[] {
  try {
    return files.list(dir).map((entry) => entry.name).sort();
  } catch {
    return []; // what matters of the folder was read before; storing into it will say what is wrong
  }
}

function isSetAside(name: string): boolean {
  const ending = [tornEnding, badEnding].find((one) => name.endsWith(one));
  return ending !== undefined && parseSegmentName(name.slice(0, -ending.length)) !== undefined;
}

/** A segment or a torn end of one: what `replace` may have left half-written. */
function isOwn(name: string): boolean {
  return parseSegmentName(name) !== undefined || (name.endsWith(tornEnding) && isSetAside(name));
}

/**
 * Does the plan's actions and syncs the last segment and the folder. A disk that refuses an action is warned of and
 * changes nothing else: the plan's segments are right with or without it. Throws LostSyncError when the sync fails.
 */
export async function carryOut(files: Files, dir: string, plan: RecoveryPlan, log: Log): Promise<void> {
  for (const action of plan.actions) {
    try {
      await act(files, dir, action, log);
    } catch (error) {
      log.warning("a segment could not be repaired; it is left as it is", {
        action: action.kind,
        file: join(dir, action.name),
        reason: reasonOf(error),
      });
    }
  }
  removeLeftovers(files, dir, log);
  await syncLast(files, dir, plan, log);
}

async function act(files: Files, dir: string, action: RecoveryAction, log: Log): Promise<void> {
  const path = join(dir, action.name);
  switch (action.kind) {
    case "set aside":
      files.rename(path, `${path}${badEnding}`);
      log.error("a segment was set aside", { file: `${path}${badEnding}`, reason: action.reason });
      return;
    case "remove":
      if (action.keep) await keepTorn(files, path, 0);
      files.unlink(path);
      log.info("a segment in which nothing was stored was removed", { file: path, bytes: action.tornBytes });
      return;
    case "cut": {
      if (action.keep) await keepTorn(files, path, action.atBytes);
      const file = files.open(path, "append");
      try {
        file.truncate(action.atBytes); // synced with the rest of it: it is the last segment
      } finally {
        file.close();
      }
      log.notice("the torn end of the last segment was cut off", {
        file: path,
        bytes: action.tornBytes,
        kept: action.keep ? `${path}${tornEnding}` : undefined,
      });
    }
  }
}

async function keepTorn(files: Files, path: string, atBytes: number): Promise<void> {
  const file = files.open(path, "read");
  try {
    const torn = new Uint8Array(Math.min(tornBytesMax, Math.max(0, file.size() - atBytes)));
    const got = file.readAt(torn, atBytes);
    await files.replace(`${path}${tornEnding}`, torn.subarray(0, got));
  } finally {
    file.close();
  }
}

/** Torn tails beyond the newest few, and temporary files of a life that ended while it kept one. */
function removeLeftovers(files: Files, dir: string, log: Log): void {
  const names = namesIn(files, dir);
  const torn = names.filter((name) => isSetAside(name) && name.endsWith(tornEnding));
  const half = names.filter((name) => name.endsWith(".new") && isOwn(name.slice(0, -".new".length)));
  for (const name of [...torn.slice(0, Math.max(0, torn.length - tornFilesMax)), ...half]) {
    try {
      files.unlink(join(dir, name));
    } catch (error) {
      log.warning("a file that is no longer needed could not be removed", {
        file: join(dir, name),
        reason: reasonOf(error),
      });
    }
  }
}

/**
 * What was found may stand in the page cache only (kill -9): it is synced before anything rests on it. Where that fails,
 * a second sync would say well and mean nothing, so the segment is written anew in its place.
 */
async function syncLast(files: Files, dir: string, plan: RecoveryPlan, log: Log): Promise<void> {
  const path = plan.segments.at(-1)?.path;
  try {
    if (path !== undefined) await syncFile(files, path);
    await files.syncFolder(dir);
  } catch (error) {
    if (errorCode(error) === "EROFS") return; // nothing can be unsynced there
    const reason = reasonOf(error);
    log.error("the last segment could not be synced; it is written anew", { file: path ?? dir, reason });
    await writeAnew(files, path, dir, reason);
  }
}

async function syncFile(files: Files, path: string): Promise<void> {
  const file = files.open(path, "read");
  try {
    await file.syncData();
  } finally {
    file.close();
  }
}

async function writeAnew(files: Files, path: string | undefined, dir: string, reason: string): Promise<void> {
  try {
    const content = path === undefined ? undefined : files.read(path);
    if (content === undefined) await files.syncFolder(dir);
    else await files.replace(path!, content);
  } catch (error) {
    throw new LostSyncError({
      operation: "sync recovered segment",
      place: path ?? dir,
      cause: `${reason}, and written anew: ${reasonOf(error)}`,
      remedy: "what the disk holds of the last messages is unknown; check the disk",
      from: error,
    });
  }
}
