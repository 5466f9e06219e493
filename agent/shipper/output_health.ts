/** How one output is: the state that `status` shows, what went wrong last, and what wants a person's attention. */
import { type Alarm, Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { Rate } from "../base/rate.ts";
import { unauthorizedQuietMs } from "../limits.ts";
import type { OutputStatus } from "../status/snapshot.ts";

/** Why nothing goes on at present. */
export interface Trouble {
  /** Somebody must do something: alarm at once. Else it may pass by itself: alarm when it lasts. */
  paused: boolean;
  reason: string;
  remedy?: string;
  /** How long until the next attempt. */
  nextTryInMs: number;
}

export interface OutputHealthOptions {
  /** Of the output. */
  name: string;
  clock: Clock;
  log: Log;
  /** Called after each change of the state. */
  onChange: () => void;
}

type State = OutputStatus["state"];

/** The part of the output's status that is known here. */
export type HealthStatus = Pick<
  OutputStatus,
  "state" | "reason" | "sinceMs" | "nextTryMs" | "lastConfirmedMs" | "lastError" | "ratePerS"
>;

export class OutputHealth {
  #state: State = "starting";
  #reason: string | undefined;
  #remedy: string | undefined;
  #sinceMs: number;
  #nextTryMs: number | undefined;
  #failingSinceBootMs: number | undefined;
  #lastConfirmedMs: number | undefined;
  #lastError: { atMs: number; text: string } | undefined;
  readonly #alarms: Alarms;
  readonly #rate: Rate;

  constructor(private readonly options: OutputHealthOptions) {
    this.#alarms = new Alarms(options.clock);
    this.#rate = new Rate(options.clock);
    this.#sinceMs = options.clock.wallMs();
  }

  /** Whether readings may go out without anything else happening first. */
  get mayProgress(): boolean {
    return this.#state === "starting" || this.#state === "well";
  }

  confirmed(readings: number): void {
    if (readings === 0) return;
    this.#rate.add(readings);
    this.#lastConfirmedMs = this.options.clock.wallMs();
  }

  /** All is as it should be. */
  well(): void {
    const { log, name } = this.options;
    if (this.#failingSinceBootMs !== undefined) {
      log.notice("the output takes readings again", { output: name });
    }
    this.#failingSinceBootMs = undefined;
    for (const code of ["output_paused", "output_failing"]) this.#alarms.clear(code);
    this.#enter("well", undefined);
  }

  trouble(trouble: Trouble): void {
    const { clock, log, name } = this.options;
    const { paused, reason, remedy, nextTryInMs } = trouble;
    this.#failingSinceBootMs ??= clock.bootMs();
    const fields = { output: name, reason, ...(remedy === undefined ? {} : { remedy }) };
    const state = paused ? "paused" : "retrying";
    if (state !== this.#state || reason !== this.#reason) {
      if (paused) log.warning("the output is paused; readings wait on disk", fields);
      else log.notice("the output does not take readings; trying again", fields);
    }
    this.#remedy = remedy;
    this.#lastError = { atMs: clock.wallMs(), text: reason };
    this.#enter(state, reason, clock.wallMs() + nextTryInMs);
    this.#raise();
  }

  waitsForClock(): void {
    this.#failingSinceBootMs = undefined;
    this.#alarms.clear("output_failing");
    this.#enter("waiting for clock", "the clock of this machine is not synchronised yet");
  }

  status(): HealthStatus {
    return {
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      sinceMs: this.#sinceMs,
      ...(this.#nextTryMs === undefined ? {} : { nextTryMs: this.#nextTryMs }),
      ...(this.#lastConfirmedMs === undefined ? {} : { lastConfirmedMs: this.#lastConfirmedMs }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      ratePerS: this.#rate.perS(),
    };
  }

  /** Raises an alarm, or clears it with `text` undefined. Returns whether it is new. */
  alarm(code: string, text: string | undefined, remedy?: string): boolean {
    if (text !== undefined) return this.#alarms.raise(code, text, remedy);
    this.#alarms.clear(code);
    return false;
  }

  /** What wants attention; `dead`: how many dead letters there are. */
  alarms(dead: number): Alarm[] {
    this.#raise();
    if (dead === 0) this.#alarms.clear("dead_letters");
    else {
      const text = `${this.options.name} has refused ${dead} ${
        dead === 1 ? "reading" : "readings"
      } for their own fault`;
      this.#alarms.raise(
        "dead_letters",
        text,
        "look at them with `dead ls`, then `dead replay` or `dead drop`",
      );
    }
    return this.#alarms.list();
  }

  /** What lasts longer than servers take to start is an alarm; a pause is one at once. */
  #raise(): void {
    const sinceMs = this.#failingSinceBootMs;
    if (sinceMs === undefined || (this.#state !== "paused" && this.#state !== "retrying")) return;
    const { clock, log, name } = this.options;
    const code = this.#state === "paused" ? "output_paused" : "output_failing";
    if (this.#state === "retrying") {
      this.#alarms.clear("output_paused");
      if (clock.bootMs() - sinceMs < unauthorizedQuietMs) return;
    }
    const text = `${name}: ${this.#reason}`;
    const isNew = this.#alarms.raise(code, text, this.#remedy);
    if (isNew && code === "output_failing") {
      log.warning("the output has not taken readings for a minute", { output: name, reason: this.#reason });
    }
  }

  #enter(state: State, reason: string | undefined, nextTryMs?: number): void {
    if (state !== this.#state) this.#sinceMs = this.options.clock.wallMs();
    this.#state = state;
    this.#reason = reason;
    this.#nextTryMs = nextTryMs;
    this.options.onChange();
  }
}
