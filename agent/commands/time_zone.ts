/** Times of a zone of the IANA database: written with their offset, and read back. */
import { ConfigError } from "../base/errors.ts";

const minuteMs = 60_000;
const dayMs = 86_400_000;
/** Zones change their offset at whole quarters of an hour, with few exceptions in the past. */
const blockMs = 15 * minuteMs;
const blocksMax = 10_000;
/** Dates reach a little further (ECMA-262, 21.4.1.1), so that there is room for an offset. */
const calendarMs = 8.6e15;

export class TimeZone {
  readonly #format: Intl.DateTimeFormat;
  readonly #utc: boolean;
  /** Offsets of quarters of an hour; `undefined` where it changes within one. Looking one up takes 5 us. */
  readonly #offsets = new Map<number, number | undefined>();

  private constructor(readonly name: string) {
    this.#format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
    this.#utc = this.#format.resolvedOptions().timeZone === "UTC";
  }

  /** Throws a ConfigError for a zone that nobody knows. */
  static named(name: string): TimeZone {
    try {
      return new TimeZone(name);
    } catch (error) {
      const near = Intl.supportedValuesOf("timeZone").filter((zone) =>
        name.length > 2 && zone.toLowerCase().includes(name.toLowerCase().replaceAll(" ", "_"))
      );
      throw new ConfigError({
        operation: "export",
        place: `--time-zone ${JSON.stringify(name)}`,
        cause: "there is no such time zone",
        remedy: near.length > 0 ? `did you mean ${near[0]}?` : "name one as Europe/Madrid or UTC",
        from: error,
      });
    }
  }

  /** RFC 3339 with milliseconds: `2026-03-29T03:00:00.000+02:00`, in UTC with a Z. A time that no calendar has as a number. */
  text(timeMs: number): string {
    if (!(Math.abs(timeMs) < calendarMs)) return String(timeMs);
    if (this.#utc) return new Date(timeMs).toISOString();
    const offsetMin = this.offsetMin(timeMs);
    return `${new Date(timeMs + offsetMin * minuteMs).toISOString().slice(0, -1)}${offsetText(offsetMin)}`;
  }

  /** Minutes ahead of UTC at an instant. An offset with seconds (long ago) is rounded: the instant stays what it is. */
  offsetMin(timeMs: number): number {
    if (this.#utc) return 0;
    const block = Math.floor(timeMs / blockMs);
    if (!this.#offsets.has(block)) {
      if (this.#offsets.size >= blocksMax) this.#offsets.clear();
      const first = this.#lookUp(block * blockMs);
      const last = this.#lookUp((block + 1) * blockMs - 1);
      this.#offsets.set(block, first === last ? first : undefined);
    }
    return this.#offsets.get(block) ?? this.#lookUp(timeMs);
  }

  #lookUp(timeMs: number): number {
    const name = this.#format.formatToParts(timeMs).at(-1)!.value; // GMT, GMT+05:30, GMT-00:44:30
    const [, sign, hours, minutes, seconds] = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(name) ?? [];
    const min = Number(hours ?? 0) * 60 + Number(minutes ?? 0) + Math.round(Number(seconds ?? 0) / 60);
    return sign === "-" ? -min : min;
  }

  /**
   * The instants at which clocks of the zone show `localMs` (counted as if it were UTC), in order: one, none when they are
   * put forward over it, two when they are put back.
   */
  instants(localMs: number): number[] {
    const offsets = new Set([this.offsetMin(localMs - dayMs), this.offsetMin(localMs + dayMs)]);
    return [...offsets].map((offsetMin) => ({ offsetMin, timeMs: localMs - offsetMin * minuteMs }))
      .filter(({ offsetMin, timeMs }) => this.offsetMin(timeMs) === offsetMin)
      .map(({ timeMs }) => timeMs)
      .sort((a, b) => a - b);
  }

  /** The first instant of the day whose midnight is `localMs`, counted as if it were UTC. */
  startOfDay(localMs: number): number {
    // where clocks are put forward at midnight there is no such instant: the day begins when that happens
    return this.instants(localMs)[0] ?? localMs - this.offsetMin(localMs - dayMs) * minuteMs;
  }
}

/** `+01:00` */
export function offsetText(offsetMin: number): string {
  const minutes = Math.abs(offsetMin);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${offsetMin < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
