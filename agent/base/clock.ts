/** The seam to time: wall clock, boot clock, whether the wall clock can be believed, and waiting. */

/** What is known of the wall clock: kept in step by time synchronisation, not, or nobody can say. */
export type Synchronised = "yes" | "no" | "unknown";

export interface Clock {
  /** Milliseconds since 1970 by the wall clock; may be wrong, may step. */
  wallMs(): number;
  /** Milliseconds since boot, suspended time included (CLOCK_BOOTTIME); never steps. */
  bootMs(): number;
  /** Identity of this boot: 16 bytes as 32 lower-case hex digits (/proc/sys/kernel/random/boot_id without dashes). */
  readonly bootId: string;
  /** The last known state; asking is cheap (refreshed in the background every few seconds). */
  synchronised(): Synchronised;
  /** Waits; ends early without an error when `signal` aborts. */
  sleep(timeMs: number, signal?: AbortSignal): Promise<void>;
}
