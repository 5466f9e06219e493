/** A file that is there whole or not at all: written under the name `FILE.part`, renamed at the end. */
import { basename, dirname } from "node:path";
import { errorCode, OperationError, reasonOf } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import { type Lock, lockFile } from "../base/lock.ts";

const encoder = new TextEncoder();

export class ExportFile {
  sizeBytes = 0;
  #closed = false;

  private constructor(
    readonly path: string,
    private readonly part: string,
    private readonly file: Deno.FsFile,
    /** Undefined on a disk without locks. */
    private readonly lock: Lock | undefined,
  ) {}

  /**
   * Begins `path`, readable for its owner only. What stands there stays until `finish`. What an export that was killed
   * left is removed. Throws OperationError: no such folder, not allowed, not a plain file, written by another export.
   */
  static create(path: string): Promise<ExportFile> {
    return Promise.resolve().then(() => ExportFile.#begin(path));
  }

  static #begin(path: string): ExportFile {
    const target = targetOf(path);
    const part = `${target}.part`;
    let file = createNew(part);
    if (file === undefined) {
      removeAbandoned(part);
      file = createNew(part);
    }
    if (file === undefined) throw fault(part, "another export writes this file", otherName);
    const lock = lockFile(part);
    return new ExportFile(target, part, file, typeof lock === "string" ? undefined : lock);
  }

  /** Throws OperationError: the disk is full, or fails. */
  async write(text: string): Promise<void> {
    let bytes = encoder.encode(text);
    this.sizeBytes += bytes.length;
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.file.write(bytes));
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Puts the file under its name, durably. Throws OperationError; then nothing has changed under that name. */
  async finish(): Promise<void> {
    try {
      await this.file.sync();
      if (!sameFile(this.file.statSync(), Deno.lstatSync(this.part))) {
        throw fault(this.part, "another program has replaced this file", otherName);
      }
      realFiles.rename(this.part, this.path);
      await realFiles.syncFolder(dirname(this.path));
    } catch (error) {
      throw this.#failure(error);
    }
    this.#close();
  }

  /** Leaves nothing behind; after `finish` it does nothing. */
  discard(): void {
    if (this.#closed) return;
    try {
      if (sameFile(this.file.statSync(), Deno.lstatSync(this.part))) Deno.removeSync(this.part);
    } catch {
      // it is gone already
    }
    this.#close();
  }

  #close(): void {
    this.#closed = true;
    this.file.close();
    this.lock?.release();
  }

  #failure(error: unknown): OperationError {
    if (error instanceof OperationError) return error;
    const full = ["ENOSPC", "EDQUOT"].includes(errorCode(error) ?? "");
    return full
      ? fault(this.part, "there is no room left", "make room, or name a file on another disk", error)
      : fault(this.part, reasonOf(error), "check the folder and its disk", error);
  }
}

const otherName = "wait for that one, or name another file";

function fault(place: string, cause: string, remedy: string, from?: unknown): OperationError {
  return new OperationError({ operation: "export", place, cause, remedy, from });
}

/** Where the file is to stand: a link leads to its target. Devices and the like are not replaced. */
function targetOf(path: string): string {
  let target = path;
  try {
    target = Deno.realPathSync(path);
    const { isFile, isDirectory } = Deno.statSync(target);
    if (isDirectory) throw fault(path, "this is a folder", "name a file in it");
    if (!isFile) throw fault(path, "this is no plain file", "leave the name out and redirect: > FILE");
  } catch (error) {
    if (error instanceof OperationError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) {
      throw fault(path, reasonOf(error), "name a file in a folder in which you may write", error);
    }
  }
  if (basename(target) === "" || path.endsWith("/")) {
    throw fault(path, "this is the name of a folder", "name a file in it");
  }
  return target;
}

/** A new file, 0600 from the first moment; undefined when something of that name is there. */
function createNew(part: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(part, { write: true, createNew: true, mode: 0o600 });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return undefined;
    const missing = error instanceof Deno.errors.NotFound;
    const cause = missing ? "there is no such folder" : reasonOf(error);
    throw fault(part, cause, "name a file in a folder in which you may write", error);
  }
}

/** Removes the file of an export that was killed; one that is being written is locked by its writer and stays. */
function removeAbandoned(part: string): void {
  if (!Deno.lstatSync(part).isFile) {
    throw fault(part, "this is no plain file", "remove it, or name another file");
  }
  const lock = lockFile(part);
  if (lock === "impossible") {
    throw fault(part, "it can't be opened, or not be locked", "remove it, or name another file");
  }
  if (lock === "taken") return;
  try {
    Deno.removeSync(part);
  } finally {
    lock.release();
  }
}

function sameFile(a: Deno.FileInfo, b: Deno.FileInfo): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}
