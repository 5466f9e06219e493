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

Deno.test("libc: from the size that is asked for on, a block is mapped by itself", () => {
  returnBlocksFrom(16 * MiB);
  assert.equal(mappedFor(8 * MiB), 0);
  returnBlocksFrom(MiB);
  assert.ok(mappedFor(12 * MiB) >= 12 * MiB); // more than the first one left free in the heap
});

Deno.test("libc: free memory is given back", () => {
  const blocks = Array.from({ length: 4_000 }, () => memset(malloc(10_000n), 1, 10_000n));
  const last = blocks.pop()!; // keeps the heap from shrinking by itself
  for (const block of blocks) free(block);
  const before = Deno.memoryUsage().rss;
  returnFreeMemory();
  const givenBytes = before - Deno.memoryUsage().rss;
  free(last);
  assert.ok(givenBytes > 20e6, `${givenBytes} of 40 MB`);
});
