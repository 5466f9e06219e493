/** The machine as the installer sees it: the running one, or an image of one in a folder. */
import { Buffer } from "node:buffer";
import { basename, dirname, join, normalize } from "node:path";
import { OperationError } from "../agent/base/errors.ts";

/** What stands at a path, itself and not what it links to. */
export interface Found {
  type: "file" | "folder" | "link" | "other";
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
}

/** An access whose names have become numbers. */
export interface NumericAccess {
  mode: number;
  uid: number;
  gid: number;
}

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Paths are those of the machine, in an image as well. Each change is whole or not there, and on disk when it returns. */
export interface Machine {
  /** False for an image: then no program is run and nothing started. */
  readonly live: boolean;
  look(path: string): Found | undefined;
  /** The whole file, or undefined when there is none. Throws OperationError for one larger than 16 MiB. */
  read(path: string): Uint8Array | undefined;
  linkTarget(path: string): string | undefined;
  /** Names in a folder, or undefined when there is none. */
  list(path: string): string[] | undefined;
  /** Whether a program waits for TCP connections at a port, on any of the machine's addresses. Never for an image. */
  listens(port: number): boolean;
  /** Whether a file is byte for byte the same as one of the machine that this program runs on. */
  isCopy(path: string, source: string): Promise<boolean>;
  /** Replaces or makes a file. */
  write(path: string, content: Uint8Array, access: NumericAccess): Promise<void>;
  /** The same with the content of a file of the machine that this program runs on. */
  copy(source: string, path: string, access: NumericAccess): Promise<void>;
  makeFolder(path: string, access: NumericAccess): Promise<void>;
  setAccess(path: string, access: NumericAccess): Promise<void>;
  link(path: string, target: string): Promise<void>;
  /** A file, a link or a folder with all that is in it; none is no error. */
  remove(path: string): Promise<void>;
  /** An empty folder; one that is not empty, or not there, stays as it is. */
  removeEmpty(path: string): Promise<void>;
  /** A program of the system. Never for an image. */
  run(program: string, args: string[], timeoutMs?: number): Promise<Finished>;
  /** Starts a unit, or starts it again, and waits until it is well. Throws OperationError when it does not become so. */
  start(unit: string): Promise<void>;
}

const readBytesMax = 16 * 1024 * 1024;
const compareBytes = 1024 * 1024;

export interface Programs {
  run: Machine["run"];
  start: Machine["start"];
}

/** The running machine when `root` is undefined, else the image below `root`. */
export function realMachine(root: string | undefined, programs: Programs): Machine {
  return new RealMachine(root, programs);
}

class RealMachine implements Machine {
  readonly live: boolean;
  readonly #realRoot: string;

  constructor(private readonly root: string | undefined, private readonly programs: Programs) {
    this.live = root === undefined;
    this.#realRoot = root === undefined ? "/" : Deno.realPathSync(root);
  }

  look(path: string): Found | undefined {
    return orNone(() => {
      const { isFile, isDirectory, isSymlink, mode, uid, gid, size } = Deno.lstatSync(this.#at(path));
      const type = isSymlink ? "link" : isFile ? "file" : isDirectory ? "folder" : "other";
      return { type, mode: mode! & 0o7777, uid: uid!, gid: gid!, sizeBytes: size };
    });
  }

  read(path: string): Uint8Array | undefined {
    return orNone(() => {
      const here = this.#followed(path);
      const { size, isFile } = Deno.statSync(here);
      if (isFile && size <= readBytesMax) return Deno.readFileSync(here);
      throw new OperationError({
        ...{
          operation: "read a file",
          place: here,
          cause: isFile ? "it is larger than 16 MiB" : "it is no file",
        },
        remedy: "move it away, if it is yours",
      });
    });
  }

  linkTarget(path: string): string | undefined {
    return orNone(() => Deno.readLinkSync(this.#at(path)));
  }

  list(path: string): string[] | undefined {
    return orNone(() => [...Deno.readDirSync(this.#followed(path))].map(({ name }) => name));
  }

  listens(port: number): boolean {
    this.#assertLive(`port ${port}`);
    return ["/proc/net/tcp", "/proc/net/tcp6"].some((path) =>
      hasListener(orNone(() => Deno.readTextFileSync(path)) ?? "", port)
    );
  }

  async isCopy(path: string, source: string): Promise<boolean> {
    if (this.look(path) === undefined) return false;
    using one = await Deno.open(this.#followed(path));
    using other = await Deno.open(source);
    if ((await one.stat()).size !== (await other.stat()).size) return false;
    const chunks = [new Uint8Array(compareBytes), new Uint8Array(compareBytes)] as const;
    for (;;) {
      const [here, there] = [await fill(one, chunks[0]), await fill(other, chunks[1])];
      if (Buffer.compare(here, there) !== 0) return false;
      if (here.length === 0) return true;
    }
  }

  async write(path: string, content: Uint8Array, access: NumericAccess): Promise<void> {
    await this.#replace(path, access, async (file) => {
      for (let at = 0; at < content.length;) at += await file.write(content.subarray(at));
    });
  }

  async copy(source: string, path: string, access: NumericAccess): Promise<void> {
    using from = await Deno.open(source);
    await this.#replace(path, access, (file) => from.readable.pipeTo(file.writable, { preventClose: true }));
  }

  async makeFolder(path: string, access: NumericAccess): Promise<void> {
    const here = this.#at(path);
    await Deno.mkdir(dirname(here), { recursive: true, mode: 0o755 });
    await Deno.mkdir(here, { mode: 0o700 });
    await this.setAccess(path, access);
    await syncFolder(dirname(here));
  }

  async setAccess(path: string, { mode, uid, gid }: NumericAccess): Promise<void> {
    const here = this.#at(path);
    if ((await Deno.lstat(here)).isSymlink) {
      throw new OperationError({
        ...{ operation: "set owner and mode", place: here, cause: "it is a link to somewhere else" },
        remedy: "put a folder or file of its own there",
      });
    }
    await Deno.chown(here, uid, gid);
    await Deno.chmod(here, mode); // after chown, which may take bits away
  }

  async link(path: string, target: string): Promise<void> {
    const here = this.#at(path);
    await Deno.mkdir(dirname(here), { recursive: true, mode: 0o755 });
    const made = `${here}.part`;
    await removeAll(made);
    await Deno.symlink(target, made);
    await Deno.rename(made, here);
    await syncFolder(dirname(here));
  }

  async remove(path: string): Promise<void> {
    const here = this.#at(path);
    await removeAll(`${here}.part`);
    if (this.look(path) === undefined) return;
    await removeAll(here);
    await syncFolder(dirname(here));
  }

  async removeEmpty(path: string): Promise<void> {
    const here = this.#at(path);
    const empty = orNone(() => [...Deno.readDirSync(here)].length === 0) ?? false;
    if (empty) await Deno.remove(here);
  }

  run(program: string, args: string[], timeoutMs?: number): Promise<Finished> {
    this.#assertLive(program);
    return this.programs.run(program, args, timeoutMs);
  }

  start(unit: string): Promise<void> {
    this.#assertLive(unit);
    return this.programs.start(unit);
  }

  #assertLive(what: string): void {
    if (!this.live) throw new Error(`${what}: nothing is run for an image`);
  }

  /** Temporary file beside it, owner and mode, content, fsync, rename, fsync of the folder. */
  async #replace(
    path: string,
    { mode, uid, gid }: NumericAccess,
    fill: (file: Deno.FsFile) => Promise<void>,
  ): Promise<void> {
    const here = this.#at(path);
    const part = `${here}.part`;
    await removeAll(part);
    try {
      using file = await Deno.open(part, { write: true, createNew: true, mode: 0o600 });
      await fill(file);
      await Deno.chown(part, uid, gid);
      await Deno.chmod(part, mode);
      await file.sync();
      await Deno.rename(part, here);
    } catch (error) {
      await removeAll(part);
      throw error;
    }
    await syncFolder(dirname(here));
  }

  /** The path on this machine, its last part not followed. Throws when a link of the image leads out of it. */
  #at(path: string): string {
    if (this.root === undefined) return path;
    const folder = this.#inside(join(this.#realRoot, dirname(normalize(`/${path}`))));
    return join(folder, basename(path));
  }

  /** The same, its last part followed within the image. */
  #followed(path: string): string {
    const here = this.#at(path);
    return this.root === undefined ? here : this.#inside(here);
  }

  #inside(path: string): string {
    let real = path;
    let rest = "";
    for (;;) {
      const found = orNone(() => Deno.realPathSync(real));
      if (found !== undefined) {
        const whole = join(found, rest);
        if (`${whole}/`.startsWith(`${this.#realRoot}/`)) return whole;
        throw new OperationError({
          ...{ operation: "use the image", place: path, cause: `a link leads out of it, to ${whole}` },
          remedy: "make the link relative",
        });
      }
      rest = join(basename(real), rest);
      real = dirname(real);
    }
  }
}

/** Whether a line of /proc/net/tcp or tcp6 (proc_pid_net(5)) is a socket that listens at the port. */
export function hasListener(table: string, port: number): boolean {
  const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").some((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    return state === "0A" && local!.endsWith(end);
  });
}

/** As many bytes as `into` takes, fewer at the end of the file only. */
async function fill(file: Deno.FsFile, into: Uint8Array): Promise<Uint8Array> {
  let at = 0;
  while (at < into.length) {
    const count = await file.read(into.subarray(at));
    if (count === null) break;
    at += count;
  }
  return into.subarray(0, at);
}

async function removeAll(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

async function syncFolder(dir: string): Promise<void> {
  using folder = await Deno.open(dir);
  await folder.sync();
}

/** A whole text file, or undefined when there is none. Throws as `read` does. */
export function textOf(machine: Pick<Machine, "read">, path: string): string | undefined {
  const bytes = machine.read(path);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** What a look gives, or undefined where nothing is. */
export function orNone<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
