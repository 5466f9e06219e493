import assert from "node:assert/strict";
import { resubscribeMs } from "../../agent/limits.ts";
import {
  granted,
  intended,
  type KnownSubscriptions,
  lent,
  planSubscriptions,
  unsubscribed,
  wantedSubscriptions,
} from "../../agent/subscriber/subscriptions.ts";

const nowMs = Date.UTC(2026, 0, 2);
const nothing: KnownSubscriptions = { filters: [], removed: [] };
const names = (plan: { subscribe: { filter: string }[]; unsubscribe: string[] }) => [
  plan.subscribe.map((one) => one.filter),
  plan.unsubscribe,
];
const settings = (...topics: string[]) => wantedSubscriptions({ topics, qos: 1 }, undefined);

/** Known after everything in `topics` was subscribed and granted at `atMs`. */
function settled(topics: string[], atMs = nowMs): KnownSubscriptions {
  const known = intended(nothing, settings(...topics), atMs);
  return granted(known, new Map(topics.map((topic) => [topic, 1])), atMs);
}

Deno.test("mqtt subscriptions: each filter once, and the marker by its own name at QoS 1", () => {
  assert.deepEqual(wantedSubscriptions({ topics: ["a", "#", "a"], qos: 2 }, "s/marker"), [
    { filter: "a", qos: 2 },
    { filter: "#", qos: 2 },
    { filter: "s/marker", qos: 1 },
  ]);
  assert.deepEqual(wantedSubscriptions({ topics: ["m"], qos: 0 }, "m"), [{ filter: "m", qos: 0 }]);
});

Deno.test("mqtt subscriptions: MQTT 5 subscribes everything on every connection", () => {
  const known = settled(["a", "b"], nowMs - 10 * resubscribeMs);
  for (const sessionPresent of [true, false]) {
    const plan = planSubscriptions(known, { version: 5, sessionPresent, nowMs });
    assert.deepEqual(names(plan), [["a", "b"], []]);
  }
});

Deno.test("mqtt subscriptions: MQTT 3.1.1 subscribes a new session, and any for a day after the filters changed", () => {
  const plan = (known: KnownSubscriptions, sessionPresent: boolean, atMs: number) =>
    names(planSubscriptions(known, { version: 4, sessionPresent, nowMs: atMs }))[0];
  const known = settled(["a"]);
  assert.deepEqual(plan(known, true, nowMs + 1_000), ["a"]);
  assert.deepEqual(plan(known, true, nowMs + resubscribeMs - 1), ["a"]);
  assert.deepEqual(plan(known, true, nowMs + resubscribeMs), []);
  assert.deepEqual(plan(known, false, nowMs + resubscribeMs), ["a"]);
  assert.deepEqual(plan(known, true, nowMs - 1_000_000_000), ["a"], "the clock was set back");
  // a change starts the day again, and so does an answer that never came
  const changed = intended(known, settings("a", "b"), nowMs + 2 * resubscribeMs);
  assert.deepEqual(plan(changed, true, nowMs + 4 * resubscribeMs), ["a", "b"]);
  const answered = granted(changed, new Map([["a", 1], ["b", 128]]), nowMs + 2 * resubscribeMs);
  assert.deepEqual(plan(answered, true, nowMs + 4 * resubscribeMs), ["a", "b"], "one was refused");
});

Deno.test("mqtt subscriptions: the same filters at another QoS are a change", () => {
  const known = settled(["a"]);
  assert.equal(intended(known, settings("a"), nowMs).filters, known.filters);
  const changed = intended(known, wantedSubscriptions({ topics: ["a"], qos: 2 }, undefined), nowMs);
  assert.deepEqual(changed.filters, [{ filter: "a", qos: 2 }]);
  assert.equal(changed.grantedMs, undefined);
});

Deno.test("mqtt subscriptions: filters taken out are unsubscribed until it was confirmed, and for a day after", () => {
  const plan = (known: KnownSubscriptions, atMs: number, sessionPresent = true) =>
    names(planSubscriptions(known, { version: 5, sessionPresent, nowMs: atMs }))[1];
  let known = intended(settled(["a", "b"]), settings("b"), nowMs);
  assert.deepEqual(plan(known, nowMs), ["a"]);
  assert.deepEqual(plan(known, nowMs, false), [], "a new session has nothing to take out");
  const later = nowMs + 10 * resubscribeMs;
  known = intended(known, settings("b"), later);
  assert.deepEqual(plan(known, later), ["a"], "nobody has confirmed it yet");
  known = unsubscribed(known, later);
  known = intended(known, settings("b"), later + resubscribeMs - 1);
  assert.deepEqual(plan(known, later), ["a"], "a killed broker may restore an older database");
  known = intended(known, settings("b"), later + resubscribeMs);
  assert.deepEqual(plan(known, later), []);
});

Deno.test("mqtt subscriptions: a filter that comes back is subscribed, not unsubscribed", () => {
  let known = intended(settled(["a", "b"]), settings("b"), nowMs);
  known = intended(known, settings("a", "b"), nowMs);
  assert.deepEqual(names(planSubscriptions(known, { version: 5, sessionPresent: true, nowMs })), [
    ["a", "b"],
    [],
  ]);
});

Deno.test("mqtt subscriptions: what is lent for one connection is taken out on the next, by an agent of an earlier version too", () => {
  const before = settled(["a"], nowMs - 10 * resubscribeMs);
  let known = lent(unsubscribed(before, nowMs), ["$SYS/x", "$SYS/y"]);
  known = lent(known, ["$SYS/y", "$SYS/x"]);
  for (const version of [4, 5] as const) {
    const next = intended(known, settings("a"), nowMs + 100 * resubscribeMs); // all that an earlier version knows
    const plan = planSubscriptions(next, { version, sessionPresent: true, nowMs });
    assert.deepEqual(plan.unsubscribe, ["$SYS/y", "$SYS/x"]);
    assert.deepEqual(names(plan)[0], version === 5 ? ["a"] : [], "the others are as settled as they were");
  }
  const users = intended(known, settings("a", "$SYS/x"), nowMs);
  const plan = planSubscriptions(users, { version: 5, sessionPresent: true, nowMs });
  assert.deepEqual(names(plan), [["a", "$SYS/x"], ["$SYS/y"]], "a filter that the user wants now stays");
});
