/** How much per second, over the last minute. */
import type { Clock } from "./clock.ts";

const slotMs = 5_000;
const slots = 12;

/** Counts in slots of 5 s by the boot clock, so that a step of the wall clock changes nothing. */
export class Rate {
  readonly #counts = new Array<number>(slots).fill(0);
  readonly #startMs: number;
  #slot: number;

  constructor(private readonly clock: Pick<Clock, "bootMs">) {
    this.#startMs = clock.bootMs();
    this.#slot = Math.floor(this.#startMs / slotMs);
  }

  add(amount: number): void {
    this.#advance();
    this.#counts[this.#slot % slots]! += amount;
  }

  /** Mean of the last minute, or of the time since the start when that is shorter. */
  perS(): number {
    this.#advance();
    const nowMs = this.clock.bootMs();
    const windowMs = Math.min(nowMs - this.#startMs, (slots - 1) * slotMs + nowMs % slotMs);
    const sum = this.#counts.reduce((total, count) => total + count, 0);
    return sum * 1_000 / Math.max(windowMs, 1_000);
  }

  #advance(): void {
    const now = Math.floor(this.clock.bootMs() / slotMs);
    for (let slot = Math.max(this.#slot + 1, now - slots + 1); slot <= now; slot++) {
      this.#counts[slot % slots] = 0;
    }
    this.#slot = Math.max(this.#slot, now);
  }
}
