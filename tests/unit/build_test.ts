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

Deno.test("compile: the bundle runs by itself, with its commit and packages in it; what is imported when it is used is not in its main file", async () => {
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
  const { main: text, beside } = await bundle(
    join(dir, "main.ts"),
    projectDir,
    join(dir, "cache"),
    "abc123",
  );
  await Deno.writeTextFile(join(dir, "bundle.mjs"), text);
  for (const [name, one] of Object.entries(beside)) await Deno.writeTextFile(join(dir, name), one);
  const args = ["run", "--no-config", "--no-lock", "--cached-only", "-A", join(dir, "bundle.mjs")];
  const ran = await finish(Deno.execPath(), args, { cwd: dir });
  assert.match(ran.stdout, /^\d+\.\d+\.\d+\+abc123 {"a":1} ñ\n$/, ran.stderr);
  for (const one of [text, ...Object.values(beside)]) {
    assert.equal(new TextEncoder().encode(one).length, one.length, "ASCII only");
  }
  // each process holds what it uses
  assert.doesNotMatch(text, /ZodError/);
  assert.ok(
    Object.entries(beside).some(([name, one]) => /^sensorlog-.*\.mjs$/.test(name) && /ZodError/.test(one)),
  );
  // what runs in a thread has a heap of its own: it must bring along little
  const thread = beside["sensorlog-store.mjs"]!;
  assert.ok(thread.length < 100_000, `the store's thread has ${thread.length} bytes`);
  assert.match(thread, /node:sqlite/);
  await assert.rejects(bundle(join(dir, "none.ts"), projectDir, join(dir, "cache"), ""), /none\.ts/);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("compile: a folder that is no repository of its own has no commit", async () => {
  assert.equal(await commitOf(join(projectDir, "agent")), "unknown");
  assert.equal(await commitOf("/"), "unknown");
});
