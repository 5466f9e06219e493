/** Whether the wall clock is good enough for what gets a date: a certificate that starts in the future is of no use. */
import type { Synchronised } from "../../agent/base/clock.ts";
import { OperationError } from "../../agent/base/errors.ts";
import { SystemClock } from "../../agent/base/system_clock.ts";

/** This program was not there before. A Raspberry Pi without a battery starts years earlier than that. */
const leastMs = Date.UTC(2026, 0, 1);
/** A clock that says more without having been set by anybody is wrong rather than right. */
const unsetMaxMs = Date.UTC(2046, 0, 1);

/** Why a time can't be right, as the rest of a sentence; or undefined. */
export function clockFault(now: Date, synchronised: Synchronised): string | undefined {
  const ms = now.getTime();
  if (!Number.isFinite(ms) || ms < leastMs) return `it shows ${dateOf(now)}, before this program was made`;
  if (ms > unsetMaxMs && synchronised !== "yes") return `it shows ${dateOf(now)} and is not synchronised`;
  return undefined;
}

/** Throws OperationError when certificates that are made now would be wrong. */
export async function assertPlausibleClock(operation: string, now: Date = new Date()): Promise<void> {
  const clock = new SystemClock();
  const fault = clockFault(now, clock.synchronised());
  await clock.close();
  if (fault === undefined) return;
  throw new OperationError({
    ...{ operation, place: "the clock of this machine", cause: fault },
    remedy:
      "let it be set (timedatectl shows whether it is synchronised), or set it: sudo date -s '2026-12-31 12:00'",
  });
}

function dateOf(now: Date): string {
  return Number.isFinite(now.getTime()) ? now.toISOString().slice(0, 10) : "no time";
}
