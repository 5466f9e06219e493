import assert from "node:assert/strict";
import fc from "fast-check";
import { OperationError } from "../../agent/base/errors.ts";
import { TopicFilter } from "../../agent/base/topic_filter.ts";
import { packBatch } from "../../agent/shipper/local_batch.ts";
import { StoreReader } from "../../agent/shipper/local_reader.ts";
import { series, StoreFolder } from "./local_fixture.ts";
import { arrivalMs, bytes, makeOutgoing } from "./shipper_fixture.ts";

const sequenceOf = ({ id }: { id: string }) => Number(id.split("-")[1]);

Deno.test("local reader: a query gives what matches, each once, by time, then id, however it is cut into batches", async () => {
  using folder = new StoreFolder();
  // few times and topics, so that many readings share them
  const topic = fc.constantFrom("a", "a/b", "a/b/c", "b", "$x/a", "a//c", "ä/b", "/");
  const timed = fc.tuple(topic, fc.nat({ max: 20 }));
  const readings = fc.sample(timed, { numRuns: 700, seed: 5 }).map(([topic, ms], at) => ({
    ...{ topic, timeMs: arrivalMs + ms, sequence: at + 1 },
  }));
  await folder.put(
    readings.map(({ topic, timeMs, sequence }) => makeOutgoing({ topic, sequence, wallMs: timeMs })),
  );
  const reader = StoreReader.open(folder.dir);
  const bound = fc.option(fc.integer({ min: -2, max: 22 }).map((ms) => arrivalMs + ms), { nil: undefined });
  const filter = fc.option(
    fc.constantFrom("#", "+", "a/#", "+/b", "a/+/c", "b", "$x/#", "none", "$share/g/a/#"),
    {
      nil: undefined,
    },
  );
  fc.assert(
    fc.property(filter, bound, bound, fc.constantFrom(1, 2, 7, 64, 1_000), (filter, fromMs, toMs, batch) => {
      const query = {
        ...(filter === undefined ? {} : { filter }),
        ...(fromMs === undefined ? {} : { fromMs }),
        ...(toMs === undefined ? {} : { toMs }),
      };
      const matcher = filter === undefined ? undefined : new TopicFilter(filter);
      const expected = readings
        .filter(({ topic }) => matcher?.matches(bytes(topic), 0, bytes(topic).length) ?? true)
        .filter(({ timeMs }) => timeMs >= (fromMs ?? 0) && timeMs < (toMs ?? Infinity))
        .toSorted((a, b) => a.timeMs - b.timeMs || a.sequence - b.sequence);
      const batches = [...reader.read(query, batch)];
      assert.deepEqual(batches.flat().map(sequenceOf), expected.map(({ sequence }) => sequence));
      assert.ok(batches.every((one) => one.length > 0 && one.length <= batch));
      assert.equal(reader.count(query), expected.length);
    }),
    { numRuns: 200 },
  );
  reader.close();
});

Deno.test("local reader: large payloads come a few at a time", async () => {
  using folder = new StoreFolder();
  const payload = "x".repeat(1_000_000);
  await folder.put(Array.from({ length: 20 }, (_, at) => makeOutgoing({ sequence: at + 1, payload })));
  const reader = StoreReader.open(folder.dir);
  const batches = [...reader.read({})];
  assert.deepEqual(batches.flat().map(sequenceOf), Array.from({ length: 20 }, (_, at) => at + 1));
  assert.ok(batches.every((batch) => batch.length <= 5));
  reader.close();
});

Deno.test("local reader: what is written while it reads is no trouble, and later times come out, too", async () => {
  using folder = new StoreFolder();
  const store = await folder.open();
  store.write(packBatch(series(100)));
  const reader = StoreReader.open(folder.dir);
  const seen: number[] = [];
  for (const batch of reader.read({ filter: "hall/#" }, 10)) {
    seen.push(...batch.map(sequenceOf));
    if (seen.length !== 50) continue;
    store.write(packBatch(series(20, 101)));
    store.write(packBatch(series(20, 121, { topic: "hall/new" })));
  }
  assert.deepEqual(seen.slice(0, 100), Array.from({ length: 100 }, (_, at) => at + 1));
  assert.equal(new Set(seen).size, seen.length);
  // a reader that stays open keeps the writer's log from being written back for the length of one read only
  for (let i = 0; i < 40; i++) store.write(packBatch(series(500, 1_000 + 500 * i)));
  assert.ok(Deno.statSync(`${folder.file}-wal`).size < 9 * 2 ** 20);
  assert.equal(reader.count({}), 20_140);
  reader.close();
  store.close();
});

Deno.test("local reader: latest is the newest reading of each topic, the newest first, also of those long silent", async () => {
  using folder = new StoreFolder();
  const hourMs = 3_600_000;
  await folder.put([
    makeOutgoing({ sequence: 1, topic: "silent", payload: "1", wallMs: arrivalMs - 500 * hourMs }),
    makeOutgoing({ sequence: 2, topic: "silent", payload: "2", wallMs: arrivalMs - 400 * hourMs }),
    ...series(3_000, 10, { topic: "busy" }),
    ...series(2, 4_000, { topic: "late" }),
  ]);
  const reader = StoreReader.open(folder.dir);
  const shown = (limit: number) =>
    reader.latest(limit).map(({ topic, timeMs, reading }) => {
      assert.equal(reading.topic, topic);
      assert.equal(reading.timeMs, timeMs);
      return [topic, sequenceOf(reading)];
    });
  assert.deepEqual(shown(10), [["late", 4_001], ["busy", 3_009], ["silent", 2]]);
  assert.deepEqual(shown(2), [["late", 4_001], ["busy", 3_009]]);
  assert.deepEqual(shown(0), []);
  reader.close();
});

Deno.test("local reader: an empty store is read as one", async () => {
  using folder = new StoreFolder();
  await folder.put([]);
  const reader = StoreReader.open(folder.dir);
  assert.deepEqual([reader.count({}), [...reader.read({ filter: "#" })], reader.latest(5)], [0, [], []]);
  reader.close();
});

Deno.test("local reader: where there is no store, or a damaged one, the error says so and what to do", async () => {
  using folder = new StoreFolder();
  const refuses = (pattern: RegExp) =>
    assert.throws(() => StoreReader.open(folder.dir).close(), (error) => {
      assert.ok(error instanceof OperationError && error.remedy !== undefined);
      assert.match(error.message, pattern);
      return true;
    });
  refuses(/readings\.sqlite: there is no store; check the folder/);
  await folder.put(series(10));
  Deno.writeTextFileSync(
    folder.file,
    "this is no database at all, though it is long enough to be looked at".repeat(50),
  );
  refuses(/the database is damaged; start the agent/);
  Deno.writeFileSync(folder.file, new Uint8Array(0));
  refuses(/there is no store/);
});

Deno.test("local reader: who may only read the file reads it, while the agent writes and when none runs", async () => {
  using folder = new StoreFolder();
  await folder.put(series(10));
  const script = new URL("./local_reader_process.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const lock = new URL("../../deno.lock", import.meta.url).pathname;
  const asNobody = async () => {
    const args = [
      "run",
      "--quiet",
      "--no-check",
      "--cached-only",
      "--config",
      config,
      `--lock=${lock}`,
      "--frozen",
      "-A",
    ];
    const command = new Deno.Command(Deno.execPath(), { args: [...args, script, folder.dir], stdin: "null" });
    const { stdout, stderr } = await command.output();
    return new TextDecoder().decode(stdout).trim() || new TextDecoder().decode(stderr);
  };
  if (Deno.uid() !== 0) return; // only root can become somebody else
  Deno.chmodSync(folder.root, 0o755);
  Deno.chmodSync(folder.dir, 0o755);
  Deno.chmodSync(folder.file, 0o644);
  assert.equal(await asNobody(), "10");
  const store = await folder.open();
  store.write(packBatch(series(5, 11)));
  assert.equal(await asNobody(), "15");
  store.close();
  Deno.chmodSync(folder.file, 0o640);
  assert.match(await asNobody(), /user id 65534 may not read it; use sudo, or an account of the group/);
});
