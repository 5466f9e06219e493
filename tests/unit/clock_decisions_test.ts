import assert from "node:assert/strict";
import { type ArrivalTime, ClockDecisions } from "../../agent/shipper/clock_decisions.ts";
import type { Reading } from "../../agent/spool/spool_types.ts";
import { copyOf } from "../lab/readings.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { type Message, QuickClock, Surroundings } from "./shipper_fixture.ts";

const minuteMs = 60_000;
const trueMs = Date.UTC(2026, 0, 2, 3, 4, 5);
const otherBoot = "cd".repeat(16);

/** A boot at 1970, 30 s ago, whose clock is not synchronised. */
function clockAt1970(): QuickClock {
  const clock = new QuickClock(30_000, 30_000);
  clock.state = "no";
  return clock;
}

/** Runs the decisions' own loop while `work` runs. */
async function watching(around: Surroundings, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const running = around.decisions.run(stop.signal);
  await work();
  stop.abort();
  await running;
}

/** Time synchronisation: the wall clock jumps to the truth. */
async function synchronise(around: Surroundings, wallMs = trueMs): Promise<void> {
  around.clock.stepWall(wallMs);
  around.clock.state = "yes";
  await around.clock.advance(2_000);
}

const decided = (around: Surroundings, at = 0): ArrivalTime | "wait" =>
  around.decisions.decide(around.readings()[at]!);

async function stored(around: Surroundings, ...messages: Message[]): Promise<Reading[]> {
  await around.store(...(messages.length === 0 ? [{}] : messages));
  return around.readings();
}

Deno.test("clock: with a synchronised clock the arrival is the wall clock's", async () => {
  const around = await Surroundings.open();
  await stored(around);
  assert.deepEqual(decided(around), { arrivalMs: trueMs, mark: "synced", startMs: undefined });
});

Deno.test("clock: a boot at 1970 that synchronises later has its readings corrected by the difference", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around);
  await around.clock.advance(40_000);
  await stored(around);
  assert.deepEqual([decided(around, 0), decided(around, 1)], ["wait", "wait"]);
  await watching(around, () => synchronise(around));
  // at trueMs the boot clock stood at 70 s: the readings came 40 s and 0 s before
  assert.deepEqual(decided(around, 0), { arrivalMs: trueMs - 40_000, mark: "corrected", startMs: undefined });
  assert.deepEqual(decided(around, 1), { arrivalMs: trueMs, mark: "corrected", startMs: undefined });
  await stored(around);
  assert.deepEqual(decided(around, 2), { arrivalMs: trueMs + 2_000, mark: "synced", startMs: undefined });
});

Deno.test("clock: a step backwards at the synchronisation is a correction like any other", async () => {
  const clock = new QuickClock(trueMs + 7 * 86_400_000, 30_000);
  clock.state = "no";
  const around = await Surroundings.open({ clock });
  await stored(around);
  await clock.advance(10_000);
  await watching(around, () => synchronise(around));
  assert.deepEqual(decided(around), { arrivalMs: trueMs - 10_000, mark: "corrected", startMs: undefined });
});

Deno.test("clock: later steps of a synchronised clock change nothing that was decided", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around);
  await watching(around, async () => {
    await synchronise(around);
    const first = decided(around);
    around.clock.stepWall(trueMs - 3_600_000);
    await around.clock.advance(60_000);
    around.clock.state = "no";
    await around.clock.advance(60_000);
    await synchronise(around, trueMs + 999_999_999);
    assert.deepEqual(decided(around), first);
  });
});

Deno.test("clock: unknown counts as not synchronised", async () => {
  const clock = clockAt1970();
  clock.state = "unknown";
  const around = await Surroundings.open({ clock });
  await stored(around);
  assert.equal(decided(around), "wait");
  await watching(around, () => synchronise(around));
  assert.equal((decided(around) as ArrivalTime).mark, "corrected");
});

Deno.test("clock: waiting is in vain 10 minutes after boot and after the output's last outage, not before", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  const { clock, decisions } = around;
  await clock.advance(10 * minuteMs - 30_001);
  assert.equal(decisions.isVain(0), false);
  await clock.advance(1);
  assert.equal(decisions.isVain(0), true);
  assert.equal(decisions.isVain(5 * minuteMs), false);
  await clock.advance(5 * minuteMs);
  assert.equal(decisions.isVain(5 * minuteMs), true);
  clock.state = "yes";
  assert.equal(decisions.isVain(0), false, "it has come in the last moment");
});

Deno.test("clock: given up, readings of this boot go out unsynced with the wall clock's time", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around, {}, { retain: true }, { queued: true, lastConnectedMs: trueMs });
  assert.equal(await around.decisions.giveUp(around.readings()[0]!.sequence), true);
  for (const at of [0, 1, 2]) {
    assert.deepEqual(decided(around, at), { arrivalMs: 30_000, mark: "unsynced", startMs: undefined });
  }
  await around.clock.advance(5_000);
  await stored(around);
  assert.deepEqual(decided(around, 3), { arrivalMs: 35_000, mark: "unsynced", startMs: undefined });
});

Deno.test("clock: what went out unsynced keeps it when the boot synchronises after all", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around, {}, {}, {});
  const [first, second] = around.readings();
  assert.equal(await around.decisions.giveUp(second!.sequence), true);
  assert.equal(around.decisions.decide(first!), "wait");
  await watching(around, () => synchronise(around));
  const mark = (at: number) => (decided(around, at) as ArrivalTime).mark;
  assert.deepEqual([mark(0), mark(1), mark(2)], ["corrected", "unsynced", "unsynced"]);
  around.clock.state = "no";
  await stored(around);
  assert.deepEqual(mark(3), "corrected", "the boot is known by now");
  await around.reopen();
  assert.deepEqual([mark(0), mark(1), mark(2), mark(3)], ["corrected", "unsynced", "unsynced", "corrected"]);
});

Deno.test("clock: another output that is further behind gives its own readings up", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around, {}, {}, {});
  const [first, second, third] = around.readings();
  await around.decisions.giveUp(third!.sequence);
  await around.decisions.giveUp(second!.sequence);
  assert.equal(around.decisions.decide(first!), "wait");
  assert.equal((around.decisions.decide(second!) as ArrivalTime).mark, "unsynced");
  await around.decisions.giveUp(first!.sequence);
  assert.equal((around.decisions.decide(first!) as ArrivalTime).mark, "unsynced");
});

Deno.test("clock: while the synchronisation is being written down, no reading goes out one way and later another", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  const [first] = await stored(around);
  await around.decisions.giveUp(first!.sequence);
  // the next one, as it will stand when it is stored: nothing can be stored while the gate is shut
  const second = { ...copyOf(first!), sequence: 2 };
  let open = () => {};
  around.files.syncGate = new Promise((done) => open = done);
  await watching(around, async () => {
    await synchronise(around);
    around.clock.state = "no"; // the gate noted it so before it heard of the synchronisation
    open();
    around.files.syncGate = undefined;
    const writing = around.decisions.decide(second);
    assert.equal(writing, "wait");
    await around.clock.settle();
    assert.equal(
      (around.decisions.decide(second) as ArrivalTime).mark,
      "corrected",
    );
  });
});

Deno.test("clock: decisions stand on disk before they are used, and a restart decides the same", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around);
  await watching(around, () => synchronise(around));
  const before = decided(around);
  around.files.crash("lost");
  await around.reopen();
  assert.deepEqual(decided(around), before);
});

Deno.test("clock: a disk that refuses the decision keeps the readings waiting", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around);
  around.files.failAll("EIO", ["rename"]);
  assert.equal(await around.decisions.giveUp(1), false);
  await watching(around, async () => {
    await synchronise(around);
    assert.equal(decided(around), "wait");
    around.files.heal();
    await around.clock.advance(2_000);
    assert.equal((decided(around) as ArrivalTime).mark, "corrected");
  });
  assert.equal(around.log.lines.filter((line) => line.level === "error").length, 1, "said once");
});

Deno.test("clock: what a killed agent had renamed counts only once the folder is synced", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around);
  around.files.failAll("EIO", ["syncFolder"]);
  assert.equal(await around.decisions.giveUp(1), false); // kill -9 here: renamed, not synced
  around.files.heal();
  const { files, clock, log, spool, reserve } = around;
  const options = { files, path: "/spool/clock.json", reserve, clock, log, spool };
  const [reading] = around.readings();
  assert.equal(((await ClockDecisions.open(options)).decide(reading!) as ArrivalTime).mark, "unsynced");
  files.crash("lost");
  assert.equal(((await ClockDecisions.open(options)).decide(reading!) as ArrivalTime).mark, "unsynced");
});

Deno.test("clock: a reboot between: a boot that was synchronised is corrected, one that never was is unsynced at once", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  await stored(around);
  await watching(around, () => synchronise(around));
  around.clock.reboot(otherBoot, 50_000);
  around.clock.state = "no";
  await around.reopen();
  await stored(around);
  assert.equal((decided(around, 0) as ArrivalTime).mark, "corrected");
  assert.equal(decided(around, 1), "wait");
  around.clock.reboot("ef".repeat(16), trueMs + 3_600_000);
  around.clock.state = "yes";
  await around.reopen();
  assert.equal((decided(around, 0) as ArrivalTime).mark, "corrected");
  assert.deepEqual(decided(around, 1), { arrivalMs: 50_000, mark: "unsynced", startMs: undefined });
});

Deno.test("clock: boots of which nothing is on disk any more are forgotten", async () => {
  const around = await Surroundings.open({ segmentBytes: 300 });
  const file = () => new TextDecoder().decode(around.files.content("/spool/clock.json"));
  await watching(around, () => around.clock.advance(1));
  await stored(around, {}, {});
  const firstBoot = around.clock.bootId;
  around.clock.reboot(otherBoot, trueMs);
  await around.reopen();
  await watching(around, () => around.clock.advance(1));
  assert.ok(file().includes(firstBoot), "its readings are still there");
  await stored(around, {}, {}, {});
  for (const segment of around.spool.segments()) {
    if (segment.state === "sealed") await around.spool.remove(segment);
  }
  around.clock.reboot("ef".repeat(16), trueMs);
  await around.reopen();
  await watching(around, () => around.clock.advance(1));
  assert.equal(file().includes(firstBoot), false);
  assert.ok(file().includes(otherBoot));
});

Deno.test("clock: the first mark that applies, in the order of the promise", async () => {
  const around = await Surroundings.open();
  const lastConnectedMs = trueMs - 9_000;
  await stored(around, { retain: true, queued: true, lastConnectedMs }, { queued: true, lastConnectedMs }, {
    retain: true,
  });
  const { clock } = around;
  clock.state = "no";
  await stored(around, { queued: true, lastConnectedMs }, { retain: true });
  await watching(around, () => synchronise(around));
  const all = [0, 1, 2, 3, 4].map((at) => decided(around, at) as ArrivalTime);
  assert.deepEqual(all.map((one) => one.mark), ["retained", "queued", "retained", "queued", "retained"]);
  assert.deepEqual(all.map((one) => one.startMs), [
    lastConnectedMs,
    lastConnectedMs,
    undefined,
    lastConnectedMs,
    undefined,
  ]);
  assert.equal(all[3]!.arrivalMs, trueMs, "the correction holds for marks that say something else, too");
});

Deno.test("clock: a time of the last connection that can't be is left out", async () => {
  const around = await Surroundings.open();
  await stored(around, { queued: true, lastConnectedMs: 30_000 }, {
    queued: true,
    lastConnectedMs: trueMs + 1,
  }, { queued: true });
  for (const at of [0, 1, 2]) {
    assert.deepEqual(decided(around, at), { arrivalMs: trueMs, mark: "queued", startMs: undefined });
  }
});

Deno.test("clock: a damaged file is set aside and decided anew", async () => {
  for (
    const damage of [
      "",
      "{",
      '{"version":1}',
      '{"version":2,"boots":{}}',
      '{"version":1,"boots":{"a":{"decisions":[{}]}}}',
    ]
  ) {
    const files = new FakeFiles();
    files.makeFolder("/spool");
    await files.replace("/spool/clock.json", new TextEncoder().encode(damage));
    const around = await Surroundings.open({ files, clock: clockAt1970() });
    assert.match(around.log.text, /what was decided about the clock is damaged/);
    await stored(around);
    assert.equal(decided(around), "wait");
    await watching(around, () => synchronise(around));
    assert.equal((decided(around) as ArrivalTime).mark, "corrected");
  }
});

Deno.test("clock: the file is written once for each boot, not for each reading", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  const writes = () =>
    around.files.calls.filter((call) => call.verb === "rename" && call.path.includes("clock")).length;
  await watching(around, async () => {
    await stored(around);
    await synchronise(around);
    for (let i = 0; i < 20; i++) await stored(around);
    await around.clock.advance(10 * minuteMs);
  });
  assert.equal(writes(), 1);
});

Deno.test("clock: status says in words what is decided", async () => {
  const around = await Surroundings.open({ clock: clockAt1970() });
  const { decisions, clock } = around;
  assert.equal(decisions.decision(), "not synchronised; readings wait for it for up to 10 min");
  await clock.advance(9 * minuteMs);
  assert.equal(decisions.decision(), "not synchronised; readings wait for it for up to 1 min");
  await decisions.giveUp(1);
  assert.equal(decisions.decision(), "not synchronised; readings are sent marked unsynced");
  await watching(around, () => synchronise(around));
  assert.equal(decisions.decision(), "synchronised");
  clock.state = "no";
  assert.match(decisions.decision(), /was synchronised during this boot/);
});
