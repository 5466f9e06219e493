import assert from "node:assert/strict";
import { Reserve } from "../../agent/base/reserve.ts";
import { importLocked, type MessageFile } from "../../agent/import/import_files.ts";
import { reserveBytes } from "../../agent/limits.ts";
import { ClockDecisions } from "../../agent/shipper/clock_decisions.ts";
import { propertyFields } from "../../agent/shipper/document.ts";
import { type LineFormat, lineFormat } from "../../installer/broker/line_format.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { dir, open, readAll, store, textOf } from "../unit/spool_setup.ts";

interface Bring {
  maxSizeBytes: number;
  signal: AbortSignal;
  format: LineFormat;
}

const usual = lineFormat("%I %t %p");
const encode = (text: string) => new TextEncoder().encode(text);

/** A message file outside of the disk that is tested: its content does not change. */
function file(path: string, text: string, more: Partial<MessageFile> = {}): MessageFile {
  const bytes = encode(text);
  return {
    ...{ path, inode: 1, sizeBytes: bytes.length, shippedBytes: 0, ...more },
    open: () => ({
      readAt(into, at) {
        const part = bytes.subarray(at, at + Math.min(into.length, 37)); // as slow as a disk may be
        into.set(part);
        return part.length;
      },
      size: () => bytes.length,
      close() {},
      append: () => assert.fail(),
      truncate: () => assert.fail(),
      syncData: () => assert.fail(),
    }),
  };
}

const line = (value: string | number) =>
  `2020-03-27T10:15:0${Math.min(9, String(value).length)}+0100 plant/t ${value}\n`;

/** Small segments, so that a few lines make many. */
function bring(
  files: FakeFiles,
  sources: MessageFile[],
  more: Partial<Bring> = {},
) {
  const { maxSizeBytes = 1e12, signal = new AbortController().signal, format = usual } = more;
  files.makeFolder(dir);
  return importLocked({
    ...{ files, log: new MemoryLog(), format, sources, signal, segmentBytes: 600, maxPayloadBytes: 1_000 },
    spool: { dir, maxSizeBytes, minFreeBytes: 0 },
    onProgress: () => Promise.resolve(),
  });
}

async function stored(files: FakeFiles): Promise<string[]> {
  const { spool } = await open(files);
  const found = readAll(spool);
  assert.equal(found.damaged, 0);
  await spool.close();
  return found.readings.map(textOf);
}

/** An agent's life: ships all that is there and removes what it may, and stores a reading of its own. */
async function agentLife(
  files: FakeFiles,
  shipped: Map<number, string>,
  own: string,
  floor: number,
): Promise<number> {
  const { spool } = await open(files, undefined, floor);
  const found = readAll(spool, spool.oldestSequence());
  assert.equal(found.damaged, 0);
  for (const reading of found.readings) shipped.set(reading.sequence, textOf(reading));
  await store(spool, own);
  for (const segment of spool.segments()) if (segment.state === "sealed") await spool.remove(segment);
  await files.syncFolder(dir);
  const next = spool.nextSequence() - 1;
  await spool.close();
  return next;
}

/** As an agent before has left it: making it is not what is looked at here. */
function makeReserve(files: FakeFiles): void {
  const file = files.open(`${dir}/reserve`, "create");
  file.append(new Uint8Array(reserveBytes));
  file.close();
}

const values = (from: number, count: number) => Array.from({ length: count }, (_, i) => String(from + i));

Deno.test("import: every line comes into the spool once, oldest file first, behind what is there, with its own time", async () => {
  const files = new FakeFiles();
  const { spool } = await open(files);
  await store(spool, "before");
  await spool.close();
  const large = "x".repeat(2_000);
  const sources = [
    file("/m/1.log", "rest of a line\n" + line(1) + line(large), { inode: 7 }),
    file("/m/2.log", line(10).repeat(1) + line("two\nlines"), { inode: 8 }),
  ];
  const result = await bring(files, sources);
  assert.deepEqual(result, {
    messages: 4,
    refused: 1,
    refusedAt: [{ path: "/m/1.log", atBytes: 0 }],
    leftOut: [],
  });
  const opened = await open(files);
  const { readings } = readAll(opened.spool);
  const texts = readings.map(textOf).map((text) => text.length > 100 ? `${text.length} letters` : text);
  assert.deepEqual(texts, ["before", "1", "2000 letters", "10", "two\nlines"]);
  assert.equal(new TextDecoder().decode(readings[1]!.topic), "plant/t");
  assert.equal(readings[1]!.wallMs, Date.parse("2020-03-27T09:15:01Z"));
  assert.deepEqual(propertyFields(readings[2]!.properties, readings[2]!.truncated)["payload_size"], 2_000);
  await opened.spool.close();
  assert.deepEqual(await bring(files, sources), { messages: 0, refused: 0, refusedAt: [], leftOut: [] });
  assert.equal((await stored(files)).length, 5);
});

Deno.test("import: the time of a line goes out as it is, and says that nobody knows how right that clock was", async () => {
  const files = new FakeFiles();
  await bring(files, [file("/m/1.log", line(1))]);
  const { spool } = await open(files);
  const [reading] = readAll(spool).readings;
  const clock = new FakeClock();
  const reserve = await Reserve.open(files, `${dir}/reserve`);
  const log = new MemoryLog();
  const decisions = await ClockDecisions.open({
    files,
    path: `${dir}/clock.json`,
    reserve,
    clock,
    log,
    spool,
  });
  const expected = { arrivalMs: Date.parse("2020-03-27T09:15:01Z"), mark: "unsynced", startMs: undefined };
  assert.deepEqual(decisions.decide(reading!), expected);
  await spool.close();
});

Deno.test("import: what Filebeat has shipped stays out, by name and inode; what was cut and written anew is read whole", async () => {
  const files = new FakeFiles();
  const text = line(1) + line(2);
  await bring(files, [file("/m/1.log", text, { inode: 5, shippedBytes: line(1).length })]);
  assert.deepEqual(await stored(files), ["2"]);
  // the same name, another file
  await bring(files, [file("/m/1.log", line(3), { inode: 6 })]);
  // the same file, longer
  await bring(files, [file("/m/1.log", line(3) + line(4), { inode: 6 })]);
  // the same file, shipped beyond what was imported
  const longer = line(3) + line(4) + line(5) + line(6);
  await bring(files, [
    file("/m/1.log", longer, { inode: 6, shippedBytes: (line(3) + line(4) + line(5)).length }),
  ]);
  // the same file, shorter than what is noted
  await bring(files, [file("/m/1.log", line(7), { inode: 6 })]);
  assert.deepEqual(await stored(files), ["2", "3", "4", "6", "7"]);
});

Deno.test("import: ended at any point, with or without the power, and run again, no line is lost and none comes twice", async () => {
  const lines = values(100, 16);
  const sources = [
    file("/m/1.log", lines.slice(0, 9).map(line).join(""), { inode: 1 }),
    file("/m/2.log", lines.slice(9).map(line).join(""), { inode: 2 }),
  ];
  let ended = 0;
  for (const how of ["killed", "lost", "kept", "half"] as const) {
    for (const life of [false, true]) {
      for (let at = 1;; at++) {
        const files = new FakeFiles();
        const { spool } = await open(files);
        await store(spool, "before");
        await spool.close();
        makeReserve(files);
        let left = at;
        files.fault = () => --left <= 0 ? "EIO" : undefined; // gone: whatever it would still do does nothing
        const whole = await bring(files, sources).then(() => true, () => false);
        files.heal();
        if (how !== "killed") files.crash(how, at);
        const shipped = new Map<number, string>();
        const floor = life ? await agentLife(files, shipped, "between", 0) : 0;
        await bring(files, sources);
        await agentLife(files, shipped, "after", floor);
        const expected = ["before", ...lines, ...(life ? ["between"] : [])];
        assert.deepEqual([...shipped.values()].sort(), expected.sort(), `${how} at call ${at}`);
        if (whole && left > 0) break;
        ended++;
      }
    }
  }
  assert.ok(ended > 400, `${ended} ends`);
});

Deno.test("import: a full spool ends it with what is there kept, and it goes on when there is room", async () => {
  const files = new FakeFiles();
  const lines = values(100, 200);
  const sources = [file("/m/1.log", lines.map(line).join(""))];
  await assert.rejects(bring(files, sources, { maxSizeBytes: 4_600_000 }), /max_size.*let the agent ship it/);
  const some = await stored(files);
  assert.ok(some.length > 0 && some.length < lines.length, `${some.length} of them`);
  await bring(files, sources);
  assert.deepEqual(await stored(files), lines);
});

Deno.test("import: interrupted, it says so and goes on from there; a damaged note is told and not guessed", async () => {
  const files = new FakeFiles();
  const stop = new AbortController();
  stop.abort();
  const sources = [file("/m/1.log", line(1))];
  await assert.rejects(bring(files, sources, { signal: stop.signal }), /interrupted.*goes on from there/);
  await bring(files, sources);
  assert.deepEqual(await stored(files), ["1"]);
  files.damage(`${dir}/import/progress.json`, () => encode("{}"));
  await assert.rejects(bring(files, sources), /progress.json: it is damaged/);
});

Deno.test("import: a file of which no line is a message is left out, and read when the format is right", async () => {
  const files = new FakeFiles();
  const sources = [
    file("/m/0.log", "1585300502;plant/t;5\n1585300503;plant/t;6\n"),
    file("/m/1.log", line(1)),
  ];
  const result = await bring(files, sources);
  assert.deepEqual([result.messages, result.refused, result.leftOut], [1, 0, ["/m/0.log"]]);
  assert.deepEqual((await bring(files, sources, { format: lineFormat("%U;%t;%p") })).messages, 2);
  assert.deepEqual(await stored(files), ["1", "5", "6"]);
});
