import assert from "node:assert/strict";
import { join } from "node:path";
import { passphraseFor } from "../../agent/commands/passphrase.ts";
import type { Questions } from "../../agent/commands/questions.ts";
import { readBackup, writeBackup } from "../../installer/broker/backup_file.ts";

async function inFolder(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-backup-file-" });
  try {
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const names = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name);
const bytes = new TextEncoder().encode("a backup");

Deno.test("a backup's file is whole, for its owner only, and takes no other one's place", async () => {
  await inFolder(async (dir) => {
    const path = join(dir, "b.backup");
    await Deno.writeTextFile(`${path}.part`, "of a run that was cut off", { mode: 0o644 });
    assert.deepEqual(await writeBackup(path, bytes), { readableByOthers: false });
    assert.deepEqual(await readBackup(path), bytes);
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    await assert.rejects(writeBackup(path, new Uint8Array(9)), /something of that name is there already/);
    assert.deepEqual(await readBackup(path), bytes);
    assert.deepEqual(names(dir), ["b.backup"]);
  });
});

Deno.test("a link where the backup is to be, or was being written, is not followed", async () => {
  await inFolder(async (dir) => {
    const [path, victim] = [join(dir, "b.backup"), join(dir, "victim")];
    await Deno.writeTextFile(victim, "untouched");
    await Deno.symlink(victim, `${path}.part`);
    await writeBackup(path, bytes);
    await Deno.symlink(victim, join(dir, "link"));
    await assert.rejects(writeBackup(join(dir, "link"), bytes), /there already/);
    assert.equal(await Deno.readTextFile(victim), "untouched");
  });
});

Deno.test("a backup that can't be written or read leaves nothing behind and says why", async () => {
  await inFolder(async (dir) => {
    await assert.rejects(
      writeBackup(join(dir, "none", "b.backup"), bytes),
      /write a backup: .*nothing was written/,
    );
    await assert.rejects(writeBackup(join(dir, "x".repeat(300)), bytes), /name too long/i);
    assert.deepEqual(names(dir), []);
    await assert.rejects(readBackup(join(dir, "none")), /read a backup: .*No such file/);
    await assert.rejects(readBackup(dir), /read a backup/);
    await Deno.truncate(await Deno.makeTempFile({ dir }), 33 * 1024 * 1024);
    await assert.rejects(readBackup(join(dir, names(dir)[0]!)), /too large to be a backup/);
  });
});

/** A person who types these, one after the other. */
function person(...answers: string[]): Questions & { asked: number } {
  const self = {
    asked: 0,
    ask: () => Promise.reject(new Error("a passphrase would be shown")),
    askSecret: () => Promise.resolve(answers[self.asked++] ?? assert.fail("asked once too often")),
  };
  return self;
}

Deno.test("the passphrase of a new backup is typed twice, that of an old one once", async () => {
  assert.equal(await passphraseFor("make", undefined, person("four words", "four words")), "four words");
  await assert.rejects(passphraseFor("make", undefined, person("four words", "for words")), /not the same/);
  await assert.rejects(passphraseFor("make", undefined, person("short")), /shorter than 8/);
  assert.equal(await passphraseFor("open", undefined, person("short")), "short");
  await assert.rejects(passphraseFor("make", undefined, undefined), /nobody is there.*--passphrase-file/);
});

Deno.test("a passphrase from a file is its one line", async () => {
  await inFolder(async (dir) => {
    const file = join(dir, "passphrase");
    const from = async (text: string) => {
      await Deno.writeTextFile(file, text);
      return await passphraseFor("make", file, undefined);
    };
    assert.equal(await from("four words\r\n"), "four words");
    assert.equal(await from(" four words "), " four words ");
    await assert.rejects(from(""), /it is empty/);
    await assert.rejects(from("four words\nand more\n"), /more than one line/);
    await assert.rejects(
      passphraseFor("open", join(dir, "none"), undefined),
      /--passphrase-file .*No such file/,
    );
    const { message } = await from("s3cret\nline two\n").then(assert.fail, (error) => error);
    assert.equal(message.includes("s3cret"), false);
  });
});
