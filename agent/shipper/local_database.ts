/** Opening the store's database: whose it is, whether it is whole, and how it is written. */
import { DatabaseSync } from "node:sqlite";
import { OperationError } from "../base/errors.ts";
import { storeBusyMs, storeLogBytes } from "../limits.ts";
import { applicationId, createSchema, schemaVersion } from "./local_schema.ts";

const pageBytes = 4_096;

/**
 * Opens the database for writing, makes its tables when it is empty, and looks at all of its pages (`quick_check`). What
 * SQLite finds damaged comes out in its own words. Throws an OperationError for a database that is not the agent's, or
 * of a newer agent.
 */
export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    db.exec(`PRAGMA busy_timeout = ${storeBusyMs}; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY`);
    const isEmpty = numberOf(db, "SELECT count(*) FROM sqlite_schema") === 0;
    if (isEmpty) db.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA auto_vacuum = INCREMENTAL`);
    else assertOurs(db, path);
    useLog(db, path);
    if (isEmpty) db.exec(`BEGIN IMMEDIATE; ${createSchema} COMMIT`);
    else assertWhole(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Throws when the database is not one that this agent can read. */
export function assertOurs(db: DatabaseSync, path: string): void {
  const refuse = (cause: string, remedy: string) => {
    return new OperationError({ operation: "open the store", place: path, cause, remedy });
  };
  if (numberOf(db, "PRAGMA application_id") !== applicationId) {
    throw refuse("this is another program's database", "name another dir for the store");
  }
  const version = numberOf(db, "PRAGMA user_version");
  if (version > schemaVersion) {
    throw refuse(
      `it was written by a newer agent (schema ${version}, this one knows ${schemaVersion})`,
      "use the newer agent, or name another dir for the store",
    );
  }
}

/** Every commit is synced (`FULL`), and readers are not kept waiting (`WAL`). */
function useLog(db: DatabaseSync, path: string): void {
  const mode = Object.values(db.prepare("PRAGMA journal_mode = WAL").get() ?? {})[0];
  if (mode !== "wal") {
    throw new OperationError({
      operation: "open the store",
      place: path,
      cause: `its file system can't hold a database that is read while it is written (journal mode ${mode})`,
      remedy: "name a dir on a disk of this machine",
    });
  }
  db.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = ${storeLogBytes / pageBytes};
    PRAGMA journal_size_limit = ${2 * storeLogBytes};
  `);
}

function assertWhole(db: DatabaseSync): void {
  const fault = Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {})[0];
  if (fault !== "ok") throw new Error(`database disk image is malformed: ${fault}`);
}

/** The one number that a statement gives. */
export function numberOf(db: DatabaseSync, sql: string): number {
  return Number(Object.values(db.prepare(sql).get() ?? {})[0]);
}

/** Bytes of the pages that hold something, and of the file. */
export function pagesOf(db: DatabaseSync): { usedBytes: number; fileBytes: number } {
  const pages = numberOf(db, "PRAGMA page_count");
  const unused = numberOf(db, "PRAGMA freelist_count");
  return { usedBytes: (pages - unused) * pageBytes, fileBytes: pages * pageBytes };
}

/** Runs `work` as one transaction: all of it is committed and synced, or nothing. */
export function inTransaction(db: DatabaseSync, work: () => void): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    work();
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}
