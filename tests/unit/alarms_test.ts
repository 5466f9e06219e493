import assert from "node:assert/strict";
import { Alarms } from "../../agent/base/alarms.ts";
import { FakeClock } from "../fakes/fake_clock.ts";

Deno.test("alarms: one that is up keeps its time, changes its text, and is new only once", async () => {
  const clock = new FakeClock();
  const alarms = new Alarms(clock);
  const sinceMs = clock.wallMs();
  assert.equal(alarms.raise("filter_refused", "a refused", "grant it"), true);
  await clock.advance(5_000);
  assert.equal(alarms.raise("filter_refused", "b refused"), false);
  assert.deepEqual(alarms.list(), [{ code: "filter_refused", text: "b refused", sinceMs }]);
  assert.equal(alarms.clear("filter_refused"), true);
  assert.equal(alarms.clear("filter_refused"), false);
  assert.deepEqual(alarms.list(), []);
  assert.equal(alarms.raise("filter_refused", "again"), true);
  assert.equal(alarms.list()[0]!.sinceMs, sinceMs + 5_000);
});
