import assert from "node:assert/strict";
import { Rate } from "../../agent/base/rate.ts";
import { FakeClock } from "../fakes/fake_clock.ts";

Deno.test("rate: a steady stream has its rate from the first seconds on, and none a minute after it ended", async () => {
  const clock = new FakeClock();
  const rate = new Rate(clock);
  for (let s = 0; s < 200; s++) {
    rate.add(7);
    await clock.advance(1_000);
    assert.ok(Math.abs(rate.perS() - 7) < 0.7, `${rate.perS()} after ${s + 1} s`);
  }
  await clock.advance(30_000);
  assert.ok(rate.perS() > 2 && rate.perS() < 5, `${rate.perS()} half a minute later`);
  await clock.advance(31_000);
  assert.equal(rate.perS(), 0);
});

Deno.test("rate: a step of the wall clock and a long silence change nothing", async () => {
  const clock = new FakeClock();
  const rate = new Rate(clock);
  rate.add(60);
  clock.stepWall(0);
  await clock.advance(30_000);
  assert.equal(rate.perS(), 2);
  await clock.advance(86_400_000);
  assert.equal(rate.perS(), 0);
  rate.add(6);
  assert.ok(rate.perS() > 0 && rate.perS() < 1);
});
