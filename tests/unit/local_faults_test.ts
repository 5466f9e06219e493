import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { OperationError } from "../../agent/base/errors.ts";
import { packBatch } from "../../agent/shipper/local_batch.ts";
import { faultOf, storeFailed } from "../../agent/shipper/local_failure.ts";
import { StoreHost } from "../../agent/shipper/local_host.ts";
import { LocalStore } from "../../agent/shipper/local_store.ts";
import { StoreReader } from "../../agent/shipper/local_reader.ts";
import { makeStoreFolder, setAside } from "../../agent/shipper/local_files.ts";
import { StoreLock } from "../../agent/shipper/local_lock.ts";
import { applicationId } from "../../agent/shipper/local_schema.ts";
import { now, series, StoreFolder, tendAll } from "./local_fixture.ts";

const damagedName = /^readings\.damaged-\d{8}T\d{9}Z\.sqlite$/;

/** Writes over a file from `at` on. */
function spoil(path: string, at: number, bytes: number): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(crypto.getRandomValues(new Uint8Array(bytes)));
}

for (const [what, at] of [["its head", 0], ["a page in the middle", 3 * 4096 + 8]] as const) {
  Deno.test(`local store: damage to ${what} is found at the start, the file is set aside and a new one begun`, async () => {
    using folder = new StoreFolder();
    await folder.put(series(2_000));
    spoil(folder.file, at, 300);
    const bytes = Deno.readFileSync(folder.file);
    const store = await folder.open();
    assert.match(store.damaged!, damagedName);
    assert.deepEqual(Deno.readFileSync(join(folder.dir, store.damaged!)), bytes);
    store.write(packBatch(series(3)));
    store.close();
    assert.equal(folder.read().length, 3);
    const again = await folder.open();
    assert.equal(again.damaged, undefined);
    again.close();
  });
}

Deno.test("local store: a damaged file takes its log with it, and one without its database is never used", async () => {
  using folder = new StoreFolder();
  await folder.put(series(10));
  Deno.writeTextFileSync(`${folder.file}-wal`, "log");
  Deno.writeTextFileSync(`${folder.file}-shm`, "shared");
  await setAside(folder.dir, now.wallMs);
  await folder.put([]);
  const aside = folder.names().filter((name) => name.includes("damaged"));
  assert.deepEqual(aside.map((name) => name.replace(/.*\.sqlite/, "")), ["", "-shm", "-wal"]);
  // a crash between the renames
  Deno.removeSync(folder.file);
  Deno.writeTextFileSync(`${folder.file}-wal`, "log of another database");
  const store = await folder.open();
  store.write(packBatch(series(2)));
  store.close();
  assert.equal(folder.read().length, 2);
  assert.equal(folder.names().filter((name) => /damaged.*-wal$/.test(name)).length, 2);
});

Deno.test("local store: what an interrupted beginning left is not taken for the new database's", async () => {
  using folder = new StoreFolder();
  await makeStoreFolder(folder.dir);
  for (const end of ["-wal", "-shm"]) Deno.writeFileSync(`${folder.file}${end}`, new Uint8Array(0));
  Deno.writeTextFileSync(`${folder.file}-journal`, "journal of another database");
  const store = await folder.open();
  assert.ok(!folder.names().some((name) => /journal|damaged/.test(name)), folder.names().join());
  store.close();
});

Deno.test("local store: one that is known to be damaged is set aside, however it looks", async () => {
  using folder = new StoreFolder();
  await folder.put(series(3));
  const store = await LocalStore.open(folder.settings(), now.wallMs, true);
  assert.match(store.damaged!, damagedName);
  store.close();
  assert.equal(folder.read().length, 0);
});

Deno.test("local store: of damaged files the newest three are kept", async () => {
  using folder = new StoreFolder();
  await makeStoreFolder(folder.dir);
  const store = new StoreHost(folder.settings());
  for (let i = 0; i < 5; i++) {
    await store.open();
    store.close();
    spoil(folder.file, 0, 300);
    await store.open();
    assert.equal(store.condition().setAside.length, Math.min(i + 1, 3));
    store.close();
  }
});

Deno.test("local store: a file that nothing was written to yet is a new store", async () => {
  using folder = new StoreFolder();
  Deno.mkdirSync(folder.dir);
  Deno.writeFileSync(folder.file, new Uint8Array(0));
  await folder.put(series(2));
  assert.equal(folder.read().length, 2);
});

Deno.test("local store: a store of a newer agent, and another program's database, are refused and left as they are", async () => {
  using folder = new StoreFolder();
  await folder.put(series(2));
  const change = (sql: string) => {
    const db = new DatabaseSync(folder.file);
    db.exec(sql);
    db.close();
  };
  change("PRAGMA user_version = 2");
  const newer = (error: unknown) => {
    assert.ok(error instanceof OperationError && !error.retryable);
    assert.match(
      error.message,
      /written by a newer agent \(schema 2, this one knows 1\); use the newer agent/,
    );
    return true;
  };
  await assert.rejects(folder.open(), newer);
  assert.throws(() => StoreReader.open(folder.dir), newer);
  change("PRAGMA user_version = 1; PRAGMA application_id = 7");
  await assert.rejects(folder.open(), /another program's database; name another dir/);
  change(`PRAGMA application_id = ${applicationId}`);
  assert.equal(folder.read().length, 2);
  await folder.put([]);
});

Deno.test("local store: the second agent on a store is refused and told whose it is", async () => {
  using folder = new StoreFolder();
  const [first, second] = [new StoreLock(folder.dir), new StoreLock(folder.dir)];
  await first.take();
  await first.take();
  await assert.rejects(second.take(), (error) => {
    assert.ok(error instanceof OperationError && !error.retryable);
    assert.match(
      error.message,
      new RegExp(`the process with pid ${Deno.pid} has it; stop that one first, or give`),
    );
    return true;
  });
  // a folder that is another one has a lock of its own
  Deno.removeSync(folder.dir, { recursive: true });
  await first.take();
  await assert.rejects(second.take(), /has it/);
  first.release();
  first.release();
  await second.take();
  second.release();
});

Deno.test("local store: a store that was deleted confirms nothing, and a new one is begun", async () => {
  using folder = new StoreFolder();
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings());
  await host.open();
  host.write(packBatch(series(3)), true);
  for (const name of folder.names()) Deno.removeSync(join(folder.dir, name));
  assert.throws(() => host.write(packBatch(series(2, 4)), true), (error) => {
    return error instanceof OperationError && error.retryable && /was removed or replaced/.test(error.reason);
  });
  await host.open();
  host.write(packBatch(series(2, 4)), true);
  assert.equal(folder.read().length, 2);
  Deno.removeSync(folder.dir, { recursive: true });
  assert.throws(() => host.write(packBatch(series(2, 6)), true), OperationError);
  await assert.rejects(host.open(), OperationError);
  await makeStoreFolder(folder.dir);
  await host.open();
  host.write(packBatch(series(2, 6)), true);
  assert.equal(folder.read().length, 2);
  assert.deepEqual(host.condition().notes.length, 2);
  host.close();
});

Deno.test("local store: one that was replaced by another is taken over, without the log of the first", async () => {
  using folder = new StoreFolder();
  await folder.put(series(5));
  const copy = Deno.readFileSync(folder.file);
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings());
  await host.open();
  host.write(packBatch(series(50, 6)), true);
  Deno.removeSync(folder.file);
  Deno.writeFileSync(folder.file, copy);
  assert.throws(() => host.write(packBatch(series(1, 60)), true), /removed or replaced/);
  await host.open();
  host.write(packBatch(series(1, 60)), true);
  host.close();
  assert.deepEqual(folder.read().map(({ id }) => Number(id.split("-")[1])), [1, 2, 3, 4, 5, 60]);
  assert.deepEqual(folder.ask("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
});

Deno.test("local store: a log that was removed alone costs nothing", async () => {
  using folder = new StoreFolder();
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings());
  await host.open();
  host.write(packBatch(series(50)), true);
  Deno.removeSync(`${folder.file}-wal`);
  assert.throws(() => host.write(packBatch(series(50, 51)), true), /removed or replaced/);
  await host.open();
  host.write(packBatch(series(50, 51)), true);
  host.close();
  assert.equal(folder.read().length, 100);
});

Deno.test("local store: another program that holds the database is waited for, and named when it takes long", async () => {
  using folder = new StoreFolder();
  const store = await folder.open();
  const other = new DatabaseSync(folder.file);
  other.exec("BEGIN IMMEDIATE");
  assert.throws(() => store.write(packBatch(series(1))), (error) => {
    return error instanceof OperationError && error.retryable && /another program holds/.test(error.reason);
  });
  assert.equal(folder.read().length, 0);
  other.exec("ROLLBACK");
  store.write(packBatch(series(1)));
  other.close();
  store.close();
  assert.equal(folder.read().length, 1);
});

Deno.test("local store: damage that shows while it runs is judged at the next opening", async () => {
  using folder = new StoreFolder();
  await folder.put(series(5_000));
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings());
  await host.open();
  // the index of times, which a writer meets and quick_check does not look into as a whole
  const db = new DatabaseSync(folder.file, { readOnly: true });
  // another program's change makes the store read its pages from the file again
  const other = new DatabaseSync(folder.file);
  other.exec("PRAGMA wal_autocheckpoint = 0; INSERT INTO facts VALUES ('other', 1)");
  const page = Number(
    db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'stored_time'").get()!["rootpage"],
  );
  db.close();
  spoil(folder.file, (page - 1) * 4096, 200);
  const failure = (() => {
    try {
      for (let i = 0; i < 50; i++) host.write(packBatch(series(500, 10_000 + 500 * i)), true);
      return undefined;
    } catch (error) {
      return error;
    }
  })();
  assert.ok(failure instanceof OperationError && failure.retryable, String(failure));
  assert.match(failure.reason, /damaged/);
  await host.open();
  host.write(packBatch(series(3)), true);
  const { setAside, notes } = host.condition();
  assert.match(setAside.join(), damagedName);
  assert.match(notes.join(), /the store was damaged: it was set aside as readings\.damaged/);
  host.close();
  other.close();
  assert.equal(folder.read().length, 3);
});

Deno.test("local store: failures say whether they pass by themselves and what to do", () => {
  const judged = (error: unknown) => {
    const { reason, remedy, retryable } = storeFailed("store readings", "/s", error);
    return [faultOf(error), retryable, reason, remedy ?? ""] as const;
  };
  const system = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });
  assert.deepEqual(judged(new Error("database or disk is full")).slice(0, 3), [
    "full",
    true,
    "the disk is full",
  ]);
  assert.equal(judged(system("ENOSPC"))[0], "full");
  assert.deepEqual(judged(new Error("attempt to write a readonly database")).slice(0, 2), [
    "forbidden",
    false,
  ]);
  assert.deepEqual(judged(new Deno.errors.PermissionDenied("no")).slice(0, 2), ["forbidden", false]);
  assert.deepEqual(judged(new Error("disk I/O error")).slice(0, 2), ["io", true]);
  assert.deepEqual(judged(new Error("database is locked")).slice(0, 2), ["busy", true]);
  assert.deepEqual(judged(system("ENOTDIR")).slice(0, 2), ["disk", true]);
  assert.deepEqual(judged(new Error("what?")).slice(0, 2), ["other", true]);
  for (const code of ["EROFS", "EACCES"]) {
    assert.match(judged(system(code))[3], /writable for the agent's user/);
  }
});

Deno.test("local store: what is tended beside damage or a full folder never throws", async () => {
  using folder = new StoreFolder();
  await makeStoreFolder(folder.dir);
  const host = new StoreHost(folder.settings());
  assert.equal(await host.tend(), false);
  await host.open();
  assert.equal(await host.tend(), false);
  Deno.removeSync(folder.dir, { recursive: true });
  assert.equal(await host.tend(), false);
  host.close();
  const store = await folder.open();
  assert.equal(await tendAll(store), 0);
  store.close();
});
