/** Exponential backoff with jitter, for ever: the outputs' and the broker's. */
import { backoffFirstMs, backoffMaxMs } from "../limits.ts";

/** Delays of 1, 2, 4 … 60 s, each shortened by up to half at random so that many agents don't come at once. */
export class Backoff {
  #failures = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /** How long to wait after one more failure. */
  nextMs(): number {
    const fullMs = Math.min(backoffFirstMs * 2 ** this.#failures, backoffMaxMs);
    this.#failures++;
    return Math.round(fullMs * (1 - this.random() / 2));
  }

  /** After a success: the next failure waits the first delay again. */
  reset(): void {
    this.#failures = 0;
  }
}
