import assert from "node:assert/strict";
import { type ClockSources, SystemClock } from "../../agent/base/system_clock.ts";
import { waitUntil } from "../lab/wait.ts";

/** Sources that answer as a confined service sees them: with nothing. */
const blind: ClockSources = {
  bootMs: () => undefined,
  bootId: () => undefined,
  adjtimex: () => undefined,
  timesyncMark: () => false,
  timedatectl: () => Promise.resolve(undefined),
};

async function stateOf(sources: Partial<ClockSources>): Promise<string> {
  const clock = new SystemClock({ ...blind, ...sources });
  await clock.close();
  return clock.synchronised();
}

Deno.test("clock: the real one agrees with /proc about boot and its time", async () => {
  const clock = new SystemClock();
  try {
    const uptimeMs = Number.parseFloat(await Deno.readTextFile("/proc/uptime")) * 1_000;
    assert.ok(Math.abs(clock.bootMs() - uptimeMs) < 1_000, `${clock.bootMs()} against ${uptimeMs}`);
    const bootId = await Deno.readTextFile("/proc/sys/kernel/random/boot_id");
    assert.equal(clock.bootId, bootId.trim().replaceAll("-", ""));
    assert.ok(Math.abs(clock.wallMs() - Date.now()) < 1_000);
    assert.match(clock.synchronised(), /^(yes|no|unknown)$/);
    const firstMs = clock.bootMs();
    assert.ok(clock.bootMs() >= firstMs);
  } finally {
    await clock.close();
  }
});

Deno.test("clock: synchronised is what the first source says that can be asked; nothing said is unknown", async () => {
  assert.equal(await stateOf({ adjtimex: () => 0 }), "yes");
  assert.equal(await stateOf({ adjtimex: () => 1 }), "yes");
  assert.equal(await stateOf({ adjtimex: () => 5, timesyncMark: () => true }), "no");
  assert.equal(await stateOf({ timesyncMark: () => true }), "yes");
  assert.equal(await stateOf({ timedatectl: () => Promise.resolve(true) }), "yes");
  assert.equal(await stateOf({ timedatectl: () => Promise.resolve(false) }), "no");
  assert.equal(await stateOf({}), "unknown");
});

Deno.test("clock: a boot id in any spelling becomes 32 digits; times of two lives without one never meet", async () => {
  const bootMs = () => 5;
  const known = new SystemClock({ ...blind, bootMs, bootId: () => "0123ABCD-0123-0123-0123-0123456789ab\n" });
  const hidden = [
    new SystemClock({ ...blind, bootMs }),
    new SystemClock({ ...blind, bootMs, bootId: () => "none" }),
    new SystemClock({ ...blind, bootId: () => known.bootId }),
  ];
  try {
    assert.equal(known.bootId, "0123abcd0123012301230123456789ab");
    assert.equal(known.bootMs(), 5);
    assert.equal(new Set([known, ...hidden].map((clock) => clock.bootId)).size, 4);
    for (const clock of hidden) {
      assert.match(clock.bootId, /^[0-9a-f]{32}$/);
      assert.ok(clock.bootMs() > 0);
    }
  } finally {
    for (const clock of [known, ...hidden]) await clock.close();
  }
});

Deno.test("clock: what changes meanwhile is noticed in the background", async () => {
  let state = 5;
  let asked = 0;
  const clock = new SystemClock({
    ...blind,
    adjtimex: () => {
      asked++;
      return state;
    },
  }, 20);
  try {
    for (let i = 0; i < 1_000; i++) assert.equal(clock.synchronised(), "no");
    assert.equal(asked, 1);
    state = 0;
    await waitUntil(() => clock.synchronised() === "yes", 10_000, "the clock to notice");
  } finally {
    await clock.close();
  }
});

Deno.test("clock: sleep ends when its time has come, at once after an abort, and waits longer than a timer can", async () => {
  const clock = new SystemClock(blind);
  try {
    await clock.sleep(-1);
    await clock.sleep(5);
    await clock.sleep(60_000, AbortSignal.abort());
    const stop = new AbortController();
    let ended = false;
    const long = clock.sleep(2 ** 40, stop.signal).then(() => ended = true);
    await clock.sleep(5);
    assert.equal(ended, false);
    const short = clock.sleep(5, stop.signal); // ends by itself, and leaves the others asleep
    const another = clock.sleep(60_000, stop.signal);
    await short;
    assert.equal(ended, false);
    stop.abort();
    await Promise.all([long, another]);
  } finally {
    await clock.close();
  }
});
