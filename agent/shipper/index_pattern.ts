/** Index patterns: `mqtt-%Y.%m.%d` and a time make `mqtt-2026.01.02`. Times are UTC, as in the daily indices of the Elastic tools. */
import { ConfigError } from "../base/errors.ts";

const dayMs = 86_400_000;
const two = (number: number) => String(number).padStart(2, "0");

/** The Monday-based week of ISO 8601 and the year it belongs to. */
function isoWeek(date: Date): { year: number; week: number } {
  const day = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate());
  const thursday = new Date(day + (4 - (date.getUTCDay() || 7)) * dayMs);
  const year = thursday.getUTCFullYear();
  return { year, week: Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * dayMs)) + 1 };
}

/** The directives that a pattern may use. None is finer than an hour: an index per minute is never meant. */
const directives: Record<string, (date: Date) => string> = {
  Y: (date) => String(date.getUTCFullYear()).padStart(4, "0"),
  m: (date) => two(date.getUTCMonth() + 1),
  d: (date) => two(date.getUTCDate()),
  H: (date) => two(date.getUTCHours()),
  j: (date) => {
    const day = (date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / dayMs;
    return String(Math.floor(day) + 1).padStart(3, "0");
  },
  G: (date) => String(isoWeek(date).year).padStart(4, "0"),
  V: (date) => two(isoWeek(date).week),
};
const allowed = "%Y, %m, %d, %H (hour), %j (day of the year), %G and %V (year and week of ISO 8601)";

/** The index of a time in ms since 1970. The pattern has passed `patternFault`. */
export function indexAt(pattern: string, timeMs: number): string {
  if (!pattern.includes("%")) return pattern;
  const date = new Date(timeMs);
  return pattern.replace(/%(.)/g, (whole, letter: string) => directives[letter]?.(date) ?? whole);
}

/** For how long the same index holds around a time: an hour or a day. */
export function periodMs(pattern: string): number {
  return pattern.includes("%H") ? 3_600_000 : dayMs;
}

/** What precedes the first directive, the whole of a pattern without one. */
export function literalPrefix(pattern: string): string {
  const at = pattern.indexOf("%");
  return at < 0 ? pattern : pattern.slice(0, at);
}

/** What is wrong with the name of an index or data stream by the rules of Elasticsearch, or undefined. */
export function nameFault(name: string): string | undefined {
  const bad = /[\\/*?"<>| ,#:%\p{C}\p{Z}]/u.exec(name);
  if (name === "") return "it is empty";
  if (bad !== null) return `it contains ${JSON.stringify(bad[0])}, which an index name may not`;
  if (name !== name.toLowerCase()) return "it contains capital letters, which an index name may not";
  if (/^[-_+.]/.test(name)) return `it begins with ${JSON.stringify(name[0])}, which is not allowed here`;
  if (new TextEncoder().encode(name).length > 255) return "it is longer than 255 bytes";
  return undefined;
}

/** What is wrong with an index pattern, as a sentence's end, or undefined. */
export function patternFault(pattern: string): string | undefined {
  const unknown = [...pattern.matchAll(/%(.?)/gs)].find((match) => !Object.hasOwn(directives, match[1]!));
  if (unknown !== undefined) return `it contains ${JSON.stringify(unknown[0])}; allowed are ${allowed}`;
  if (literalPrefix(pattern).replace(/[-.]+$/, "") === "") {
    return "it has no name before the first %; the index template would match the indices of others";
  }
  return nameFault(indexAt(pattern, Date.UTC(2026, 11, 31, 23)));
}

/** Throws ConfigError when an output can't write there. */
export function checkTarget(output: string, key: "index" | "data_stream", target: string): void {
  const fault = key === "index" ? patternFault(target) : nameFault(target);
  if (fault === undefined) return;
  throw new ConfigError({
    operation: "check the configuration",
    place: `outputs.${output}.${key}`,
    cause: `${JSON.stringify(target)} can't be used: ${fault}`,
    remedy: key === "index" ? "write a pattern such as mqtt-%Y.%m.%d" : "write a name such as mqtt-plant",
  });
}
