/** Waiting for something to become true, with a message that helps when it does not. */

/** Ends after `ms`. */
export function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Deadlines end what hangs; on a busy machine what works may take some times longer. */
const patience = 3;

/**
 * Asks `predicate` every `everyMs` until it answers with something truthy, and returns that. Throws after three times `timeoutMs`:
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
    if (performance.now() - startMs > patience * timeoutMs) break;
    await delay(options.everyMs ?? 50);
  }
  const shown = last instanceof Error
    ? `${last.name}: ${last.message}`
    : JSON.stringify(last) ?? String(last);
  const more = options.explain === undefined ? "" : `\n${await options.explain()}`;
  throw new Error(
    `waited ${patience * timeoutMs} ms in vain for: ${what}\nlast answer: ${shown.slice(0, 2000)}${more}`,
  );
}
