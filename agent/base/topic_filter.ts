/** Topic filters of MQTT (5.0, 4.7), matched on bytes. */

const slash = 0x2f;
const dollar = 0x24;
const encoder = new TextEncoder();

/** Why `filter` is no topic filter (4.7.1, 4.8.2 for `$share/…`), or undefined. */
export function topicFilterFault(filter: string): string | undefined {
  const bytes = encoder.encode(filter);
  if (bytes.length === 0) return "is empty";
  if (bytes.length > 65_535) return "is longer than 65,535 bytes";
  if (filter.includes("\0")) return "contains U+0000";
  let levels = filter.split("/");
  if (levels[0] === "$share") {
    if (levels.length < 3 || levels[1] === "" || /[+#]/.test(levels[1]!)) {
      return "needs the form $share/GROUP/FILTER";
    }
    levels = levels.slice(2);
    if (levels.length === 1 && levels[0] === "") return "needs the form $share/GROUP/FILTER";
  }
  for (const [i, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || i !== levels.length - 1)) {
      return "has a # that is not the whole last level";
    }
    if (level.includes("+") && level !== "+") return "has a + that is not a whole level";
  }
  return undefined;
}

/** One filter, taken apart once. A shared subscription (`$share/GROUP/FILTER`) matches what FILTER matches. */
export class TopicFilter {
  readonly #levels: (Uint8Array | "+" | "#")[];
  /** A filter that begins with a wildcard does not match topics that begin with $ (4.7.2). */
  readonly #wildcardFirst: boolean;

  constructor(readonly filter: string) {
    const levels = filter.split("/");
    const own = levels[0] === "$share" && levels.length > 2 ? levels.slice(2) : levels;
    this.#levels = own.map((level) => level === "+" || level === "#" ? level : encoder.encode(level));
    this.#wildcardFirst = own[0] === "+" || own[0] === "#";
  }

  /** Whether the topic name in `start`..`end` of `bytes` matches. */
  matches(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#wildcardFirst && bytes[start] === dollar) return false;
    let at = start; // beyond `end`: no level is left
    for (const level of this.#levels) {
      if (level === "#") return true;
      if (at > end) return false;
      let levelEnd = at;
      while (levelEnd < end && bytes[levelEnd] !== slash) levelEnd++;
      if (level !== "+" && !sameBytes(level, bytes, at, levelEnd)) return false;
      at = levelEnd + 1;
    }
    return at > end;
  }
}

/** Whether `start`..`end` of `bytes` are `expected`. */
export function sameBytes(expected: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (expected.length !== end - start) return false;
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] !== bytes[start + i]) return false;
  }
  return true;
}
