/** V8 favours growing over collecting; the process is to stay small. The compiled binary has V8's `--expose-gc`. */
import { heapGrowthBytes } from "../limits.ts";

/** Collects all garbage of this thread, at once: some 10 ms for 20 MiB. Does nothing where V8 does not offer it. */
export function collectGarbage(): void {
  (globalThis as { gc?: () => void }).gc?.();
}

let afterBytes = 0;

/**
 * Collects when the heap has grown by some MiB since the last time, so that what a flood left is not kept for hours: twice,
 * because V8 drops code that is not in use only when it has seen that in several collections.
 */
export function collectGrownHeap(): void {
  if (Deno.memoryUsage().heapTotal < afterBytes + heapGrowthBytes) return;
  collectGarbage();
  collectGarbage();
  afterBytes = Deno.memoryUsage().heapTotal;
}
