/** Times that a payload brings: `time` as RFC 3339 or epoch, `age_s` in seconds. Pure, so that a retry finds the same. */

const dayMs = 86_400_000;
/** How far a payload's time may lie before and behind the arrival; beyond, it is a sensor with a wrong clock. */
export const timeBackMsMax = 400 * dayMs;
export const timeAheadMsMax = dayMs;
/** Largest `age_s`. */
export const ageMsMax = 30 * dayMs;
/** Epoch times from here on are milliseconds (1973 as such, the year 5138 as seconds). */
const epochMsFrom = 1e11;

const rfc3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,20}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** Milliseconds since 1970 of a date and time of RFC 3339 section 5.6, or undefined. A leap second ends its minute. */
export function parseRfc3339(text: string): number | undefined {
  const parts = rfc3339.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    ...[number, number, number],
    ...[number, number, number],
  ];
  const offsetHour = Number(parts[9] ?? 0);
  const offsetMinute = Number(parts[10] ?? 0);
  if (hour > 23 || minute > 59 || second > 60 || offsetHour > 23 || offsetMinute > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const fractionMs = Math.floor(Number(`0.${parts[7] ?? "0"}`) * 1_000);
  const offsetMs = (offsetHour * 60 + offsetMinute) * 60_000 * (parts[8] === "-" ? -1 : 1);
  return date.getTime() + (hour * 60 + minute) * 60_000 + second * 1_000 + fractionMs - offsetMs;
}

/** The time that a payload's `time` names, when it lies within 400 days before and 1 day behind the arrival. */
export function payloadTimeMs(time: unknown, arrivalMs: number): number | undefined {
  const timeMs = typeof time === "string"
    ? parseRfc3339(time)
    : typeof time === "number" && Number.isFinite(time)
    ? Math.round(Math.abs(time) >= epochMsFrom ? time : time * 1_000)
    : undefined;
  if (timeMs === undefined) return undefined;
  const aheadMs = timeMs - arrivalMs;
  return aheadMs >= -timeBackMsMax && aheadMs <= timeAheadMsMax ? timeMs : undefined;
}

/** The time that a payload's `age_s` names: that long before the arrival. From 0 to 30 days, else undefined. */
export function payloadAgeMs(ageS: unknown, arrivalMs: number): number | undefined {
  if (typeof ageS !== "number") return undefined;
  const ageMs = Math.round(ageS * 1_000);
  return ageMs >= 0 && ageMs <= ageMsMax ? arrivalMs - ageMs : undefined;
}
