import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, OperationError } from "../../agent/base/errors.ts";
import { Reserve } from "../../agent/base/reserve.ts";
import { makeLetter } from "../../agent/shipper/dead_letter.ts";
import { type OutputState, OutputStates } from "../../agent/shipper/output_state.ts";
import type { CrashMode } from "../fakes/fake_files.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { arrivalMs, makeOutgoing } from "./shipper_fixture.ts";

const dir = "/spool/outputs";
const daily = "mqtt-%Y.%m.%d";

const letter = (sequence: number) => {
  return makeLetter(makeOutgoing({ sequence }), { atMs: arrivalMs, status: 400, reason: "no" });
};

class Disk {
  readonly files = new FakeFiles();
  readonly log = new MemoryLog();
  reserve!: Reserve;

  async open(): Promise<OutputStates> {
    const { files, log } = this;
    files.makeFolder("/spool");
    this.reserve = await Reserve.open(files, "/spool/reserve", 8_192);
    return await OutputStates.open({ files, dir, reserve: this.reserve, log });
  }

  async use(oldestSequence = 1, nextSequence = 1, target = daily): Promise<OutputState> {
    return await (await this.open()).use("cloud", { oldestSequence, nextSequence, target });
  }

  stored(): Record<string, unknown> {
    return JSON.parse(new TextDecoder().decode(this.files.content(join(dir, "cloud.json")))) as Record<
      string,
      unknown
    >;
  }
}

/** The sum of promise 4, and the terms that are asked for. */
function sum(state: OutputState, spoolNext: number): { confirmed: number; waiting: number; dead: number } {
  const { stored, confirmed, waiting, dead, dropped, damaged } = state.figures(spoolNext);
  assert.equal(
    stored,
    confirmed + waiting + dead + dropped + damaged,
    JSON.stringify(state.figures(spoolNext)),
  );
  return { confirmed, waiting, dead };
}

Deno.test("output state: a new output begins at the oldest reading on disk", async () => {
  const state = await new Disk().use(100, 500);
  assert.equal(state.nextSequence, 100);
  assert.deepEqual(state.figures(500), {
    ...{ stored: 400, confirmed: 0, waiting: 400, dead: 0, dropped: 0, damaged: 0, droppedWhy: {} },
  });
});

Deno.test("output state: what was counted is there after a crash, all of it or none", async () => {
  for (const mode of ["lost", "kept", "half", "reordered", "zeroed"] as CrashMode[]) {
    const disk = new Disk();
    const state = await disk.use();
    state.advance(11, { confirmed: 8, damaged: 1, dropped: { reason: "drop_oldest", count: 1 } });
    await state.persist();
    assert.equal(state.durableSequence, 11);
    state.advance(21, { confirmed: 10 });
    assert.equal(state.durableSequence, 11);
    assert.deepEqual(sum(state, 30), { confirmed: 18, waiting: 9, dead: 0 });
    disk.files.crash(mode);
    const again = await disk.use(1, 30);
    assert.equal(again.nextSequence, 11);
    assert.deepEqual(sum(again, 30), { confirmed: 8, waiting: 19, dead: 0 });
    assert.deepEqual(again.figures(30).droppedWhy, { drop_oldest: 1 });
  }
});

Deno.test("output state: dead letters count once the cursor is past them, and are known before", async () => {
  const disk = new Disk();
  const state = await disk.use();
  await state.bury([letter(3)]);
  assert.deepEqual(sum(state, 11), { confirmed: 0, waiting: 10, dead: 0 });
  assert.deepEqual(state.deadSequences(), []);
  disk.files.crash("lost"); // between dead letter and cursor
  const again = await disk.use(1, 11);
  assert.equal(again.letters.has(3), true);
  again.advance(11, { confirmed: 9 });
  assert.deepEqual(sum(again, 11), { confirmed: 9, waiting: 0, dead: 1 });
  assert.deepEqual(again.deadSequences(), [3]);
});

Deno.test("output state: dead letters that arrived or were given up leave the count in one step", async () => {
  const disk = new Disk();
  const state = await disk.use();
  await state.bury([letter(2), letter(3), letter(4)]);
  state.advance(6, { confirmed: 2 });
  assert.equal(await state.confirmDead([2, 2, 99]), 1);
  assert.deepEqual(sum(state, 6), { confirmed: 3, waiting: 0, dead: 2 });
  assert.equal(await state.dropDead([3]), 1);
  assert.deepEqual(sum(state, 6), { confirmed: 3, waiting: 0, dead: 1 });
  assert.deepEqual(state.figures(6).droppedWhy, { "dead letter dropped": 1 });
  disk.files.crash("lost");
  const again = await disk.use(1, 6);
  assert.deepEqual(sum(again, 6), { confirmed: 3, waiting: 0, dead: 1 });
  assert.deepEqual(again.deadSequences(), [4]);
});

Deno.test("output state: a crash at any call while a dead letter is confirmed keeps the sum", async () => {
  for (const mode of ["lost", "kept", "half"] as CrashMode[]) {
    for (let call = 1; call < 40; call++) {
      const disk = new Disk();
      const state = await disk.use();
      await state.bury([letter(1), letter(2)]);
      state.advance(4, { confirmed: 1 });
      await state.persist();
      disk.files.failAt(call, "EIO");
      const whole = await state.confirmDead([1]).then(() => true, () => false);
      disk.files.heal();
      disk.files.crash(mode, call);
      const again = await disk.use(1, 4);
      const { confirmed, dead } = sum(again, 4);
      assert.ok(
        whole ? confirmed === 2 : confirmed + dead === 3,
        `${mode}, call ${call}: ${confirmed} confirmed`,
      );
      assert.equal(again.letters.has(1), confirmed === 1);
    }
  }
});

Deno.test("output state: a disk that is full in the middle changes no count, in memory either", async () => {
  const disk = new Disk();
  const state = await disk.use();
  await state.bury([letter(1)]);
  state.advance(3, { confirmed: 1 });
  await state.persist();
  disk.files.failAll("EIO", ["create"]);
  await assert.rejects(state.confirmDead([1]));
  assert.deepEqual(sum(state, 3), { confirmed: 1, waiting: 0, dead: 1 });
  disk.files.heal();
  assert.equal(await state.confirmDead([1]), 1);
  assert.deepEqual(sum(state, 3), { confirmed: 2, waiting: 0, dead: 0 });
});

Deno.test("output state: a tombstone that can't be written is made up for at the next start", async () => {
  const disk = new Disk();
  const state = await disk.use();
  await state.bury([letter(1)]);
  state.advance(3, { confirmed: 1 });
  disk.files.failAll("EIO", ["append"]);
  disk.files.fault = (call) =>
    call.verb === "append" && call.path.endsWith(".dead.ndjson") ? "EIO" : undefined;
  assert.equal(await state.confirmDead([1]), 1);
  assert.deepEqual(sum(state, 3), { confirmed: 2, waiting: 0, dead: 0 });
  disk.files.crash("lost");
  assert.deepEqual(sum(await disk.use(1, 3), 3), { confirmed: 2, waiting: 0, dead: 0 });
  disk.files.heal();
  assert.deepEqual(sum(await disk.use(1, 3), 3), { confirmed: 2, waiting: 0, dead: 0 });
  assert.deepEqual(disk.stored()["removing"], []);
});

Deno.test("output state: cursors are still written on a full disk", async () => {
  const disk = new Disk();
  const state = await disk.use();
  disk.files.capacityBytes = 0;
  state.advance(5, { confirmed: 4 });
  await assert.rejects(state.persist());
  assert.deepEqual([state.durableSequence, state.dirty], [1, true]);
  disk.files.capacityBytes = 1_000;
  await state.persist();
  assert.deepEqual([state.durableSequence, state.dirty], [5, false]);
});

Deno.test("output state: another target holds for readings stored from now on, durably", async () => {
  const disk = new Disk();
  await disk.use(1, 50, "a-%Y");
  const state = await disk.use(1, 100, "b-%Y");
  assert.deepEqual([state.targetOf(99), state.targetOf(100), state.targetOf(1_000)], [
    "a-%Y",
    "b-%Y",
    "b-%Y",
  ]);
  disk.files.crash("lost");
  const again = await disk.use(1, 300, "b-%Y");
  assert.deepEqual([again.targetOf(99), again.targetOf(100)], ["a-%Y", "b-%Y"]);
  again.advance(150, { confirmed: 149 });
  await again.persist();
  assert.deepEqual(disk.stored()["targets"], [{ fromSequence: 100, target: "b-%Y" }]);
  const third = await disk.use(1, 100, "c-%Y"); // nothing was stored meanwhile
  assert.equal(third.targetOf(100), "c-%Y");
});

Deno.test("output state: nothing is sent under a target that is not durable", async () => {
  const disk = new Disk();
  disk.files.makeFolder(dir);
  disk.files.capacityBytes = 0;
  const state = await disk.use();
  assert.equal(state.isUnwritten, true);
  assert.match(disk.log.text, /the state of an output can't be written/);
  disk.files.capacityBytes = Infinity;
  await state.persist();
  assert.equal(state.isUnwritten, false);
});

Deno.test("output state: an output that is taken out holds nothing back, and says what it missed when it comes back", async () => {
  const disk = new Disk();
  const state = await disk.use();
  state.advance(11, { confirmed: 10 });
  await state.persist();
  const states = await disk.open();
  await states.use("other", { oldestSequence: 1, nextSequence: 20, target: daily });
  await states.retireOthers(["other"]);
  await states.retireOthers(["other"]);
  assert.equal(disk.log.lines.filter((line) => /no longer configured/.test(line.message)).length, 1);
  disk.files.crash("lost");
  await (await disk.open()).retireOthers(["other"]);
  assert.equal(
    disk.log.lines.filter((line) => /no longer configured/.test(line.message)).length,
    1,
    "once for good",
  );
  const back = await disk.use(31, 40);
  assert.equal(back.nextSequence, 31);
  assert.deepEqual(back.figures(40), {
    ...{
      stored: 39,
      confirmed: 10,
      waiting: 9,
      dead: 0,
      dropped: 20,
      damaged: 0,
      droppedWhy: { absent: 20 },
    },
  });
  disk.files.crash("lost");
  assert.equal((await disk.use(31, 40)).figures(40).dropped, 20);
});

Deno.test("output state: no sequence is given twice, not even when the spool is lost", async () => {
  const disk = new Disk();
  assert.equal((await disk.open()).floorSequence(), 0);
  const state = await disk.use();
  state.advance(11, { confirmed: 10 });
  await state.persist();
  assert.equal((await disk.open()).floorSequence(), 11);
  await (await disk.use()).bury([letter(14)]);
  assert.equal((await disk.open()).floorSequence(), 15);
});

Deno.test("output state: a damaged file is set aside and its output begins anew; dead letters stay", async () => {
  for (
    const damage of ["", "{", "null", "[]", '{"version":1}', '{"version":1,"startSequence":-1}', "\0\0\0"]
  ) {
    const disk = new Disk();
    const state = await disk.use();
    await state.bury([letter(2)]);
    state.advance(5, { confirmed: 3 });
    await state.persist();
    disk.files.damage(join(dir, "cloud.json"), () => new TextEncoder().encode(damage));
    const states = await disk.open();
    assert.match(disk.log.text, /the state of an output is damaged/);
    const again = await states.use("cloud", { oldestSequence: 1, nextSequence: 5, target: daily });
    assert.equal(again.nextSequence, 1);
    assert.equal(again.letters.has(2), true);
    assert.ok(disk.files.list(dir).some((entry) => entry.name === "cloud.json.bad"));
    again.advance(5, { confirmed: 3 });
    sum(again, 5);
  }
});

Deno.test("output state: one of a newer agent is refused and not touched", async () => {
  const disk = new Disk();
  await disk.use();
  const path = join(dir, "cloud.json");
  disk.files.damage(path, () => new TextEncoder().encode('{"version":2}'));
  await assert.rejects(disk.open(), /was written by a newer agent \(version 2, this one knows 1\)/);
  assert.equal(new TextDecoder().decode(disk.files.content(path)), '{"version":2}');
});

Deno.test("output state: names that can't be a file's are refused, strange files ignored", async () => {
  const disk = new Disk();
  const states = await disk.open();
  const start = { oldestSequence: 1, nextSequence: 1, target: daily };
  for (const name of ["", "../x", "a/b", ".hidden", "n".repeat(65), "a b"]) {
    await assert.rejects(states.use(name, start), ConfigError);
  }
  for (const name of ["x.json.new", ".y.json", "z.txt"]) {
    await disk.files.replace(join(dir, name), new Uint8Array(3));
  }
  assert.deepEqual((await disk.open()).names(), []);
});

Deno.test("output state: letters of an output that is not configured can be seen and dropped", async () => {
  const disk = new Disk();
  const state = await disk.use();
  await state.bury([letter(1), letter(2)]);
  state.advance(3, {});
  await state.persist();
  const states = await disk.open();
  await states.retireOthers([]);
  assert.deepEqual([...states.letters("cloud")].map((one) => one.sequence), [1, 2]);
  await assert.rejects(states.dropDead("cloud", ["0123456789abcdef-7"]), /there is none with the id/);
  assert.equal(await states.dropDead("cloud", ["0123456789abcdef-1"]), 1);
  assert.equal(await states.dropDead("cloud", undefined), 1);
  assert.deepEqual([...states.letters("cloud")], []);
  assert.throws(() => states.letters("none"), (error) => {
    return error instanceof OperationError && /no output of that name; known are cloud/.test(error.message);
  });
});
