import assert from "node:assert/strict";
import { join } from "node:path";
import { ExportFile } from "../../agent/commands/export_file.ts";
import { Progress } from "../../agent/commands/progress.ts";
import { FakeTerminal } from "../fakes/terminal.ts";

async function withFolder(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const names = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

Deno.test("export: a file is there whole under its name, or as it was before", async () => {
  await withFolder(async (dir) => {
    const path = join(dir, "a.csv");
    await Deno.writeTextFile(path, "before");
    const file = await ExportFile.create(path);
    assert.equal(Deno.statSync(`${path}.part`).mode! & 0o777, 0o600);
    await file.write("one ");
    await file.write("two é");
    assert.equal(await Deno.readTextFile(path), "before");
    await file.finish();
    file.discard();
    assert.equal(await Deno.readTextFile(path), "one two é");
    assert.equal(file.sizeBytes, 10);
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.deepEqual(names(dir), ["a.csv"]);

    const interrupted = await ExportFile.create(path);
    await interrupted.write("half");
    interrupted.discard();
    assert.deepEqual(names(dir), ["a.csv"]);
    assert.equal(await Deno.readTextFile(path), "one two é");
  });
});

Deno.test("export: what a killed export left is replaced; what one is writing is not", async () => {
  await withFolder(async (dir) => {
    const path = join(dir, "a.csv");
    await Deno.writeTextFile(`${path}.part`, "left by a kill, and longer than what comes");
    const first = await ExportFile.create(path);
    await assert.rejects(
      ExportFile.create(path),
      /a\.csv\.part: another export writes this file; wait for that one/,
    );
    await first.write("first");
    await first.finish();
    assert.equal(await Deno.readTextFile(path), "first");
    assert.deepEqual(names(dir), ["a.csv"]);
  });
});

Deno.test("export: a file that somebody took away meanwhile is not taken for ours", async () => {
  await withFolder(async (dir) => {
    const path = join(dir, "a.csv");
    const file = await ExportFile.create(path);
    await Deno.remove(`${path}.part`);
    await Deno.writeTextFile(`${path}.part`, "of another program");
    await assert.rejects(file.finish(), /another program has replaced this file/);
    file.discard();
    assert.deepEqual(names(dir), ["a.csv.part"]);
  });
});

Deno.test("export: a link leads to its target, and is never followed where the part is to stand", async () => {
  await withFolder(async (dir) => {
    await Deno.writeTextFile(join(dir, "target.csv"), "before");
    await Deno.symlink("target.csv", join(dir, "link.csv"));
    const file = await ExportFile.create(join(dir, "link.csv"));
    await file.write("new");
    await file.finish();
    assert.equal(await Deno.readTextFile(join(dir, "target.csv")), "new");
    assert.ok(Deno.lstatSync(join(dir, "link.csv")).isSymlink);

    await Deno.writeTextFile(join(dir, "precious"), "precious");
    await Deno.symlink("precious", join(dir, "b.csv.part"));
    await assert.rejects(
      ExportFile.create(join(dir, "b.csv")),
      /b\.csv\.part: this is no plain file; remove it/,
    );
    assert.equal(await Deno.readTextFile(join(dir, "precious")), "precious");
  });
});

Deno.test("export: what can't be a file is refused before anything is read", async () => {
  await withFolder(async (dir) => {
    await assert.rejects(ExportFile.create(dir), /this is a folder; name a file in it/);
    await assert.rejects(ExportFile.create(`${dir}/new/`), /name of a folder/);
    await assert.rejects(ExportFile.create(`${dir}/none/a.csv`), /there is no such folder/);
    await assert.rejects(ExportFile.create("/dev/null"), /no plain file; leave the name out and redirect/);
    assert.ok(Deno.statSync("/dev/null").isCharDevice);
    assert.deepEqual(names(dir), []);
  });
});

Deno.test("export: progress tells share, count, rate and what is left, five times a second", async () => {
  const terminal = new FakeTerminal();
  let nowMs = 1_000;
  const progress = new Progress(terminal, 300_000, () => nowMs);
  for (let batch = 0; batch < 123; batch++) {
    nowMs += 10;
    await progress.add(1_000);
  }
  assert.equal(progress.line(), " 41 %, 123,000 of 300,000 readings, 100,000/s, 2 s left");
  const drawn = terminal.stderr.split("\r").filter((line) => line !== "");
  assert.equal(drawn.length, 7, "one at once, then every 200 ms");
  assert.ok(drawn.every((line) => line.endsWith("\x1b[K")));
  await progress.add(400_000);
  assert.match(progress.line(), /^100 %, 523,000 of 523,000 readings/, "more have come meanwhile");
  await progress.clear();
  assert.ok(terminal.stderr.endsWith("\r\x1b[K"));
  assert.match(new Progress(terminal, 0, () => nowMs).line(), /^100 %, 0 of 0 readings, 0\/s/);
});
