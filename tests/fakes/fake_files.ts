/**
 * A disk in memory, for what a real one can't be made to show: a crash that loses what was not synced (all of it, or any
 * part), the n-th call that fails, no room, blocks that can't be read. A failed sync loses what it should have made
 * durable, as on Linux: the next one succeeds and does not bring it back.
 */
import { dirname } from "node:path";
import type { Files, FolderEntry, OpenFile } from "../../agent/base/files.ts";
import { FakeInode } from "./fake_inode.ts";
import type { CrashMode } from "./fake_inode.ts";
import { seededRandom } from "./seeded_random.ts";

export type { CrashMode };

/** What was asked of the disk, in order. */
export interface Call {
  verb:
    | "list"
    | "open"
    | "create"
    | "append"
    | "readAt"
    | "truncate"
    | "syncData"
    | "read"
    | "rename"
    | "unlink"
    | "makeFolder"
    | "syncFolder";
  path: string;
}

/** Verbs that write, and so fail for want of room. */
export const writingVerbs: Call["verb"][] = ["create", "append", "rename", "makeFolder"];
/** Verbs that a folder or file system without write permission refuses. */
export const changingVerbs: Call["verb"][] = [...writingVerbs, "truncate", "unlink"];

type NameChange =
  | { kind: "create"; path: string; inode: FakeInode }
  | { kind: "rename"; from: string; to: string }
  | { kind: "unlink"; path: string };

/** An error as the system gives it. */
export class DiskError extends Error {
  constructor(readonly code: string, call: Call) {
    super(`${code}: ${call.verb} ${call.path}`);
  }
}

export class FakeFiles implements Files {
  /** Everything that was called since the beginning or the last `calls.length = 0`. */
  readonly calls: Call[] = [];
  /** Answers with an error code for calls that are to fail; `failAt` and others set it. */
  fault: (call: Call) => string | undefined = () => undefined;
  /** Room on the disk. */
  capacityBytes = Infinity;
  /** While set, syncs wait for it. */
  syncGate: Promise<void> | undefined;
  /** Crashes so far; files that were opened before one are dead. */
  life = 0;
  #folders = new Set<string>(["/"]);
  #names = new Map<string, FakeInode>();
  #durableNames = new Map<string, FakeInode>();
  #nameChanges: NameChange[] = [];
  #unreadable: { path: string; from: number; to: number }[] = [];

  /** From now on the n-th call (of these verbs) fails, once: 1 is the next one. */
  failAt(n: number, code: string, verbs?: Call["verb"][]): void {
    let left = n;
    this.fault = (call) =>
      (verbs === undefined || verbs.includes(call.verb)) && --left === 0 ? code : undefined;
  }

  /** From now on all calls of these verbs fail. */
  failAll(code: string, verbs: Call["verb"][]): void {
    this.fault = (call) => verbs.includes(call.verb) ? code : undefined;
  }

  /** Nothing fails any more. */
  heal(): void {
    this.fault = () => undefined;
    this.#unreadable = [];
  }

  /** Reading any of these bytes gives EIO. */
  makeUnreadable(path: string, from = 0, to = Infinity): void {
    this.#unreadable.push({ path, from, to });
  }

  /**
   * Power goes and comes back. Of what was not synced, file by file: "lost" nothing is there, "kept" all is, "half" a
   * beginning, "reordered" any blocks, "zeroed" the length with zeros in it. Names that were not synced are kept or lost
   * one by one (all lost or kept with "lost" and "kept"). The same seed does the same.
   */
  crash(mode: CrashMode, seed = 1): void {
    const random = seededRandom(seed);
    for (const change of this.#nameChanges) {
      if (mode === "kept" || (mode !== "lost" && random() < 0.5)) apply(this.#durableNames, change);
    }
    this.#nameChanges = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) inode.crash(mode, random);
    this.life++;
  }

  /** Changes bytes of a file behind everybody's back, durably: what a failing card does. */
  damage(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
    this.#inode({ verb: "open", path }).become(change(this.content(path).slice()));
  }

  /** A copy of what stands in the file now. */
  content(path: string): Uint8Array {
    return this.#inode({ verb: "read", path }).content();
  }

  list(folder: string): FolderEntry[] {
    const call = this.called({ verb: "list", path: folder });
    if (!this.#folders.has(folder)) throw new DiskError("ENOENT", call);
    return [...this.#names]
      .filter(([path]) => dirname(path) === folder)
      .map(([path, inode]) => ({ name: path.slice(path.lastIndexOf("/") + 1), sizeBytes: inode.sizeBytes }));
  }

  open(path: string, mode: "read" | "append" | "create"): OpenFile {
    if (mode !== "create") {
      const call = this.called({ verb: "open", path });
      return new FakeFile(this, path, this.#inode(call), mode === "append");
    }
    return this.#create(path, true);
  }

  read(path: string): Uint8Array | undefined {
    this.called({ verb: "read", path });
    if (!this.#names.has(path)) return undefined;
    this.checkReadable({ verb: "read", path }, 0, Infinity);
    return this.content(path);
  }

  async replace(path: string, content: Uint8Array): Promise<void> {
    const file = this.#create(`${path}.new`, false);
    file.append(content);
    await file.syncData();
    file.close();
    this.rename(`${path}.new`, path);
    await this.syncFolder(dirname(path));
  }

  rename(from: string, to: string): void {
    const call = this.called({ verb: "rename", path: from });
    this.#inode(call);
    this.#change({ kind: "rename", from, to });
  }

  unlink(path: string): void {
    const call = this.called({ verb: "unlink", path });
    this.#inode(call);
    this.#change({ kind: "unlink", path });
  }

  makeFolder(path: string): void {
    if (this.#folders.has(path)) return;
    this.called({ verb: "makeFolder", path });
    for (let folder = path; !this.#folders.has(folder); folder = dirname(folder)) this.#folders.add(folder);
  }

  async syncFolder(folder: string): Promise<void> {
    const here = this.#nameChanges.filter((change) =>
      dirname("to" in change ? change.to : change.path) === folder
    );
    await this.synced({ verb: "syncFolder", path: folder });
    for (const change of here) apply(this.#durableNames, change);
    this.#nameChanges = this.#nameChanges.filter((change) => !here.includes(change));
  }

  space(_folder: string): Promise<{ freeBytes: number; totalBytes: number }> {
    return Promise.resolve({ freeBytes: this.roomBytes(), totalBytes: this.capacityBytes });
  }

  /** Bytes that may still be written. */
  roomBytes(): number {
    let used = 0;
    for (const inode of new Set(this.#names.values())) used += inode.sizeBytes;
    return Math.max(0, this.capacityBytes - used);
  }

  /** Notes a call and throws when it is to fail. */
  called(call: Call): Call {
    this.calls.push(call);
    const code = this.fault(call);
    if (code !== undefined) throw new DiskError(code, call);
    return call;
  }

  /** A sync: takes a moment, during which a crash may come. */
  async synced(call: Call): Promise<void> {
    const life = this.life;
    this.calls.push(call);
    const code = this.fault(call);
    await (this.syncGate ?? Promise.resolve());
    if (life !== this.life) throw new Error(`the power went during ${call.verb} ${call.path}`);
    if (code !== undefined) throw new DiskError(code, call);
  }

  checkReadable(call: Call, from: number, to: number): void {
    const hit = this.#unreadable.some((one) => one.path === call.path && one.from < to && from < one.to);
    if (hit) throw new DiskError("EIO", call);
  }

  #create(path: string, mustBeNew: boolean): FakeFile {
    const call = this.called({ verb: "create", path });
    if (!this.#folders.has(dirname(path))) throw new DiskError("ENOENT", call);
    const old = this.#names.get(path);
    if (old !== undefined && mustBeNew) throw new DiskError("EEXIST", call);
    const inode = old ?? new FakeInode();
    if (old === undefined) this.#change({ kind: "create", path, inode });
    else inode.truncate(0);
    return new FakeFile(this, path, inode, true);
  }

  #inode(call: Call): FakeInode {
    const inode = this.#names.get(call.path);
    if (inode === undefined) throw new DiskError("ENOENT", call);
    return inode;
  }

  #change(change: NameChange): void {
    this.#nameChanges.push(change);
    apply(this.#names, change);
  }
}

/** Applies a change of names; one that rests on a change that was lost does nothing. */
function apply(names: Map<string, FakeInode>, change: NameChange): void {
  if (change.kind === "create") {
    names.set(change.path, change.inode);
  } else if (change.kind === "unlink") {
    names.delete(change.path);
  } else {
    const inode = names.get(change.from);
    if (inode === undefined) return;
    names.delete(change.from);
    names.set(change.to, inode);
  }
}

class FakeFile implements OpenFile {
  readonly #life: number;
  #closed = false;

  constructor(
    private readonly disk: FakeFiles,
    private readonly path: string,
    private readonly inode: FakeInode,
    private readonly writable: boolean,
  ) {
    this.#life = disk.life;
  }

  append(bytes: Uint8Array): void {
    const call = this.#use("append");
    if (!this.writable) throw new DiskError("EBADF", call);
    const room = this.disk.roomBytes();
    try {
      this.disk.called(call);
    } catch (error) {
      this.inode.append(bytes.subarray(0, Math.min(room, bytes.length >> 1)));
      throw error;
    }
    this.inode.append(bytes.subarray(0, Math.min(room, bytes.length)));
    if (bytes.length > room) throw new DiskError("ENOSPC", call);
  }

  readAt(into: Uint8Array, at: number): number {
    const call = this.disk.called(this.#use("readAt"));
    this.disk.checkReadable(call, at, Math.min(at + into.length, this.inode.sizeBytes));
    return this.inode.readAt(into, at);
  }

  size(): number {
    this.#use("readAt");
    return this.inode.sizeBytes;
  }

  truncate(sizeBytes: number): void {
    const call = this.disk.called(this.#use("truncate"));
    if (!this.writable) throw new DiskError("EINVAL", call);
    this.inode.truncate(sizeBytes);
  }

  async syncData(): Promise<void> {
    const call = this.#use("syncData");
    const changes = this.inode.changeCount;
    try {
      await this.disk.synced(call);
    } catch (error) {
      if (error instanceof DiskError) this.inode.loseChanges(changes);
      throw error;
    }
    this.inode.settleChanges(changes);
  }

  close(): void {
    this.#closed = true;
  }

  #use(verb: Call["verb"]): Call {
    if (this.#closed) throw new DiskError("EBADF", { verb, path: this.path });
    if (this.#life !== this.disk.life) throw new Error(`${this.path} was opened before the power went`);
    return { verb, path: this.path };
  }
}
