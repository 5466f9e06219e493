/** Waits; ends early without an error when `signal` aborts. */
export function pause(timeMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, timeMs);
    signal.addEventListener("abort", end);
  });
}
