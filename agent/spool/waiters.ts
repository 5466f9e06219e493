/** Those who wait until the stream is longer. */
interface Waiter {
  sequence: number;
  wake: () => void;
}

export class Waiters {
  #waiters: Waiter[] = [];

  /** Resolves when `wake` is called with more than `sequence`, or when `signal` aborts. */
  wait(sequence: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((done) => {
      const onAbort = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        done();
      };
      const wake = () => {
        signal.removeEventListener("abort", onAbort);
        done();
      };
      const waiter = { sequence, wake };
      this.#waiters.push(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  wake(nextSequence: number): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter((waiter) => waiter.sequence < nextSequence);
    this.#waiters = this.#waiters.filter((waiter) => waiter.sequence >= nextSequence);
    for (const waiter of ready) waiter.wake();
  }
}
