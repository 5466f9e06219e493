/**
 * A real clock that runs faster, for tests with real sockets: what waits a minute waits a second. Wall and boot clock run
 * alike, so durations agree with sleeps.
 */
import type { Clock, Synchronised } from "../../agent/base/clock.ts";

export class HurriedClock implements Clock {
  readonly bootId = "00112233445566778899aabbccddeeff";
  state: Synchronised = "yes";
  readonly #startMs = performance.now();
  readonly #wallStartMs = Date.now();

  constructor(private readonly factor: number) {}

  bootMs(): number {
    return 1_000_000 + (performance.now() - this.#startMs) * this.factor;
  }
  wallMs(): number {
    return Math.round(this.#wallStartMs + (performance.now() - this.#startMs) * this.factor);
  }
  synchronised(): Synchronised {
    return this.state;
  }
  sleep(timeMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((done) => {
      if (signal?.aborted) return done();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        done();
      };
      const timer = setTimeout(end, timeMs / this.factor);
      signal?.addEventListener("abort", end);
    });
  }
}
