/** Sizes, times and foreign text as people read them. */

/** `2 GiB`, `512 MiB`, `1.5 KiB`: at most one digit behind the point. */
export function sizeText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1023.95 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  const text = unit === 0 ? String(Math.round(amount)) : amount.toFixed(1).replace(/\.0$/, "");
  return `${text} ${unit === 0 && text === "1" ? "byte" : units[unit]}`;
}

/** `850 ms`, `12 s`, `4 min`, `3 h 20 min`, `6 days`, `more than a year`: two units at most. */
export function durationText(timeMs: number): string {
  const s = Math.round(timeMs / 1_000);
  if (timeMs < 1_000) return `${Math.max(0, Math.round(timeMs))} ms`;
  if (s < 120) return `${s} s`;
  const min = Math.round(s / 60);
  if (min < 120) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 48) return min % 60 === 0 ? `${h} h` : `${h} h ${min % 60} min`;
  const days = Math.round(min / 1_440);
  return days > 365 ? "more than a year" : `${days} days`;
}

/** `12,345`: with a comma every three digits, whatever the machine's language is. */
export function countText(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `2026-01-02 03:04:05Z`. */
export function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace("T", " ") + "Z";
}

/** Control characters, and those that turn the direction of a line, as C, C1, line separators and the like. */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/**
 * Text from the network made harmless for a terminal: what could move the cursor, change colours or hide something
 * stands there as `\n`, `\t`, `\x1b` or `\u{202e}`.
 */
export function safeText(text: string): string {
  return text.replace(unsafe, (char) => {
    if (char === "\n") return "\\n";
    if (char === "\r") return "\\r";
    if (char === "\t") return "\\t";
    const code = char.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** JSON in one line, or indented, that is harmless for a terminal: what `safeText` would change is written as `\uXXXX`. */
export function safeJson(value: unknown, indent?: number): string {
  return safeJsonText(JSON.stringify(value, null, indent));
}

/** The same for what is JSON already. */
export function safeJsonText(json: string): string {
  const units = (char: string) => Array.from({ length: char.length }, (_, i) => char.charCodeAt(i));
  // an indented text has line feeds of its own; those inside strings are escaped by JSON already
  return json.replace(unsafe, (char) => {
    return char === "\n"
      ? char
      : units(char).map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}
