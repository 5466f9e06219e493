/**
 * The seam to the disk: about ten verbs. The fake one of `tests/` loses unsynced bytes on a crash and fails the n-th
 * call. Errors of the system come out as they are, with `code`; the callers know what they mean.
 */
import { statfs } from "node:fs/promises";
import { dirname, join } from "node:path";

/** An open file. Positions are byte offsets from the start. */
export interface OpenFile {
  /** Writes all of `bytes` at the end of the file, or throws; then an unknown part of them may stand there. */
  append(bytes: Uint8Array): void;
  /** Reads up to `into.length` bytes from offset `at`; returns how many (0 at the end). */
  readAt(into: Uint8Array, at: number): number;
  /** Length in bytes. */
  size(): number;
  /** Cuts the file to `sizeBytes`; later appends go behind that. */
  truncate(sizeBytes: number): void;
  /** fdatasync(2), off the event loop. */
  syncData(): Promise<void>;
  close(): void;
}

/** One entry of a folder. */
export interface FolderEntry {
  name: string;
  sizeBytes: number;
}

/** What the agent asks of a disk. */
export interface Files {
  /** Plain files of a folder, unsorted. An absent folder is an error with code ENOENT. */
  list(folder: string): FolderEntry[];
  /** Opens for reading; with `append` for reading and appending (must exist); with `create` makes it (0600, must not exist). */
  open(path: string, mode: "read" | "append" | "create"): OpenFile;
  /** The whole file, or undefined when there is none. */
  read(path: string): Uint8Array | undefined;
  /** Replaces a file in one step and durably: temp file (0600), write, fdatasync, rename, sync the folder. */
  replace(path: string, content: Uint8Array): Promise<void>;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Makes a folder (0700) and its parents; no error when it is there. */
  makeFolder(path: string): void;
  /** Makes the folder's entries (new, renamed and removed files) durable. */
  syncFolder(folder: string): Promise<void>;
  /** Bytes that this process may still write on the file system of `folder`, and its size. */
  space(folder: string): Promise<{ freeBytes: number; totalBytes: number }>;
}

class RealFile implements OpenFile {
  constructor(private readonly file: Deno.FsFile) {}

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += this.file.writeSync(at === 0 ? bytes : bytes.subarray(at));
  }
  readAt(into: Uint8Array, at: number): number {
    this.file.seekSync(at, Deno.SeekMode.Start);
    let got = 0;
    while (got < into.length) {
      const n = this.file.readSync(into.subarray(got));
      if (n === null) break;
      got += n;
    }
    return got;
  }
  size(): number {
    return this.file.statSync().size;
  }
  truncate(sizeBytes: number): void {
    this.file.truncateSync(sizeBytes);
  }
  syncData(): Promise<void> {
    return this.file.syncData();
  }
  close(): void {
    this.file.close();
  }
}

/** The real disk. */
export const realFiles: Files = {
  list(folder) {
    const entries: FolderEntry[] = [];
    for (const entry of Deno.readDirSync(folder)) {
      if (!entry.isFile) continue;
      try {
        entries.push({ name: entry.name, sizeBytes: Deno.lstatSync(join(folder, entry.name)).size });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // removed meanwhile by the cleaner
      }
    }
    return entries;
  },
  open(path, mode) {
    const create = mode === "create";
    // O_APPEND: an append after a truncate or a readAt still lands at the end
    const options = mode === "read"
      ? { read: true }
      : { read: true, append: true, createNew: create, mode: 0o600 };
    return new RealFile(Deno.openSync(path, options));
  },
  read(path) {
    try {
      return Deno.readFileSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  },
  async replace(path, content) {
    const temporary = `${path}.new`;
    const file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode: 0o600 });
    try {
      for (let at = 0; at < content.length;) at += file.writeSync(content.subarray(at));
      await file.syncData();
    } finally {
      file.close();
    }
    Deno.renameSync(temporary, path);
    await realFiles.syncFolder(dirname(path));
  },
  rename: (from, to) => Deno.renameSync(from, to),
  unlink: (path) => Deno.removeSync(path),
  makeFolder: (path) => Deno.mkdirSync(path, { recursive: true, mode: 0o700 }),
  async syncFolder(folder) {
    const file = Deno.openSync(folder, { read: true });
    try {
      await file.sync();
    } finally {
      file.close();
    }
  },
  async space(folder) {
    const figures = await statfs(folder);
    return { freeBytes: figures.bavail * figures.bsize, totalBytes: figures.blocks * figures.bsize };
  },
};
