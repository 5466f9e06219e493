import assert from "node:assert/strict";
import { returnBlocksFrom, returnFreeMemory } from "../../agent/base/libc.ts";

/** malloc of the GNU C library that this process uses, asked directly. */
const library = Deno.dlopen("libc.so.6", {
  malloc: { parameters: ["usize"], result: "pointer" },
  free: { parameters: ["pointer"], result: "void" },
  memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" },
  mallinfo2: { parameters: [], result: { struct: new Array<"usize">(10).fill("usize") } },
});
const { malloc, free, memset, mallinfo2 } = library.symbols;

const MiB = 1024 * 1024;

/** Bytes in blocks that are mapped by themselves: `hblkhd` of mallinfo2(3). */
function mappedBytes(): number {
  return Number(new BigUint64Array(mallinfo2().slice().buffer)[4]);
}

function mappedFor(sizeBytes: number): number {
  const before = mappedBytes();
  const block = malloc(BigInt(sizeBytes));
  const mapped = mappedBytes() - before;
  free(block);
  return mapped;
}

/** Other tests run in this process at the same time and use memory too: one of some tries is undisturbed. */
function someTry(holds: () => boolean): boolean {
  for (let tries = 0; tries < 50; tries++) if (holds()) return true;
  return false;
}

Deno.test("libc: from the size that is asked for on, a block is mapped by itself", () => {
  returnBlocksFrom(16 * MiB);
  assert.ok(someTry(() => mappedFor(8 * MiB) === 0));
  returnBlocksFrom(MiB);
  assert.ok(someTry(() => mappedFor(12 * MiB) >= 12 * MiB)); // more than the first one left free in the heap
});

/** Frees 40 MB in small blocks behind one that stays, and returns how many bytes the process gave back, at `returnFreeMemory`. */
function givenBack(): number {
  const blocks = Array.from({ length: 4_000 }, () => memset(malloc(10_000n), 1, 10_000n));
  const last = blocks.pop()!; // keeps the heap from shrinking by itself
  for (const block of blocks) free(block);
  const before = Deno.memoryUsage().rss;
  returnFreeMemory();
  const givenBytes = before - Deno.memoryUsage().rss;
  free(last);
  return givenBytes;
}

Deno.test("libc: free memory is given back", () => {
  assert.ok(someTry(() => givenBack() > 20e6));
});
