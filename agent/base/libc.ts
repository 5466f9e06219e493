/** The few calls of the C library that Deno does not offer: boot clock, state of the clock, a lock that never waits, sd_notify, malloc. */

const symbols = {
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  adjtimex: { parameters: ["buffer"], result: "i32" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  malloc_trim: { parameters: ["usize"], result: "i32" },
  mallopt: { parameters: ["i32", "i32"], result: "i32" },
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" },
} as const;

function openLibrary() {
  try {
    return Deno.dlopen("libc.so.6", symbols).symbols;
  } catch {
    return undefined;
  }
}

/** The GNU C library, or undefined where there is none; what needs it has a second way or says that it can't go on. */
export const libc = openLibrary();

/** A path as C wants it. Throws a TypeError for one with a NUL in it. */
export function cString(path: string): Uint8Array<ArrayBuffer> {
  if (path.includes("\0")) throw new TypeError("a path can't contain NUL");
  return new TextEncoder().encode(`${path}\0`);
}

const timespec = new Uint8Array(16);
const timespecView = new DataView(timespec.buffer);

/** CLOCK_MONOTONIC: what systemd compares times with; stands still while the machine sleeps. */
export const monotonicClock = 1;
/** CLOCK_BOOTTIME: time since boot, sleep included. */
export const bootClock = 7;

/** Nanoseconds of one of the clocks above, or undefined when it can't be read (clock_gettime(2)). */
export function clockNs(clock: number): bigint | undefined {
  if (libc === undefined || libc.clock_gettime(clock, timespec) !== 0) return undefined;
  return timespecView.getBigInt64(0, true) * 1_000_000_000n + timespecView.getBigInt64(8, true);
}

/** M_MMAP_THRESHOLD of mallopt(3). Once set, malloc does not raise it by itself any more. */
const mmapThreshold = -3;

/** Lets every block of at least `sizeBytes` be mapped by itself, so that freeing it gives it back to the system. */
export function returnBlocksFrom(sizeBytes: number): void {
  libc?.mallopt(mmapThreshold, sizeBytes);
}

/** Gives free memory inside the heap back to the system (malloc_trim(3)); takes about half a millisecond. */
export function returnFreeMemory(): void {
  libc?.malloc_trim(0n);
}
