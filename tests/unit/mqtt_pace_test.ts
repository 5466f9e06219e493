import assert from "node:assert/strict";
import { largeBatchBytes } from "../../agent/limits.ts";
import { Pace } from "../../agent/subscriber/pace.ts";

const messageBytes = 100;

interface Phase {
  /** Messages that are published per ms. */
  perMs: number;
  /** Unacknowledged messages that the broker sends at most. */
  window: number;
  durationMs: number;
}

/** Broker and agent on one clock, phase after phase; a batch takes `batchMs`. Returns what each phase took. */
function simulate(batchMs: number, ...phases: Phase[]): { batches: number; messages: number }[] {
  return simulateFrom(0, batchMs, ...phases);
}

/** `packets`: what comes before the first message, CONNACK, SUBACK and the like. */
function simulateFrom(packets: number, batchMs: number, ...phases: Phase[]) {
  let nowMs = 0;
  const pace = new Pace(20, () => nowMs);
  for (let left = packets; left > 0; left--) nowMs += pace.pauseMs(messageBytes, 0, 0);
  return phases.map(({ perMs, window, durationMs }) => {
    const startMs = nowMs;
    const figures = { batches: 0, messages: 0 };
    while (nowMs < startMs + durationMs) {
      const published = () => (nowMs - startMs) * perMs - figures.messages;
      const waitedMs = Math.max(0, (1 - published()) / perMs);
      nowMs += waitedMs;
      const count = Math.max(1, Math.floor(Math.min(published(), window)));
      figures.messages += count;
      figures.batches++;
      nowMs += batchMs;
      nowMs += pace.pauseMs(count * messageBytes, count, waitedMs);
    }
    return figures;
  });
}

const trickle: Phase = { perMs: 1, window: 1e9, durationMs: 10_000 };
const flood: Phase = { perMs: 1_000, window: 20, durationMs: 10_000 };

Deno.test("mqtt pace: what trickles in is gathered, so that one sync serves many", () => {
  const [figures] = simulate(0.3, trickle);
  assert.ok(figures!.messages > 9_900);
  assert.ok(figures!.batches < 600, `${figures!.batches} batches instead of 10,000 without pauses`);
});

Deno.test("mqtt pace: what pours in is gathered too, as long as the pauses hold nothing up", () => {
  for (const perMs of [10, 30, 100]) {
    const [figures] = simulate(0.7, { ...trickle, perMs });
    assert.ok(figures!.messages > 0.99 * 10_000 * perMs, `${figures!.messages} of ${10_000 * perMs}`);
    assert.ok(figures!.batches < 1_200, `${figures!.batches} batches at ${perMs} a ms`);
  }
});

Deno.test("mqtt pace: what trickles in after silence is gathered from the start", () => {
  const silence: Phase = { perMs: 1 / 3_000, window: 1e9, durationMs: 10_000 };
  const [, figures] = simulate(0.3, silence, { ...trickle, durationMs: 1_000 });
  assert.ok(figures!.batches < 150, `${figures!.batches} batches for ${figures!.messages} messages`);
});

Deno.test("mqtt pace: what trickles in is gathered from the connection's start, which brings other packets", () => {
  const [figures] = simulateFrom(6, 0.3, { ...trickle, durationMs: 1_000 });
  assert.ok(figures!.batches < 150, `${figures!.batches} batches for ${figures!.messages} messages`);
});

Deno.test("mqtt pace: a broker that sends 20 unacknowledged messages is not held to 20 a pause", () => {
  const [figures] = simulate(0.3, flood);
  const most = 10_000 / 0.3 * 20;
  assert.ok(figures!.messages > 0.9 * most, `${figures!.messages} of ${most}`);
});

Deno.test("mqtt pace: a broker that sends one message at a time gets its acknowledgements at once", () => {
  const [figures] = simulate(0.3, { ...flood, window: 1 });
  assert.ok(figures!.messages > 0.9 * 10_000 / 0.3, `${figures!.messages}`);
});

Deno.test("mqtt pace: a slow disk does not hide that the pauses cost throughput", () => {
  const [figures] = simulate(10, flood);
  assert.ok(figures!.messages > 0.85 * 10_000 / 10 * 20, `${figures!.messages}`);
});

Deno.test("mqtt pace: after a flood what trickles in is gathered again, and a second flood is noticed", () => {
  const [, gathered, again] = simulate(0.3, flood, trickle, flood);
  assert.ok(gathered!.batches < 1_200, `${gathered!.batches}`);
  assert.ok(again!.messages > 0.85 * 10_000 / 0.3 * 20, `${again!.messages}`);
});

Deno.test("mqtt pace: large batches are followed by the next one at once, and no window means no pause", () => {
  let nowMs = 0;
  const pace = new Pace(20, () => nowMs += 1);
  for (let i = 0; i < 100; i++) assert.equal(pace.pauseMs(largeBatchBytes, 300, 0), 0);
  assert.equal(new Pace(20, () => nowMs += 1).pauseMs(largeBatchBytes - 1, 300, 0), 20);
  assert.equal(new Pace(0, () => nowMs += 1).pauseMs(100, 1, 0), 0);
});
