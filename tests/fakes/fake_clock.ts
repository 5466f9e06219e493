/** A clock that a test sets: it stands still until `advance`, and sleepers wake when their time has come. */
import type { Clock, Synchronised } from "../../agent/base/clock.ts";

interface Sleeper {
  atMs: number;
  wake: () => void;
}

export class FakeClock implements Clock {
  bootId = "0123456789abcdef0123456789abcdef";
  state: Synchronised = "yes";
  #wallMs: number;
  #bootMs: number;
  #sleepers: Sleeper[] = [];

  constructor(wallMs = Date.UTC(2026, 0, 2, 3, 4, 5), bootMs = 3_600_000) {
    this.#wallMs = wallMs;
    this.#bootMs = bootMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }
  bootMs(): number {
    return this.#bootMs;
  }
  synchronised(): Synchronised {
    return this.state;
  }

  /** Those that wait for their time. */
  get sleepers(): number {
    return this.#sleepers.length;
  }

  /** Steps the wall clock alone, as time synchronisation or a person does. */
  stepWall(toMs: number): void {
    this.#wallMs = toMs;
  }

  /** Lets time pass on both clocks, waking sleepers in order; lets other work run between them. */
  async advance(timeMs: number): Promise<void> {
    const endMs = this.#bootMs + timeMs;
    while (true) {
      await this.settle();
      const next = this.#sleepers.sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#move(Math.max(next.atMs, this.#bootMs));
      this.#sleepers.shift();
      next.wake();
    }
    this.#move(endMs);
    await this.settle();
  }

  /** Lets promises and immediate callbacks run that are due now. */
  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) await new Promise((done) => setTimeout(done, 0));
  }

  /** A reboot: the boot clock starts again, with another boot id. */
  reboot(bootId: string, wallMs: number): void {
    this.bootId = bootId;
    this.#bootMs = 10_000;
    this.#wallMs = wallMs;
  }

  sleep(timeMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((done) => {
      if (signal?.aborted) return done();
      const sleeper = { atMs: this.#bootMs + Math.max(timeMs, 0), wake: done };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        done();
      }, { once: true });
    });
  }

  #move(toBootMs: number): void {
    this.#wallMs += toBootMs - this.#bootMs;
    this.#bootMs = toBootMs;
  }
}
