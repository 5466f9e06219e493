/** How many tests of a stage passed and failed, read from what it printed. */
export interface Tally {
  passed: number;
  failed: number;
}

/**
 * Reads the last summary of `deno test` (`ok | 3 passed | 0 failed`) or of a harness of our own (`3 passed, 0 failed`).
 * Ignored tests count as failed: nothing is skipped here. A summary of no tests at all is a failure. Without a summary
 * the stage is one test, judged by its exit code; a bad exit code is never without a failure.
 */
export function tally(stdout: string, exitCode: number): Tally {
  const pattern =
    /(\d+) passed(?: \(\d+ steps?\))?(?: \||,) (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored)?/g;
  const last = [...stdout.matchAll(pattern)].at(-1);
  const result = last === undefined
    ? { passed: exitCode === 0 ? 1 : 0, failed: 0 }
    : { passed: Number(last[1]), failed: Number(last[2]) + Number(last[3] ?? 0) };
  const empty = result.passed + result.failed === 0;
  if ((exitCode !== 0 || empty) && result.failed === 0) result.failed = 1;
  return result;
}
