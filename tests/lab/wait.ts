/** Waiting for something to become true, with a message that helps when it does not. */

/** Ends after `ms`. */
export function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/**
 * Asks `predicate` every `everyMs` until it answers with something truthy, and returns that. Throws after `timeoutMs`:
 * what was waited for, how long, the last answer or error, and what `explain` adds (a log, a status).
 */
export async function waitUntil<T>(
  predicate: () => T | Promise<T>,
  timeoutMs: number,
  what: string,
  options: { everyMs?: number; explain?: () => string | Promise<string> } = {},
): Promise<T & NonNullable<unknown>> {
  const startMs = performance.now();
  let last: unknown;
  while (true) {
    try {
      const answer = await predicate();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() - startMs > timeoutMs) break;
    await delay(options.everyMs ?? 50);
  }
  const shown = last instanceof Error
    ? `${last.name}: ${last.message}`
    : JSON.stringify(last) ?? String(last);
  const more = options.explain === undefined ? "" : `\n${await options.explain()}`;
  throw new Error(`waited ${timeoutMs} ms in vain for: ${what}\nlast answer: ${shown.slice(0, 2000)}${more}`);
}
