import assert from "node:assert/strict";
import fc from "fast-check";
import {
  freeMarks,
  judge,
  reasonText,
  roomBytes,
  type Shortage,
  sizeMarks,
} from "../../agent/cleaner/room.ts";
import { gateBufferBytes, recordBytesMax, segmentBytes } from "../../agent/limits.ts";
import type { SpoolSettings } from "../../agent/settings.ts";

const MiB = 1024 * 1024;
const settings: SpoolSettings = {
  dir: "/spool",
  maxSizeBytes: 2048 * MiB,
  minFreeBytes: 512 * MiB,
  syncWindowMs: 20,
  whenFull: "block",
};
const plenty = 100 * 1024 * MiB;
const measure = (sizeBytes: number, freeBytes: number | undefined, sealed = true) => ({
  sizeBytes,
  freeBytes,
  sealed: () => sealed,
});

Deno.test("cleaner: one more batch never passes max_size", () => {
  const { fullBytes } = sizeMarks(settings);
  assert.ok(fullBytes + gateBufferBytes + recordBytesMax <= settings.maxSizeBytes);
  assert.equal(judge(settings, measure(fullBytes - 1, plenty), undefined), undefined);
  assert.equal(judge(settings, measure(fullBytes, plenty), undefined), "max_size");
});

Deno.test("cleaner: a full spool stays full until some percent of it are free again", () => {
  const { fullBytes, roomBytes } = sizeMarks(settings);
  assert.ok(fullBytes - roomBytes >= 8 * MiB);
  assert.equal(judge(settings, measure(fullBytes - 8 * MiB, plenty), "max_size"), "max_size");
  assert.equal(judge(settings, measure(roomBytes, plenty), "max_size"), undefined);
});

Deno.test("cleaner: with nothing left to remove a spool below its mark is not full", () => {
  const small = { ...settings, maxSizeBytes: 16 * MiB };
  const { fullBytes } = sizeMarks(small);
  assert.ok(fullBytes > segmentBytes, "else the open segment alone could fill the smallest spool for ever");
  assert.equal(judge(small, measure(fullBytes - 1, plenty, false), "max_size"), undefined);
});

Deno.test("cleaner: below min_free reception stops, and goes on only well above it", () => {
  const { lowBytes, roomBytes } = freeMarks(settings);
  assert.equal(judge(settings, measure(0, lowBytes), undefined), undefined);
  assert.equal(judge(settings, measure(0, lowBytes - 1), undefined), "min_free");
  assert.equal(judge(settings, measure(0, roomBytes - 1), "min_free"), "min_free");
  assert.equal(judge(settings, measure(0, roomBytes), "min_free"), undefined);
});

Deno.test("cleaner: a disk that does not say how much is free stops nothing", () => {
  assert.equal(judge(settings, measure(0, undefined), undefined), undefined);
});

Deno.test("cleaner: min_free 0 leaves the disk to its own limit", () => {
  const none = { ...settings, minFreeBytes: 0 };
  assert.equal(judge(none, measure(0, 0), undefined), undefined);
  assert.equal(judge(none, measure(0, 0), "min_free"), undefined);
});

Deno.test("cleaner: the reason is the same text each time, and names key and size", () => {
  assert.equal(reasonText(settings, "max_size"), "max_size of 2 GiB is reached");
  assert.equal(
    reasonText(settings, "min_free"),
    "less than min_free of 512 MiB is left on the disk",
  );
});

Deno.test("cleaner: judgement and room agree, and what was short comes back only by growing", () => {
  const size = fc.nat({ max: 4096 * MiB });
  const earlier = fc.constantFrom<Shortage | undefined>(undefined, "max_size", "min_free");
  const minFreeBytes = fc.constantFrom(0, 1, 64 * MiB, 512 * MiB);
  const maxSizeBytes = fc.integer({ min: 16 * MiB, max: 8192 * MiB });
  fc.assert(fc.property(size, size, fc.boolean(), earlier, minFreeBytes, maxSizeBytes, (...some) => {
    const [sizeBytes, freeBytes, sealed, before, minFree, maxSize] = some;
    const those = { ...settings, minFreeBytes: minFree, maxSizeBytes: maxSize };
    const now = measure(sizeBytes, freeBytes, sealed);
    const fresh = judge(those, now, undefined);
    if (roomBytes(those, now) > 0) assert.equal(fresh, undefined);
    // short without a history means short with any
    if (fresh !== undefined) assert.equal(judge(those, now, before), fresh);
    // "room again" is stable: judged once more nothing changes
    const after = judge(those, now, before);
    assert.equal(judge(those, now, after), after);
  }));
});
