import assert from "node:assert/strict";
import { Backoff } from "../../agent/base/retry.ts";
import { backoffFirstMs, backoffMaxMs } from "../../agent/limits.ts";

Deno.test("backoff: 1, 2, 4 … 60 s and never more, however often it fails", () => {
  const backoff = new Backoff(() => 0);
  assert.deepEqual(Array.from({ length: 8 }, () => backoff.nextMs()), [
    1_000,
    2_000,
    4_000,
    8_000,
    16_000,
    32_000,
    60_000,
    60_000,
  ]);
  for (let i = 0; i < 5_000; i++) assert.equal(backoff.nextMs(), backoffMaxMs);
  backoff.reset();
  assert.equal(backoff.nextMs(), backoffFirstMs);
});

Deno.test("backoff: jitter takes away at most half, so that many agents don't come at once", () => {
  const shortest = new Backoff(() => 0.999999);
  assert.equal(shortest.nextMs(), backoffFirstMs / 2);
  const waits = new Set(Array.from({ length: 20 }, () => new Backoff().nextMs()));
  assert.ok(waits.size > 1);
  for (const waitMs of waits) assert.ok(waitMs >= backoffFirstMs / 2 && waitMs <= backoffFirstMs);
});
