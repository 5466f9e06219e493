/** Times as people write them behind `--from` and `--to`. */
import { ConfigError } from "../base/errors.ts";
import { parseRfc3339 } from "../shipper/payload_time.ts";
import { offsetText, type TimeZone } from "./time_zone.ts";

const unitsMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const allowed = "write an age (24h, 7d; units s, m, h, d, w), a date (2026-03-29), a time with its offset " +
  "(2026-03-29T12:00:00+02:00, or Z for UTC) or now";

/**
 * Milliseconds since 1970 of: `now`; an age before `nowMs` (`24h`, `-7d`); a date, which is the beginning of that day in
 * `zone`; a time of RFC 3339; one without offset, which is of `zone`. `option` names in errors what the text stands
 * behind. Throws a ConfigError that says what is allowed.
 */
export function timeOf(option: string, text: string, nowMs: number, zone: TimeZone): number {
  const refuse = (cause: string, remedy: string) =>
    new ConfigError({ operation: "export", place: `${option} ${JSON.stringify(text)}`, cause, remedy });
  if (text === "now") return nowMs;
  const age = /^-?(\d{1,9}(?:\.\d{1,3})?)([smhdw])$/.exec(text);
  if (age !== null) return Math.round(nowMs - Number(age[1]) * unitsMs[age[2]!]!);
  const parts = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?$/.exec(
    text,
  );
  if (parts === null) throw refuse("this is no time", allowed);
  const [, date, minute = "00:00", second = ":00", offset = "Z"] = parts;
  const asUtc = parseRfc3339(`${date}T${minute}${second}${offset}`);
  if (asUtc === undefined) throw refuse("there is no such day or time", allowed);
  if (parts[4] !== undefined) return asUtc;
  if (parts[2] === undefined) return zone.startOfDay(asUtc);
  const instants = zone.instants(asUtc);
  if (instants.length === 1) return instants[0]!;
  const offsets = instants.map((instant) => offsetText(zone.offsetMin(instant)));
  if (instants.length === 0) {
    throw refuse(`clocks of ${zone.name} are put forward over this time`, "write another one");
  }
  throw refuse(
    `clocks of ${zone.name} show this time twice`,
    `write which of the two is meant: ${offsets.map((one) => `${text}${one}`).join(" or ")}`,
  );
}
