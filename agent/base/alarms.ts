/** What wants a person's attention, by stable code: raised while it lasts, cleared when it is over. */
import type { Clock } from "./clock.ts";

export interface Alarm {
  /** Stable name for scripts: "filter_refused". */
  code: string;
  text: string;
  /** What a person can do about it. */
  remedy?: string;
  sinceMs: number;
}

/** The alarms of one stage. Raising one that is up already changes its text and keeps its time. */
export class Alarms {
  readonly #active = new Map<string, Alarm>();

  constructor(private readonly clock: Pick<Clock, "wallMs">) {}

  /** Returns whether the alarm is new, so that the caller can log it once. */
  raise(code: string, text: string, remedy?: string): boolean {
    const earlier = this.#active.get(code);
    this.#active.set(code, {
      code,
      text,
      ...(remedy === undefined ? {} : { remedy }),
      sinceMs: earlier?.sinceMs ?? this.clock.wallMs(),
    });
    return earlier === undefined;
  }

  /** Returns whether it was up. */
  clear(code: string): boolean {
    return this.#active.delete(code);
  }

  list(): Alarm[] {
    return [...this.#active.values()];
  }
}
