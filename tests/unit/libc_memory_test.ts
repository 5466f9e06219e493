import { succeed } from "../lab/command.ts";
import { projectDir } from "../lab/paths.ts";

/** Asks malloc in a process of its own: in the tests' own one others use memory at the same time. */
async function alone(body: string): Promise<void> {
  const code = `
    import assert from "node:assert/strict";
    import { returnBlocksFrom, returnFreeMemory } from "${projectDir}/agent/base/libc.ts";
    const { malloc, free, memset, mallinfo2 } = Deno.dlopen("libc.so.6", {
      malloc: { parameters: ["usize"], result: "pointer" },
      free: { parameters: ["pointer"], result: "void" },
      memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" },
      mallinfo2: { parameters: [], result: { struct: new Array(10).fill("usize") } },
    }).symbols;
    const MiB = 1024 * 1024;
    ${body}`;
  await succeed(Deno.execPath(), ["eval", "--no-lock", "--no-config", "--ext=ts", code]);
}

Deno.test("libc: from the size that is asked for on, a block is mapped by itself", async () => {
  await alone(`
    // hblkhd of mallinfo2(3): bytes in blocks that are mapped by themselves
    const mapped = () => Number(new BigUint64Array(mallinfo2().slice().buffer)[4]);
    const mappedFor = (sizeBytes) => {
      const before = mapped();
      const block = malloc(BigInt(sizeBytes));
      const bytes = mapped() - before;
      free(block);
      return bytes;
    };
    returnBlocksFrom(16 * MiB);
    assert.equal(mappedFor(8 * MiB), 0);
    returnBlocksFrom(MiB);
    assert.ok(mappedFor(12 * MiB) >= 12 * MiB); // more than the first one left free in the heap
  `);
});

Deno.test("libc: free memory is given back", async () => {
  await alone(`
    const blocks = Array.from({ length: 4_000 }, () => memset(malloc(10_000n), 1, 10_000n));
    const last = blocks.pop(); // keeps the heap from shrinking by itself
    for (const block of blocks) free(block);
    const before = Deno.memoryUsage().rss;
    returnFreeMemory();
    const givenBytes = before - Deno.memoryUsage().rss;
    free(last);
    assert.ok(givenBytes > 20e6, givenBytes + " of 40 MB");
  `);
});
