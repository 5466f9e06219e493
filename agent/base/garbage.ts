/** V8 favours growing over collecting; the process is to stay small. The compiled binary has V8's `--expose-gc`. */
import { heapGrowthBytes } from "../limits.ts";

/** V8's own function; "last-resort" gives pages back to the system as well. */
type Collect = (options: { type: "major"; execution: "sync"; flavor: "regular" | "last-resort" }) => void;

function collect(flavor: "regular" | "last-resort"): void {
  (globalThis as { gc?: Collect }).gc?.({ type: "major", execution: "sync", flavor });
}

/** Collects the garbage of this thread, at once: some 20 ms for 14 MiB. Does nothing where V8 does not offer it. */
export function collectGarbage(): void {
  collect("regular");
}

let afterBytes = 0;

/**
 * When the heap has grown by some MiB since the last time, collects and gives back all that V8 can do without, some 70 ms: so
 * that what a flood left is not kept for hours.
 */
export function collectGrownHeap(): void {
  if (Deno.memoryUsage().heapTotal < afterBytes + heapGrowthBytes) return;
  collect("last-resort");
  afterBytes = Deno.memoryUsage().heapTotal;
}
