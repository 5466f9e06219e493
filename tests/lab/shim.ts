/**
 * The preloaded library of `shim/shim.c`, seen from the test: kills the agent at the n-th write, sync, rename, unlink,
 * truncate, create or send, makes such a call fail, and says what the kernel's clock state is. It works on any
 * dynamically linked program; only calls on files under one folder and on connections to given ports count.
 */
import { join } from "node:path";
import { succeed } from "./command.ts";
import { cacheDir, projectDir } from "./paths.ts";

/** In the order of the library's enum. */
export const pointKinds = ["write", "sync", "rename", "unlink", "truncate", "create", "send"] as const;
export type PointKind = typeof pointKinds[number];
const whens = ["before", "half", "after"] as const;
export type PointWhen = typeof whens[number];

export interface Point {
  kinds: readonly PointKind[];
  /** 1: the next matching call. */
  n: number;
  /** Part of a file's path relative to the folder, `.` for the folder itself, or a port's name. */
  place?: string;
}

export interface KillPoint extends Point {
  /** `half`: after the first half of the bytes of a write or send; before the call for the other kinds. */
  when: PointWhen;
}

export interface FaultPoint extends Point {
  /** The number of the error: 28 is ENOSPC, 5 is EIO, 30 is EROFS. */
  errno: number;
  /** How many matching calls fail from the n-th on; default: all. */
  times?: number;
  /** The n-th call writes half of its bytes and says so, as a disk does that fills; the next ones fail. */
  short?: boolean;
}

/** Where each field of `struct control` starts, in bytes. */
const at = { attached: 0, clock: 8, kill: 16, fault: 104, counts: 208, hit: 264, end: 520 };
const placeBytesMax = 63;

/** Compiles the library when its source has changed; returns its path. */
export async function shimLibrary(): Promise<string> {
  const source = join(projectDir, "tests/lab/shim/shim.c");
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(source));
  const path = join(cacheDir, `shim-${new Uint8Array(digest).slice(0, 8).toHex()}.so`);
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  await Deno.mkdir(cacheDir, { recursive: true, mode: 0o755 });
  const own = `${path}.${crypto.randomUUID()}`;
  await succeed("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", own, source, "-ldl"]);
  await Deno.rename(own, path); // others may compile the same meanwhile: whole or not there
  return path;
}

/** What counts. */
export interface Watch {
  folder?: string;
  /** Places in it begin with its own name. */
  secondFolder?: string;
  /** Ports by name. */
  ports?: Record<string, number>;
}

/** The library's orders and findings, in a file that the preloaded processes map. */
export class Shim implements Disposable {
  /** What a process needs in its environment to meet the library. */
  readonly env: Record<string, string>;
  readonly #control: Deno.FsFile;

  private constructor(
    library: string,
    path: string,
    watch: Watch,
  ) {
    this.#control = Deno.openSync(path, {
      read: true,
      write: true,
      create: true,
      truncate: true,
      mode: 0o600,
    });
    this.#control.truncateSync(at.end);
    const ports = Object.entries(watch.ports ?? {}).map(([name, port]) => `${port}=${name}`);
    this.env = {
      LD_PRELOAD: library,
      LAB_SHIM_CONTROL: path,
      LAB_SHIM_FOLDER: watch.folder ?? "",
      LAB_SHIM_FOLDER_2: watch.secondFolder ?? "",
      LAB_SHIM_PORTS: ports.join(","),
    };
  }

  /** A control file at `path` (outside the watched folder). The clock is synchronised, nothing is armed. */
  static async create(
    path: string,
    watch: Watch,
  ): Promise<Shim> {
    return new Shim(await shimLibrary(), path, watch);
  }

  /** What adjtimex says from now on, in running processes too. */
  setClockSynchronised(synchronised: boolean): void {
    this.#write(at.clock, [synchronised ? 0 : 5]);
  }

  /** Ends the process with SIGKILL at that point, counted from now on. */
  killAt(point: KillPoint): void {
    this.#arm(at.kill, [kindBits(point.kinds), whens.indexOf(point.when)], point);
  }

  /** Makes calls fail from that point on, counted from now on. */
  failAt(point: FaultPoint): void {
    this.#arm(at.fault, [kindBits(point.kinds), point.short ? 1 : 0, point.errno, point.times ?? -1], point);
  }

  /** No more faults and no kill. */
  disarm(): void {
    this.#write(at.kill + 8, [0]);
    this.#write(at.fault + 8, [0]);
  }

  /** Points passed, by kind, since the last `startCounting`. */
  counts(): Record<PointKind, number> {
    const numbers = this.#read(at.counts, pointKinds.length);
    return Object.fromEntries(pointKinds.map((kind, i) => [kind, numbers[i]!])) as Record<PointKind, number>;
  }

  /** Sets the counts to 0 and forgets where a process was killed. */
  startCounting(): void {
    this.#write(at.counts, pointKinds.map(() => 0));
    this.#put(at.hit, new Uint8Array(1));
  }

  /** Where the process was killed: `write half outputs/cloud.json.new`; undefined: it was not, by the library. */
  hit(): string | undefined {
    const bytes = new Uint8Array(at.end - at.hit);
    this.#control.seekSync(at.hit, Deno.SeekMode.Start);
    this.#control.readSync(bytes);
    const text = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    return text === "" ? undefined : text;
  }

  /** The process that mapped the file last. */
  attachedPid(): number {
    return this.#read(at.attached, 1)[0]!;
  }

  [Symbol.dispose](): void {
    this.#control.close();
  }

  /** Both orders are `kinds, countdown, when, …, place[64]`; the countdown comes last, so that it holds whole or not. */
  #arm(start: number, values: number[], point: Point): void {
    const place = new TextEncoder().encode(point.place ?? "");
    if (place.length > placeBytesMax) {
      throw new RangeError(`a place is at most ${placeBytesMax} bytes: ${point.place}`);
    }
    const [kinds, ...rest] = values as [number, ...number[]];
    this.#write(start + 8, [0]);
    this.#write(start, [kinds]);
    this.#write(start + 16, rest);
    this.#put(start + 16 + 8 * rest.length, new Uint8Array([...place, 0]));
    this.#write(start + 8, [point.n]);
  }

  #write(offset: number, values: number[]): void {
    this.#put(offset, new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
  }

  #put(offset: number, bytes: Uint8Array): void {
    this.#control.seekSync(offset, Deno.SeekMode.Start);
    this.#control.writeSync(bytes);
  }

  #read(offset: number, count: number): number[] {
    const numbers = new BigInt64Array(count);
    this.#control.seekSync(offset, Deno.SeekMode.Start);
    this.#control.readSync(new Uint8Array(numbers.buffer));
    return [...numbers].map(Number);
  }
}

function kindBits(kinds: readonly PointKind[]): number {
  return kinds.reduce((bits, kind) => bits | 1 << pointKinds.indexOf(kind), 0);
}
