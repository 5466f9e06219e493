/** One contract for the real disk and the fake one: what the agent may expect of `Files`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { errorCode } from "../../agent/base/errors.ts";
import { realFiles } from "../../agent/base/files.ts";
import type { Files } from "../../agent/base/files.ts";
import { FakeFiles } from "../fakes/fake_files.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (content: Uint8Array | undefined) => content && new TextDecoder().decode(content);

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return errorCode(error);
  }
  return "nothing was thrown";
}

/** Runs one promise on both disks, each in a folder of its own. */
function promise(name: string, check: (files: Files, dir: string) => void | Promise<void>): void {
  Deno.test(`files, real: ${name}`, async () => {
    const dir = Deno.makeTempDirSync();
    try {
      await check(realFiles, dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
  Deno.test(`files, fake: ${name}`, async () => {
    const files = new FakeFiles();
    files.makeFolder("/disk/folder");
    await check(files, "/disk/folder");
  });
}

promise("append goes to the end, after readAt and truncate too", (files, dir) => {
  const path = join(dir, "a");
  const file = files.open(path, "create");
  file.append(bytes("hello "));
  file.append(bytes("world"));
  assert.equal(file.readAt(new Uint8Array(3), 1), 3);
  assert.equal(file.size(), 11);
  file.truncate(6);
  file.append(bytes("disk"));
  file.append(new Uint8Array(0));
  assert.equal(text(files.read(path)), "hello disk");
  file.close();
  const again = files.open(path, "append");
  again.append(bytes("!"));
  again.close();
  assert.equal(text(files.read(path)), "hello disk!");
});

promise("readAt gives what there is, and 0 at the end", (files, dir) => {
  const file = files.open(join(dir, "a"), "create");
  file.append(bytes("0123456789"));
  const reader = files.open(join(dir, "a"), "read");
  const into = new Uint8Array(6);
  assert.equal(reader.readAt(into, 2), 6);
  assert.equal(text(into), "234567");
  assert.equal(reader.readAt(into, 7), 3);
  assert.equal(reader.readAt(into, 10), 0);
  assert.equal(reader.readAt(into, 99), 0);
  file.append(bytes("ab"));
  assert.equal(reader.readAt(into, 9), 3, "a reader sees what is appended later");
  reader.close();
  file.close();
});

promise("create makes a file that must not be there; open wants one that is", (files, dir) => {
  const path = join(dir, "a");
  assert.equal(codeOf(() => files.open(path, "read")), "ENOENT");
  assert.equal(codeOf(() => files.open(path, "append")), "ENOENT");
  files.open(path, "create").close();
  assert.equal(codeOf(() => files.open(path, "create")), "EEXIST");
  assert.equal(codeOf(() => files.open(join(dir, "no", "a"), "create")), "ENOENT");
  assert.equal(files.read(path)?.length, 0);
  assert.equal(files.read(join(dir, "b")), undefined);
});

promise("replace puts the whole new content in place of the old", async (files, dir) => {
  const path = join(dir, "state.json");
  await files.replace(path, bytes("one, and long"));
  await files.replace(path, bytes("two"));
  assert.equal(text(files.read(path)), "two");
  files.open(`${path}.new`, "create").close();
  await files.replace(path, bytes("three"));
  assert.equal(text(files.read(path)), "three", "what a killed process left behind is no hindrance");
  assert.deepEqual(files.list(dir), [{ name: "state.json", sizeBytes: 5 }]);
});

promise("list names plain files with sizes and leaves out folders", (files, dir) => {
  files.makeFolder(join(dir, "sub", "deep"));
  files.makeFolder(join(dir, "sub", "deep"));
  const file = files.open(join(dir, "a"), "create");
  file.append(bytes("abc"));
  file.close();
  files.open(join(dir, "sub", "b"), "create").close();
  assert.deepEqual(files.list(dir), [{ name: "a", sizeBytes: 3 }]);
  assert.equal(codeOf(() => files.list(join(dir, "none"))), "ENOENT");
});

promise("rename and unlink; an open file outlives both", (files, dir) => {
  const file = files.open(join(dir, "a"), "create");
  file.append(bytes("abc"));
  files.rename(join(dir, "a"), join(dir, "b"));
  assert.equal(files.read(join(dir, "a")), undefined);
  assert.equal(text(files.read(join(dir, "b"))), "abc");
  files.unlink(join(dir, "b"));
  assert.deepEqual(files.list(dir), []);
  assert.equal(file.readAt(new Uint8Array(3), 0), 3);
  file.close();
  assert.equal(codeOf(() => files.unlink(join(dir, "b"))), "ENOENT");
  assert.equal(codeOf(() => files.rename(join(dir, "b"), join(dir, "c"))), "ENOENT");
});

promise("sync works on files opened for reading and on folders", async (files, dir) => {
  const file = files.open(join(dir, "a"), "create");
  file.append(bytes("abc"));
  await file.syncData();
  file.close();
  const reader = files.open(join(dir, "a"), "read");
  await reader.syncData();
  reader.close();
  await files.syncFolder(dir);
  const space = await files.space(dir);
  assert.ok(space.freeBytes > 0 && space.totalBytes >= space.freeBytes);
});

promise("a closed file is no longer usable", (files, dir) => {
  const file = files.open(join(dir, "a"), "create");
  file.close();
  assert.throws(() => file.append(bytes("a")));
});

Deno.test("files, real: what is created is for its owner only", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    realFiles.makeFolder(join(dir, "sub"));
    realFiles.open(join(dir, "sub", "a"), "create").close();
    await realFiles.replace(join(dir, "sub", "b"), bytes("x"));
    const mode = (path: string) => Deno.statSync(join(dir, path)).mode! & 0o777;
    assert.deepEqual([mode("sub"), mode("sub/a"), mode("sub/b")], [0o700, 0o600, 0o600]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
