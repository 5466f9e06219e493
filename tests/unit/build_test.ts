import assert from "node:assert/strict";
import { join } from "node:path";
import { bundle, commitOf } from "../../agent/build/bundle.ts";
import { keptDenort, targets } from "../../agent/build/denort.ts";
import { elfImageBytes } from "../../agent/build/elf.ts";
import { finish } from "../lab/command.ts";
import { projectDir } from "../lab/paths.ts";

Deno.test("compile: what was appended to an ELF image is not part of it", async () => {
  const program = await Deno.readFile("/bin/sh");
  assert.equal(elfImageBytes(program), program.length);
  const longer = new Uint8Array(program.length + 5_000).fill(0x41);
  longer.set(program);
  assert.equal(elfImageBytes(longer), program.length);
  for (const other of [new Uint8Array(0), new Uint8Array(100), program.subarray(0, 63)]) {
    assert.throws(() => elfImageBytes(other), RangeError);
  }
});

Deno.test("compile: a kept denort that is not the expected one is not used", async () => {
  const cacheDir = await Deno.makeTempDir();
  for (const target of targets) {
    assert.equal(await keptDenort(target, cacheDir), undefined);
    await Deno.writeTextFile(join(cacheDir, `denort-2.6.8-${target}`), "something else");
    assert.equal(await keptDenort(target, cacheDir), undefined);
  }
  await Deno.remove(cacheDir, { recursive: true });
});

Deno.test("compile: the bundle is one file that runs by itself, with its commit and packages in it", async () => {
  const dir = await Deno.makeTempDir();
  const version = new URL("../../agent/version.ts", import.meta.url).pathname;
  await Deno.writeTextFile(
    join(dir, "main.ts"),
    `import { version } from ${JSON.stringify(version)};
    import { parse } from "yaml";
    import { isDeepStrictEqual } from "util";
    import * as arrow from "apache-arrow";
    import * as undici from "undici";
    for (const unused of [arrow, undici]) {
      if (!isDeepStrictEqual({ ...unused.default }, {})) throw new Error("an unused package is in it");
    }
    const { object, number } = await import("zod");
    console.log(version, JSON.stringify(object({ a: number() }).parse(parse("a: 1"))), "ñ");\n`,
  );
  const { main: text, threads } = await bundle(
    join(dir, "main.ts"),
    projectDir,
    join(dir, "cache"),
    "abc123",
  );
  await Deno.writeTextFile(join(dir, "bundle.mjs"), text);
  const args = ["run", "--no-config", "--no-lock", "--cached-only", "-A", join(dir, "bundle.mjs")];
  const ran = await finish(Deno.execPath(), args, { cwd: dir });
  assert.match(ran.stdout, /^\d+\.\d+\.\d+\+abc123 {"a":1} ñ\n$/, ran.stderr);
  assert.equal(new TextEncoder().encode(text).length, text.length, "ASCII only");
  // what runs in a thread has a heap of its own: it must bring along little
  const [[name, thread]] = Object.entries(threads) as [[string, string]];
  assert.match(name, /^[a-z-]+\.mjs$/);
  assert.ok(thread.length < 100_000, `${name} has ${thread.length} bytes`);
  assert.match(thread, /node:sqlite/);
  await assert.rejects(bundle(join(dir, "none.ts"), projectDir, join(dir, "cache"), ""), /none\.ts/);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("compile: a folder that is no repository of its own has no commit", async () => {
  assert.equal(await commitOf(join(projectDir, "agent")), "unknown");
  assert.equal(await commitOf("/"), "unknown");
});
