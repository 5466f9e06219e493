/** When readings must leave the store: for its size, for the disk's free space, for their age. Pure. */
import { storeFreeAboveBytes, storeFreeApartBytes, storeLeastBytes, storeLogBytes } from "../limits.ts";

/** Sizes in bytes; `used`: pages of the database that hold something; `free`: on the disk. */
export interface StoreMeasure {
  usedBytes: number;
  fileBytes: number;
  freeBytes: number;
}

export interface StoreBounds {
  maxSizeBytes: number;
  /** What is to stay free on the disk for the spool's sake; 0: the spool is on another disk. */
  minFreeBytes: number;
}

export type Shrink = "max_size" | "min_free";

/** What the database may hold, its log apart, and where removing ends once it has begun: not with every batch anew. */
export function sizeMarks(maxSizeBytes: number): { highBytes: number; lowBytes: number } {
  const highBytes = maxSizeBytes - 2 * storeLogBytes;
  return { highBytes, lowBytes: highBytes - Math.max(1024 * 1024, highBytes / 64) };
}

/** Above the marks of the spool: it goes on where the store has made room. */
export function freeMarks(minFreeBytes: number): { lowBytes: number; roomBytes: number } {
  const lowBytes = minFreeBytes + Math.max(storeFreeAboveBytes, minFreeBytes / 8);
  return { lowBytes, roomBytes: lowBytes + storeFreeApartBytes };
}

/** For want of disk space the store does not become smaller than this. */
export function leastBytes(maxSizeBytes: number): number {
  return Math.min(storeLeastBytes, maxSizeBytes / 2);
}

/** Why the oldest readings must go now, or undefined. `earlier`: what was judged last; begun is gone through with. */
export function mustShrink(
  measure: StoreMeasure,
  bounds: StoreBounds,
  earlier: Shrink | undefined,
): Shrink | undefined {
  const { usedBytes, fileBytes, freeBytes } = measure;
  const free = freeMarks(bounds.minFreeBytes);
  const least = leastBytes(bounds.maxSizeBytes);
  const short = freeBytes < (earlier === "min_free" ? free.roomBytes : free.lowBytes);
  // pages that hold nothing any more are given back before more readings go
  if (short && Math.max(usedBytes, fileBytes) > least) return "min_free";
  const size = sizeMarks(bounds.maxSizeBytes);
  if (usedBytes > (earlier === "max_size" ? size.lowBytes : size.highBytes)) return "max_size";
  return undefined;
}

/**
 * Readings with a time before this have been kept long enough, or -Infinity while none has. They go in bulk: the oldest
 * may stay for another hundredth of the time, at most an hour. A clock that is not synchronised is believed only as far
 * as the last arrival by one that was, and what has passed since: set wrong, it would empty the store.
 */
export function expiredBefore(
  keepMs: number | undefined,
  now: { wallMs: number; synchronised: boolean; believedMs: number | undefined },
  oldestMs: number,
): number {
  if (keepMs === undefined) return -Infinity;
  const nowMs = now.synchronised ? now.wallMs : Math.min(now.wallMs, now.believedMs ?? Infinity);
  const before = nowMs - keepMs;
  return oldestMs < before - Math.min(keepMs / 100, 3_600_000) ? before : -Infinity;
}
