import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { OperationError } from "../../agent/base/errors.ts";
import { packBatch } from "../../agent/shipper/local_batch.ts";
import { examineStore } from "../../agent/shipper/local_examine.ts";
import { LocalOutput, type LocalParts } from "../../agent/shipper/local.ts";
import { makeStoreFolder } from "../../agent/shipper/local_files.ts";
import { StoreThread } from "../../agent/shipper/local_thread.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { MiB, series, StoreFolder } from "../unit/local_fixture.ts";

const { signal } = new AbortController();

/** What runs in the thread instead of the store, which can't be made to die at will: it does so at the n-th order. */
const dying = (n: number) =>
  new URL(`data:text/javascript,let n = 0; self.onmessage = ({ data }) => {
    if (++n === ${n}) throw new Error("out of order");
    self.postMessage({ number: data.number });
  };`);

function outputOf(
  folder: StoreFolder,
  parts: Partial<LocalParts> = {},
): { output: LocalOutput; log: MemoryLog } {
  const log = new MemoryLog();
  const { dir } = folder;
  const settings = { type: "local" as const, name: "here", dir, keepMs: undefined, maxSizeBytes: 64 * MiB };
  const spool = {
    ...{ dir: folder.root, maxSizeBytes: 2 ** 30, minFreeBytes: MiB },
    ...{ syncWindowMs: 20, whenFull: "block" as const },
  };
  const all = Object.assign(parts, { log, clock: new FakeClock() });
  return { output: new LocalOutput(settings, { spool }, all), log };
}

Deno.test("local: a thread that dies confirms nothing, says so and that it passes, and the next one goes on", async () => {
  using folder = new StoreFolder();
  const parts: Partial<LocalParts> = { threadScript: dying(2) };
  const { output } = outputOf(folder, parts);
  const passes = (error: unknown) =>
    error instanceof OperationError && error.retryable &&
    /its thread ended: .*out of order/.test(error.reason);
  await output.prepare(signal);
  await assert.rejects(output.send(series(3), signal), passes);
  await assert.rejects(output.send(series(3), signal), passes, "as long as no new one was started");
  parts.threadScript = dying(1);
  await assert.rejects(output.prepare(signal), passes);
  delete parts.threadScript;
  await output.prepare(signal);
  assert.equal((await output.send(series(3), signal)).length, 3);
  assert.equal(folder.read().length, 3);
  await output.close();
});

Deno.test("local: orders under way fail together when their thread dies", async () => {
  using folder = new StoreFolder();
  const thread = new StoreThread(folder.dir, () => {}, dying(3));
  const orders = await Promise.allSettled([1, 2, 3, 4].map(() => thread.order({ kind: "close" })));
  assert.deepEqual(orders.map(({ status }) => status), ["fulfilled", "fulfilled", "rejected", "rejected"]);
  assert.equal(thread.lives, false);
  thread.end();
});

Deno.test("local: a thread that is ended in the middle leaves the store free and whole for the next one", async () => {
  using folder = new StoreFolder();
  const settings = folder.settings();
  await makeStoreFolder(folder.dir);
  const first = new StoreThread(folder.dir, () => {});
  await first.order({ kind: "open", settings });
  await first.order({ kind: "write", batch: packBatch(series(100)), synchronised: true });
  const cut = first.order({ kind: "write", batch: packBatch(series(2_000, 101)), synchronised: true });
  first.end();
  await assert.rejects(cut, /the store was closed/);
  const second = new StoreThread(folder.dir, () => {});
  await waitUntil(
    () => second.order({ kind: "open", settings }).then(() => true),
    20_000,
    "the store to be free",
  );
  await second.order({ kind: "write", batch: packBatch(series(5, 5_000)), synchronised: true });
  await second.order({ kind: "close" });
  second.end();
  const count = folder.read().length;
  assert.ok(count === 105 || count === 2_105, `${count} readings`);
  assert.deepEqual(folder.ask("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
});

Deno.test("local: the event loop goes on while the store waits for its disk or its lock", async () => {
  using folder = new StoreFolder();
  const { output } = outputOf(folder);
  await output.prepare(signal);
  const other = new DatabaseSync(folder.file);
  other.exec("BEGIN IMMEDIATE");
  let over = false;
  const sending = output.send(series(10), signal).finally(() => over = true);
  let turns = 0;
  while (!over && turns < 10) {
    await delay(20);
    turns++;
  }
  assert.equal(turns, 10, "ten turns of the event loop while one statement waited");
  other.exec("ROLLBACK");
  other.close();
  await sending;
  assert.equal(folder.read().length, 10);
  await output.close();
});

Deno.test("local: a batch that is given up when the agent stops may be stored all the same, once", async () => {
  using folder = new StoreFolder();
  const { output } = outputOf(folder);
  await output.prepare(signal);
  const stop = new AbortController();
  const sending = output.send(series(500), stop.signal);
  stop.abort();
  await assert.rejects(sending, /the agent is stopping/);
  await output.close();
  const again = outputOf(folder).output;
  await again.prepare(signal);
  await again.send(series(500), signal);
  await again.close();
  assert.equal(folder.read().length, 500);
});

Deno.test("local: closing writes the log back, frees the folder and ends the thread, also when nothing was begun", async () => {
  using folder = new StoreFolder();
  const { output } = outputOf(folder);
  await output.close();
  await output.prepare(signal);
  await output.send(series(10), signal);
  assert.ok(folder.names().includes("readings.sqlite-wal"));
  await Promise.all([output.close(), output.close()]);
  assert.deepEqual(folder.names(), ["lock", "readings.sqlite"]);
  await output.prepare(signal); // it may be used again
  await output.send(series(5, 11), signal);
  await output.close();
  assert.equal(folder.read().length, 15);
});

Deno.test("local: what the store notices is in the log once and an alarm as long as it lasts", async () => {
  using folder = new StoreFolder();
  await folder.put(series(10));
  Deno.writeTextFileSync(folder.file, "no database".repeat(1_000));
  const { output, log } = outputOf(folder);
  await output.prepare(signal);
  await output.send(series(2), signal);
  const alarm = await waitUntil(() => output.alarms()[0], 10_000, "the alarm");
  assert.match(alarm!.text, /here: the store was damaged and set aside: readings\.damaged-/);
  assert.match(alarm!.remedy ?? "", /check the disk; when they are no longer wanted, remove them from/);
  assert.equal(log.text.split("the store was damaged: it was set aside").length, 2);
  const findings = await output.examine(signal);
  assert.deepEqual(findings.map(({ level }) => level), ["ok", "ok", "warning"]);
  const aside = folder.names().filter((name) => name.startsWith("readings.damaged"));
  for (const name of aside) Deno.removeSync(join(folder.dir, name));
  await waitUntil(() => output.alarms().length === 0, 20_000, "the alarm to end");
  await output.close();
});

Deno.test("local: check says what is wrong with a folder before the agent runs", async () => {
  using folder = new StoreFolder();
  const { output } = outputOf(folder);
  const levels = async () =>
    (await output.examine(signal)).map(({ level, what }) => `${level} ${what}`).join("\n");
  assert.match(
    await levels(),
    /ok .*store: can be written\nok .*readings\.sqlite: is begun when the agent runs/,
  );
  await folder.put(series(10));
  assert.match(await levels(), /ok .*readings\.sqlite: .* of at most 64 MiB/);
  Deno.writeTextFileSync(folder.file, "no database".repeat(1_000));
  assert.match(await levels(), /failure .*the database is damaged/);
  Deno.removeSync(folder.dir, { recursive: true });
  Deno.writeTextFileSync(folder.dir, "");
  assert.match(await levels(), /failure .*store: it is no folder/);
  const below = join(folder.dir, "below");
  const common = { type: "local", name: "here", keepMs: undefined, maxSizeBytes: 64 * MiB } as const;
  const [finding] = examineStore({ ...common, dir: below });
  assert.match(`${finding?.level} ${finding?.what}`, /failure .*below: .*not a directory/i);
  assert.match(finding?.remedy ?? "", /make it writable/);
  await assert.rejects(output.prepare(signal), OperationError);
  await output.close();
});
