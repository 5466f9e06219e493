/** What the shipper asks of an output. Every output passes the same contract suite. */
import type { Alarm } from "../base/alarms.ts";
import type { Reading } from "../spool/spool_types.ts";

/** What `@timestamp` of a reading rests on (event.clock). */
export type ClockMark = "payload" | "unsynced" | "retained" | "queued" | "corrected" | "synced";

/** A reading on its way out: everything that its id, time and target depend on is decided and durable. */
export interface Outgoing {
  reading: Reading;
  /** Arrival in ms since 1970, after correction by the boot's clock offset. */
  arrivalMs: number;
  /** Mark of the arrival; `payload` is found out by the output's encoder, which reads the payload. */
  mark: Exclude<ClockMark, "payload">;
  /** When the agent was last connected, for queued readings. */
  startMs: number | undefined;
  /** The index pattern or data stream in force for this sequence (a decision that was synced before use). */
  target: string;
}

/** What became of one reading. */
export type Verdict =
  | { kind: "confirmed" }
  /** Not now; send this one again after the backoff. `counts`: a refusal that counts towards itemRefusalsMax. */
  | { kind: "retry"; reason: string; counts: boolean; status?: number }
  /** Its own fault: goes to the dead letters. `status`: the number that the output gave, 0 when it gave none. */
  | { kind: "dead"; reason: string; status: number }
  /** Nobody's own fault and not passing: keep, alarm, try again. `counts` as above. */
  | { kind: "pause"; reason: string; counts?: boolean; status?: number };

/**
 * One destination. `send` answers with one verdict per reading, in order, or throws an OperationError when the request
 * as a whole failed. With `retryable` (connection, timeout, 429, 5xx, 401) it may pass by itself: the shipper tries
 * again and raises an alarm when it lasts; without, somebody must do something: it raises the alarm at once and tries
 * again all the same. The error's `reason` and `remedy` are what `status` shows.
 * It never retries by itself, except on another of its URLs.
 */
export interface Output {
  readonly name: string;
  readonly type: string;
  /** Where readings go, without credentials, for status and logs. */
  readonly place: string;
  /** After a small batch the shipper waits so long for more readings; undefined: bulkGatherMs. */
  readonly gatherMs?: number;
  /** Called before the first send and after a reconnect until it succeeds once: template, version. Warnings via log. */
  prepare(signal: AbortSignal): Promise<void>;
  /** Sends the batch (at most bulkDocumentsMax readings), in several requests when it is too large for one. */
  send(batch: Outgoing[], signal: AbortSignal): Promise<Verdict[]>;
  /** What `prepare` found that wants attention and does not keep readings from arriving: an old server, a template. */
  alarms(): Alarm[];
  /** Checks for `check`: each line well or with what to do. */
  examine(signal: AbortSignal): Promise<Finding[]>;
  close(): Promise<void>;
}

/** One line of `check`. */
export interface Finding {
  level: "ok" | "warning" | "failure";
  what: string;
  /** What to do about it; undefined when ok. */
  remedy?: string;
}
