/** What the running agent answers to its socket. Implemented by the pipeline, served by `socket_server.ts`. */
import type { DeadLetter } from "../shipper/dead_letter.ts";
import type { Reading } from "../spool/spool_types.ts";
import type { Snapshot } from "./snapshot.ts";

/** What became of dead letters that were sent again. */
export interface ReplayResult {
  replayed: number;
  /** Refused again; they stay, with the new reason. */
  refused: number;
  /** The first reason of a refusal, or why the output could not be asked at all. */
  reason?: string;
}

export interface TailBatch {
  readings: Reading[];
  /** Readings of any topic that were passed over before these, because the reader was too slow. */
  skipped: number;
}

export interface AgentApi {
  snapshot(): Promise<Snapshot>;
  /**
   * Readings from now on, as they become durable, until `signal` aborts: those whose topic matches one of the MQTT
   * filters (default: `#`). Nothing is held for a slow reader: it misses some. Throws OperationError for a malformed
   * filter.
   */
  tail(signal: AbortSignal, filters?: string[]): AsyncIterable<TailBatch>;
  /** Names of the outputs that have or had dead letters. */
  outputs(): string[];
  /** In order; read one at a time. Throws OperationError for an unknown output. */
  deadLetters(output: string): Iterable<DeadLetter>;
  /** Sends dead letters again: all, or those with these ids. Throws OperationError for an unknown output or id. */
  replayDead(output: string, ids: string[] | undefined, signal: AbortSignal): Promise<ReplayResult>;
  /** Gives dead letters up for good: all, or those with these ids. They count as dropped. Returns how many. */
  dropDead(output: string, ids: string[] | undefined): Promise<number>;
}
