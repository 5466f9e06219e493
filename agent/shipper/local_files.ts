/**
 * The store's folder: its files, what is damaged and set aside, whether the database is still the one that was opened.
 * The database itself is never opened here: closing it would free SQLite's locks on it (POSIX locks belong to the process).
 */
import { dirname, join } from "node:path";
import { errorCode } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import { storesSetAsideMax } from "../limits.ts";
import { storeFile } from "./local_schema.ts";

/** The group may read what the agent's socket tells it as well. */
const folderMode = 0o750;
const fileMode = 0o640;

/** What stands beside a database; the last one only while it is made. */
const logEnds = ["-wal", "-shm", "-journal"];
/** A damaged database, its log beside it under the name that SQLite looks for. */
const damagedName = /^(readings\.damaged-\d{8}T\d{9}Z(?:\.\d+)?\.sqlite)(?:-\w+)?$/;

/** Makes the folder and, durably, those above it that are missing. */
export async function makeStoreFolder(dir: string): Promise<void> {
  const missing: string[] = [];
  for (let at = dir; !isThere(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.reverse()) {
    Deno.mkdirSync(folder, { mode: folderMode });
    await realFiles.syncFolder(dirname(folder));
  }
  if (!Deno.statSync(dir).isDirectory) throw new Error("it is no folder");
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The database's path. It is made, empty and durably, when there is none; a log without its database is set aside first. */
export async function prepareDatabase(dir: string, nowMs: number): Promise<string> {
  const path = join(dir, storeFile);
  if (isThere(path)) return path;
  if (sizeOf(`${path}-wal`) > 0) await setAside(dir, nowMs);
  removeLog(path);
  Deno.openSync(path, { write: true, createNew: true, mode: fileMode }).close();
  await realFiles.syncFolder(dir);
  return path;
}

/** Renames the database with its log, and returns its new name. The oldest of too many is removed. */
export async function setAside(dir: string, nowMs: number): Promise<string> {
  const time = new Date(nowMs).toISOString().replace(/[-:.]/g, "");
  let base = `readings.damaged-${time}`;
  for (let n = 2; isThere(join(dir, `${base}.sqlite`)); n++) base = `readings.damaged-${time}.${n}`;
  const path = join(dir, storeFile);
  const to = join(dir, `${base}.sqlite`);
  // the database first: where it is gone and its log is not, the next start sets the log aside as well
  for (const end of ["", ...logEnds]) renameIfThere(`${path}${end}`, `${to}${end}`);
  for (const name of setAsideStores(dir).slice(0, -storesSetAsideMax)) {
    for (const end of ["", ...logEnds]) removeIfThere(join(dir, `${name}${end}`));
  }
  await realFiles.syncFolder(dir);
  return `${base}.sqlite`;
}

/** Names of the databases that were set aside, the oldest first. */
export function setAsideStores(dir: string): string[] {
  const names = realFiles.list(dir).flatMap(({ name }) => damagedName.exec(name)?.[1] ?? []);
  return [...new Set(names)].sort();
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Which file stands at a path; undefined: none, or none that can be reached. */
export function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

/** Removes the log of a database that is gone: it must not be taken for that of another one. */
export function removeLog(path: string): void {
  for (const end of logEnds) removeIfThere(`${path}${end}`);
}

/** Size of a file in bytes; 0 when there is none. */
export function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || errorCode(error) === "ENOTDIR") return 0;
    throw error;
  }
}

/** Whether the disk gives a file's content back. Only while no database of this process's is open there. */
export function canBeRead(path: string): boolean {
  const into = new Uint8Array(1024 * 1024);
  try {
    using file = Deno.openSync(path, { read: true });
    while (file.readSync(into) !== null);
    return true;
  } catch (error) {
    return errorCode(error) !== "EIO";
  }
}

/** Whether two folders are on one file system. */
export function sameDisk(one: string, other: string): boolean {
  try {
    return Deno.statSync(one).dev === Deno.statSync(other).dev;
  } catch {
    return false;
  }
}
