import { succeed } from "../lab/command.ts";
import { projectDir } from "../lab/paths.ts";

Deno.test("garbage: what a flood left is collected when the heap has grown, and only then", async () => {
  const code = `
    import assert from "node:assert/strict";
    import { collectGrownHeap } from "${projectDir}/agent/base/garbage.ts";
    const used = () => Deno.memoryUsage().heapUsed / 1e6;
    collectGrownHeap();
    const before = used();
    let collections = 0;
    const collect = globalThis.gc;
    globalThis.gc = (options) => { collections++; collect(options); };
    collectGrownHeap();
    assert.equal(collections, 0);
    let flood = Array.from({ length: 300_000 }, (_, n) => ({ n, topic: "t" + n }));
    assert.ok(used() > before + 10, "the flood is seen");
    flood = undefined;
    collectGrownHeap();
    assert.equal(collections, 1);
    assert.ok(used() < before + 2, used() + " after, " + before + " before");`;
  const flags = ["--no-lock", "--no-config", "--ext=ts", "--v8-flags=--expose-gc"];
  await succeed(Deno.execPath(), ["eval", ...flags, code]);
});
