/**
 * The format of a line of the message files, as `mosquitto_sub -F` has it (mosquitto_sub(1), "Output format"): text to a
 * pattern that finds time and topic at the beginning of a line. Pure.
 */
import { Buffer } from "node:buffer";
import { ConfigError } from "../../agent/base/errors.ts";
import { topicBytesMax } from "../../agent/limits.ts";

/** Time by the broker's clock, topic, payload: `2020-03-27T10:15:02+0100 /feeds/0/temp 21.5`. */
export const formatDefault = "%I %t %p";

/** What stands before the payload of a line takes no more bytes than this. */
export const lineHeadBytesMax = topicBytesMax + 512;

/** What stands before the payload. */
export interface LineHead {
  /** Milliseconds since 1970. */
  timeMs: number;
  topic: Uint8Array;
  qos: 0 | 1 | 2;
  retain: boolean;
  /** Offset of the payload in the line. */
  payloadAt: number;
}

export interface LineFormat {
  /** As it was given. */
  text: string;
  /** The head of a line, of which at least `lineHeadBytesMax` bytes, or all, are given; undefined when it begins with none. */
  head(line: Uint8Array): LineHead | undefined;
}

/** What a time field looks like; names of groups are those of strftime(3), U is seconds with a fraction. */
const times: Record<string, [group: string, pattern: string][]> = {
  Y: [["Y", "\\d{4}"]],
  m: [["m", "\\d\\d"]],
  d: [["d", "\\d\\d"]],
  H: [["H", "\\d\\d"]],
  M: [["M", "\\d\\d"]],
  S: [["S", "\\d\\d"]],
  N: [["N", "\\d{1,9}"]],
  z: [["z", "Z|[+-]\\d\\d:?\\d\\d"]],
  s: [["U", "\\d{1,11}"]],
  F: [["Y", "\\d{4}"], ["", "-"], ["m", "\\d\\d"], ["", "-"], ["d", "\\d\\d"]],
  T: [["H", "\\d\\d"], ["", ":"], ["M", "\\d\\d"], ["", ":"], ["S", "\\d\\d"]],
};
const isoTime = [...times["F"]!, ["", "T"], ...times["T"]!, ...times["z"]!] as [string, string][];
/** Fields with `%` beside topic and payload. */
const fields: Record<string, [group: string, pattern: string][]> = {
  I: isoTime,
  U: [["U", "\\d{1,11}(?:\\.\\d{1,9})?"]],
  q: [["q", "[012]"]],
  r: [["r", "[01]"]],
  m: [["", "\\d+"]],
  l: [["", "\\d+"]],
  "%": [["", "%"]],
};

/** Throws ConfigError for a format that lines can't be read by. */
export function lineFormat(text: string): LineFormat {
  const pattern = new Pattern(text);
  for (let at = 0; at < text.length;) at += pattern.take(at);
  const regexp = pattern.finished();
  return {
    text,
    head(line) {
      const bytes = line.length > lineHeadBytesMax ? line.subarray(0, lineHeadBytesMax) : line;
      return headOf(regexp.exec(latin1(bytes)), line);
    },
  };
}

class Pattern {
  #source = "^";
  #groups = new Set<string>();
  #topic = false;
  #payload = false;
  /** The topic is the last field so far, and nothing stands behind it. */
  #openTopic = false;

  constructor(private readonly text: string) {}

  /** Takes what begins at `at`; returns how many characters that was. */
  take(at: number): number {
    const char = String.fromCodePoint(this.text.codePointAt(at)!);
    if (this.#payload) this.#refuse("something stands behind the payload (%p)", "let %p be the last");
    if (char !== "%" && char !== "@" && char !== "\\") {
      this.#add([["", escaped(char)]]);
      return char.length;
    }
    const name = this.text[at + 1] ?? "";
    const field = `${char}${name}`;
    if (field === "%t") this.#addTopic();
    else if (field === "%p") this.#addPayload();
    else this.#add(this.#parts(field));
    return 2;
  }

  finished(): RegExp {
    const has = (names: string) => [...names].every((name) => this.#groups.has(name));
    if (!this.#topic) this.#refuse("there is no topic (%t) in it", `such as ${formatDefault}`);
    if (!this.#payload) this.#refuse("there is no payload (%p) in it", `such as ${formatDefault}`);
    if (!has("U") && !has("YmdHM")) {
      this.#refuse(
        "there is no whole time in it",
        `%I, %U, or as in @Y-@m-@d @H:@M:@S, such as ${formatDefault}`,
      );
    }
    return new RegExp(this.#source);
  }

  #parts(field: string): [string, string][] {
    const name = field[1] ?? "";
    const known = field[0] === "%"
      ? Object.hasOwn(fields, name) ? fields[name] : undefined
      : field[0] === "@"
      ? name === "@"
        ? [["", "@"]] as [string, string][]
        : Object.hasOwn(times, name)
        ? times[name]
        : undefined
      : name === "t"
      ? [["", "\\t"]] as [string, string][]
      : name === "\\"
      ? [["", "\\\\"]] as [string, string][]
      : undefined;
    if (known !== undefined) return known;
    this.#refuse(
      `${field} can't be read back`,
      "known are %t %p %I %U %q %r %m %l %%, @Y @m @d @H @M @S @N @z @F @T @s @@, \\t and \\\\",
    );
  }

  /** A field that stands there twice is read once. */
  #add(parts: [string, string][]): void {
    if (this.#openTopic && parts[0]![0] !== "") this.#closeTopic();
    this.#openTopic = false;
    for (const [group, pattern] of parts) {
      const named = group !== "" && !this.#groups.has(group);
      if (named) this.#groups.add(group);
      this.#source += named ? `(?<${group}>${pattern})` : `(?:${pattern})`;
    }
  }

  #addTopic(): void {
    if (this.#topic) this.#refuse("the topic (%t) stands in it twice", "once is enough");
    this.#topic = true;
    this.#openTopic = true;
    this.#source += "(?<topic>[^\\n]+?)";
  }

  #addPayload(): void {
    if (this.#openTopic) this.#closeTopic();
    this.#payload = true;
  }

  #closeTopic(): never {
    this.#refuse("nothing stands between the topic (%t) and what follows it", `such as ${formatDefault}`);
  }

  #refuse(cause: string, remedy: string): never {
    throw new ConfigError({
      operation: "read message files",
      place: `the format ${this.text}`,
      cause,
      remedy,
    });
  }
}

/** Letters as the bytes that stand in the file. */
function escaped(char: string): string {
  return latin1(new TextEncoder().encode(char)).replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

function headOf(match: RegExpExecArray | null, line: Uint8Array): LineHead | undefined {
  if (match === null) return undefined;
  const groups = match.groups!;
  const timeMs = timeOf(groups);
  const topic = topicOf(groups["topic"]!);
  if (timeMs === undefined || topic === undefined) return undefined;
  const payloadAt = match[0].length;
  if (payloadAt > line.length) return undefined;
  const qos = Number(groups["q"] ?? 0) as 0 | 1 | 2;
  return { timeMs, topic, qos, retain: groups["r"] === "1", payloadAt };
}

/** Local time where no offset is given, as strftime writes it. Undefined for a day or time that there is not. */
function timeOf(groups: Record<string, string | undefined>): number | undefined {
  const number = (name: string) => Number(groups[name] ?? 0);
  const fractionMs = Math.floor(Number(`0.${(groups["N"] ?? "0").padStart(9, "0")}`) * 1_000);
  if (groups["U"] !== undefined) {
    const [seconds, fraction = "0"] = groups["U"].split(".");
    const ms = groups["U"].includes(".") ? Math.floor(Number(`0.${fraction}`) * 1_000) : fractionMs;
    return Number(seconds) * 1_000 + ms;
  }
  const [year, month, day] = [number("Y"), number("m"), number("d")];
  const [hour, minute, second] = [number("H"), number("M"), number("S")];
  if (hour > 23 || minute > 59 || second > 60 || year < 1970) return undefined;
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offset = groups["z"];
  const timeMs = offset === undefined
    ? new Date(year, month - 1, day, hour, minute, second).getTime() + fractionMs
    : date.getTime() + (hour * 60 + minute) * 60_000 + second * 1_000 + fractionMs - offsetMs(offset);
  return timeMs >= 0 ? timeMs : undefined;
}

function offsetMs(offset: string): number {
  if (offset === "Z") return 0;
  const digits = offset.slice(1).replace(":", "");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return (offset[0] === "-" ? -1 : 1) * minutes * 60_000;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined for what no message can have as its topic (MQTT 5, 4.7): too long, not UTF-8, with a NUL or a wildcard. */
function topicOf(text: string): Uint8Array | undefined {
  if (text.length > topicBytesMax || /[\0+#]/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  try {
    utf8.decode(bytes);
    return bytes;
  } catch {
    return undefined;
  }
}

/** A letter for each byte, so that places in the text are places in the bytes. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
