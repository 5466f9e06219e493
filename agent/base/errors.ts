/**
 * The few classes of errors of the agent. An error says which operation failed, where, why, and what to do next;
 * whether trying again can help is a property. Only `main.ts` prints errors and ends the process.
 */

/** What every error of the agent tells. `retryable` defaults to false. */
export interface ErrorFacts {
  /** What was being done, as a verb phrase: "append to segment". */
  operation: string;
  /** Where: a path, a URL without credentials, `agent.yaml:12:3`. */
  place: string;
  /** Why it failed, in one sentence without a full stop. */
  cause: string;
  /** What the reader can do about it, in one sentence without a full stop. */
  remedy?: string;
  /** Whether the same operation may succeed later without anybody doing anything. */
  retryable?: boolean;
  /** The error underneath, kept for `--debug`; never contains a secret. */
  from?: unknown;
}

/** An operation of the agent failed. The parent of the other classes. */
export class OperationError extends Error {
  readonly operation: string;
  readonly place: string;
  readonly reason: string;
  readonly remedy: string | undefined;
  readonly retryable: boolean;

  constructor(facts: ErrorFacts) {
    const remedy = facts.remedy === undefined ? "" : `; ${facts.remedy}`;
    super(`${facts.operation}: ${facts.place}: ${facts.cause}${remedy}`, { cause: facts.from });
    this.name = new.target.name;
    this.operation = facts.operation;
    this.place = facts.place;
    this.reason = facts.cause;
    this.remedy = facts.remedy;
    this.retryable = facts.retryable ?? false;
  }
}

/** The configuration or the command line is wrong: exit code 2. */
export class ConfigError extends OperationError {}

/** The disk refused for want of room (ENOSPC, EDQUOT) or the spool's own limit is reached: reception pauses. */
export class DiskFullError extends OperationError {}

/** `fdatasync` failed: what the page cache holds is unknown, so the process must end (exit code 1). */
export class LostSyncError extends OperationError {}

/** Whether trying the same again later may help. Unknown errors are not retryable. */
export function isRetryable(error: unknown): boolean {
  return error instanceof OperationError && error.retryable;
}

/** The system's error code (`ENOSPC`, `EACCES`, …), or undefined. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** The text of anything thrown, in one line and at most 500 characters. */
export function reasonOf(error: unknown): string {
  const text = error instanceof OperationError
    ? error.reason
    : error instanceof Error
    ? error.message
    : String(error);
  return text.replace(/\s+/g, " ").trim().slice(0, 500);
}
