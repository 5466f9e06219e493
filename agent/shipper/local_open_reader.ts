/** Opening a store only to read it, with the rights that one has. */
import { DatabaseSync } from "node:sqlite";
import { accessSync, constants } from "node:fs";
import { pathToFileURL } from "node:url";
import { OperationError } from "../base/errors.ts";
import { storeBusyMs } from "../limits.ts";
import { assertOurs } from "./local_database.ts";
import { faultOf, storeFailed } from "./local_failure.ts";
import { sizeOf } from "./local_files.ts";

/** Opens a database for reading. Throws an OperationError when there is none, or none that can be read. */
export function openForReading(path: string): DatabaseSync {
  try {
    if (sizeOf(path) === 0) throw noStore(path);
    return opened(path, path);
  } catch (error) {
    const fault = faultOf(error);
    // who may not write in the folder can't make the files beside the database that readers share with the writer; while
    // nobody writes, none are needed
    if ((fault === "disk" || fault === "forbidden") && mayRead(path) && sizeOf(`${path}-wal`) === 0) {
      const unchanging = pathToFileURL(path);
      unchanging.search = "?immutable=1";
      try {
        return opened(unchanging, path);
      } catch (again) {
        throw readFailed(path, again);
      }
    }
    throw readFailed(path, error);
  }
}

function opened(where: string | URL, path: string): DatabaseSync {
  const db = new DatabaseSync(where, { readOnly: true });
  try {
    db.exec(`PRAGMA busy_timeout = ${storeBusyMs}; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY`);
    assertOurs(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function mayRead(path: string): boolean {
  try {
    accessSync(path, constants.R_OK); // opening and closing it would free locks that this process holds on it
    return true;
  } catch {
    return false;
  }
}

function noStore(path: string): OperationError {
  return new OperationError({
    operation: "read the store",
    place: path,
    cause: "there is no store",
    remedy: "check the folder; an agent with an output of type local makes one there",
  });
}

/** What failed in reading, as an OperationError. */
export function readFailed(path: string, error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  const fault = faultOf(error);
  if (fault === "damaged") {
    return new OperationError({
      operation: "read the store",
      place: path,
      cause: "the database is damaged",
      remedy:
        "start the agent: it sets it aside and begins a new one; sqlite3 FILE .recover gets out what is left",
      from: error,
    });
  }
  if (fault === "forbidden" || fault === "disk") {
    return new OperationError({
      operation: "read the store",
      place: path,
      cause: mayRead(path) ? "its folder does not let it be opened" : `user id ${Deno.uid()} may not read it`,
      remedy: "use sudo, or an account of the group that owns it",
      from: error,
    });
  }
  return storeFailed("read the store", path, error);
}
