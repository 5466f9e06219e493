import assert from "node:assert/strict";
import fc from "fast-check";
import { renderStatus, sumHolds, wantsAttention, wrap } from "../../agent/status/render_status.ts";
import type { OutputStatus, Snapshot } from "../../agent/status/snapshot.ts";
import { wellOutput, wellSnapshot } from "../fakes/snapshot.ts";

const plain = { columns: 80, colour: false };
const text = (snapshot: Snapshot, columns = 80) =>
  renderStatus(snapshot, { columns, colour: false }).join("\n");
/** On one line, whatever was wrapped. */
const flat = (snapshot: Snapshot) => text(snapshot).replace(/\s+/g, " ");
const withOutput = (part: Partial<OutputStatus>): Snapshot => ({
  ...wellSnapshot,
  outputs: [{ ...wellOutput, ...part }],
});

Deno.test("status: the sum of promise 4 is shown as an equation", () => {
  assert.match(
    flat(wellSnapshot),
    /1,234 stored = 1,200 confirmed \+ 30 waiting \+ 2 dead \+ 1 dropped \+ 1 damaged/,
  );
  assert.ok(sumHolds(wellOutput));
  assert.ok(!wantsAttention(wellSnapshot));
});

Deno.test("status: numbers that do not add up are said so, and want attention", () => {
  const wrong = withOutput({ confirmed: 1_199 });
  assert.match(flat(wrong), /1,234 stored ≠ 1,199 confirmed .* the numbers do not add up/);
  assert.ok(wantsAttention(wrong));
});

Deno.test("status: alarms come first, each with its remedy and since when", () => {
  const alarm = {
    code: "filter_refused",
    text: "the broker refuses x/#",
    remedy: "allow it",
    sinceMs: wellSnapshot.nowMs - 300_000,
  };
  const lines = renderStatus({ ...wellSnapshot, alarms: [alarm] }, plain);
  assert.match(lines[2]!, /^attention the broker refuses x\/# \(filter_refused, for 5 min\)/);
  assert.match(lines[3]!, /^ +→ allow it/);
  assert.ok(wantsAttention({ ...wellSnapshot, alarms: [alarm] }));
});

Deno.test("status: a connection or an output that is not well wants attention, one that starts does not", () => {
  const broker = (state: Snapshot["subscriber"]["state"]) => {
    return wantsAttention({ ...wellSnapshot, subscriber: { ...wellSnapshot.subscriber, state } });
  };
  assert.deepEqual((["connecting", "connected"] as const).map(broker), [false, false]);
  assert.deepEqual((["waiting", "paused", "no broker configured"] as const).map(broker), [true, true, true]);
  const output = (state: OutputStatus["state"]) => wantsAttention(withOutput({ state }));
  assert.deepEqual((["starting", "well", "waiting for clock"] as const).map(output), [false, false, false]);
  assert.deepEqual(
    (["retrying", "paused"] as const).map(output),
    [false, true],
    "retrying alarms when it lasts",
  );
});

Deno.test("status: paused says why, waiting when the next try comes", () => {
  const { subscriber } = wellSnapshot;
  const paused = {
    ...wellSnapshot,
    subscriber: { ...subscriber, state: "paused" as const, reason: "spool full" },
  };
  assert.match(flat(paused), /broker paused: spool full/);
  const nextTryMs = wellSnapshot.nowMs + 4_000;
  const waiting = { ...subscriber, state: "waiting" as const, reason: "connection refused", nextTryMs };
  assert.match(
    flat({ ...wellSnapshot, subscriber: waiting }),
    /waiting: connection refused.* next try in 4 s/,
  );
});

Deno.test("status: an output's error, lag and dropped readings are there with their reasons", () => {
  const lines = flat(withOutput({
    state: "retrying",
    reason: "503 from the server",
    lagMs: 600_000,
    droppedWhy: { "drop_oldest": 1, absent: 0 },
    lastError: { atMs: wellSnapshot.nowMs - 3_000, text: "503" },
  }));
  assert.match(lines, /cloud retrying.*503 from the server/);
  assert.match(lines, /oldest waiting is 10 min old/);
  assert.match(lines, /dropped: 1 drop_oldest last error 3 s ago: 503/);
  assert.ok(!lines.includes("absent"));
});

Deno.test("status: how long the spool lasts, and what happens then", () => {
  const spool = { ...wellSnapshot.spool, bytesPerS: 2048, lastsMs: 9 * 3_600_000 };
  assert.match(
    flat({ ...wellSnapshot, spool }),
    /2 KiB\/s arrive: lasts 9 h without outputs, then reception stops/,
  );
});

Deno.test("status: nothing configured is said, not left out", () => {
  const subscriber = { ...wellSnapshot.subscriber, state: "no broker configured" as const };
  delete (subscriber as { url?: string }).url;
  const lines = flat({ ...wellSnapshot, subscriber, outputs: [] });
  assert.match(lines, /broker no broker configured/);
  assert.match(lines, /outputs none configured/);
});

Deno.test("status: no line is wider than the terminal, whatever comes from the network", () => {
  const foreign = fc.string({ unit: "binary", maxLength: 300 });
  fc.assert(
    fc.property(foreign, fc.integer({ min: 30, max: 200 }), (from, columns) => {
      const subscriber = {
        ...wellSnapshot.subscriber,
        state: "waiting" as const,
        reason: from,
        filters: [{ filter: from, granted: "refused" as const }],
      };
      const output = { ...wellOutput, name: from, reason: from, lastError: { atMs: 0, text: from } };
      const alarms = [{ code: "x", text: from, remedy: from, sinceMs: 0 }];
      const spool = { ...wellSnapshot.spool, setAside: [from] };
      const snapshot = { ...wellSnapshot, subscriber, outputs: [output], alarms, spool };
      for (const line of renderStatus(snapshot, { columns, colour: false })) {
        assert.ok(line.length <= columns, `${line.length} > ${columns}: ${line}`);
        assert.ok(!/[\p{Cc}\p{Cf}]/u.test(line));
      }
      const painted = renderStatus(snapshot, { columns, colour: true }).join("\n");
      // deno-lint-ignore no-control-regex
      assert.ok(!/\x1b(?!\[(0|1|2|31|32|33)m)/.test(painted), "only our own colours");
    }),
    { numRuns: 50 },
  );
});

Deno.test("status: wrapping loses no word", () => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-z]{1,30}$/)),
      fc.integer({ min: 5, max: 40 }),
      (words, columns) => {
        const lines = wrap(words.join(" "), columns);
        assert.equal(lines.join("").replaceAll(" ", ""), words.join(""));
        assert.ok(lines.every((line) => line.length <= columns));
      },
    ),
  );
});

Deno.test("status: what the broker says of itself is one line, and what it dropped another", () => {
  const withBroker = (broker: Snapshot["subscriber"]["broker"]) => {
    return flat({ ...wellSnapshot, subscriber: { ...wellSnapshot.subscriber, broker: broker! } });
  };
  const sinceMs = Date.UTC(2026, 0, 1);
  const version = "mosquitto version 2.0.11\x1b[31m";
  const well = {
    version,
    clientsConnected: 12,
    clientsAway: 3,
    heldBytes: 4_096,
    dropped: 0,
    droppedSinceMs: sinceMs,
  };
  assert.match(
    withBroker(well),
    /it says: mosquitto version 2\.0\.11\\x1b\[31m, 12 clients connected, 3 away, 4 KiB of messages held/,
  );
  assert.doesNotMatch(withBroker(well), /dropped [1-9]|dropped 0 messages/);
  const bad = withBroker({
    clientsConnected: 1,
    dropped: 1_234,
    droppedSinceMs: sinceMs,
    lastDropMs: sinceMs + 1_000,
  });
  assert.match(
    bad,
    /it says: 1 client connected the broker dropped 1,234 messages since 2026-01-01 00:00:00Z, the last/,
  );
  assert.match(bad, /the last seen 2026-01-01 00:00:01Z/);
  assert.doesNotMatch(flat(wellSnapshot), /it says/);
});
