/** A reading of `tail` as one line: as it is in a pipe, coloured, aligned and cut to the window on a terminal. Pure. */
import { durationText, safeText, sizeText } from "../base/display.ts";
import { payloadAgeMs, payloadTimeMs } from "../shipper/payload_time.ts";
import type { ReadingJson } from "../status/reading_json.ts";

/** Of a payload this many characters are shown in a pipe; `--json` shows all. */
const payloadCharsMax = 400;
/** However narrow the window is, a value gets so many columns. */
const valueColumnsLeast = 20;
/** A younger reading needs no word about its age. */
const ageShownMs = 5_000;
const jsonNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** Time, topic and payload on one line, harmless whatever reads it: for a pipe. */
export function plainLine(line: ReadingJson): string {
  const mark = marksOf(line).map((one) => ` [${one}]`).join("");
  return `${line.arrived} ${safeText(line.topic)}${mark} ${plainPayload(line)}`;
}

function plainPayload({ payload, payload_base64: base64 }: ReadingJson): string {
  return payload === undefined ? `base64:${cut(base64 ?? "")}` : cut(payload);
}

function marksOf(line: ReadingJson): string[] {
  return (["retained", "queued", "truncated"] as const).filter((mark) =>
    mark === "retained" ? line.retain : line[mark]
  );
}

/** Lines for a terminal. The column of values moves to the right as longer topics come, up to the window's middle. */
export class TerminalLines {
  #topicColumns = 0;

  constructor(private readonly colour: boolean) {}

  /** `columns`: width of the window; `nowMs`: now, by the clock that the readings' times are of. */
  line(line: ReadingJson, columns: number, nowMs: number): string {
    const time = new Date(line.arrived).toTimeString().slice(0, 8);
    const topic = safeText(line.topic);
    if (topic.length <= columns / 2) this.#topicColumns = Math.max(this.#topicColumns, topic.length);
    const padded = topic.padEnd(this.#topicColumns);
    const facts = [...marksOf(line), ageText(line, nowMs)].filter((one) => one !== "").join(", ");
    const mark = facts === "" ? "" : `  [${facts}]`;
    // two gaps, and one column that stays free: some terminals break a line that is full
    const left = columns - time.length - padded.length - mark.length - 5;
    const value = fit(valueText(line), Math.max(valueColumnsLeast, left));
    return `${time}  ${this.#tone("2", padded)}  ${this.#tone("1", value)}${this.#tone("33", mark)}`;
  }

  #tone(escape: string, text: string): string {
    return this.colour && text !== "" ? `\x1b[${escape}m${text}\x1b[0m` : text;
  }
}

/** The payload in its kind: a number, JSON without blanks, text, or bytes in base64. */
function valueText({ payload, payload_base64: base64, truncated }: ReadingJson): string {
  if (payload === undefined) return `base64:${base64 ?? ""}`;
  if (payload === "") return "(empty)";
  const trimmed = payload.trim();
  if (!truncated && jsonNumber.test(trimmed)) return trimmed;
  return !truncated && /^[[{]/.test(trimmed) ? compactJson(trimmed) ?? payload : payload;
}

/** JSON without the blanks between its parts, numbers as they were written; undefined when it is no JSON. */
function compactJson(text: string): string | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_all, string?: string) => string ?? "");
}

/** How old a reading is, when that is not "just now": by its own time, or at most, or not known. */
function ageText(line: ReadingJson, nowMs: number): string {
  const arrivedMs = Date.parse(line.arrived);
  const ownMs = ownTimeMs(line.payload ?? "", arrivedMs);
  if (ownMs === undefined && line.queued && line.last_connected !== undefined) {
    return `at most ${durationText(nowMs - Date.parse(line.last_connected))} old`;
  }
  if (ownMs === undefined && line.retain) return "age unknown";
  const ageMs = nowMs - (ownMs ?? arrivedMs);
  return ageMs >= ageShownMs ? `${durationText(ageMs)} old` : "";
}

/** The time that a payload brings itself, as the outputs understand it. */
function ownTimeMs(payload: string, arrivedMs: number): number | undefined {
  if (!payload.includes('"value"') || !/"(time|age_s)"/.test(payload)) return undefined;
  try {
    const { value, time, age_s: ageS } = JSON.parse(payload) as Record<string, unknown>;
    if (value === undefined) return undefined;
    return payloadTimeMs(time, arrivedMs) ?? payloadAgeMs(ageS, arrivedMs);
  } catch {
    return undefined;
  }
}

/** The first 400 characters, harmless for a terminal; then how much there is in all. */
function cut(text: string): string {
  if (text.length <= payloadCharsMax) return safeText(text);
  return `${safeText(text.slice(0, payloadCharsMax))}… (${sizeText(text.length)})`;
}

/** A text made harmless that takes at most `columns`; when it is cut, with how much there is in all. */
function fit(text: string, columns: number): string {
  const whole = text.length <= columns ? safeText(text) : undefined;
  if (whole !== undefined && whole.length <= columns) return whole;
  const end = `… (${sizeText(text.length)})`;
  const left = columns - end.length;
  return `${wholeCharacters(safeText(wholeCharacters(text, left)), left)}${end}`;
}

/** The beginning of a text, not ending within a surrogate pair. */
function wholeCharacters(text: string, length: number): string {
  const end = text.charCodeAt(length - 1);
  return text.slice(0, end >= 0xd800 && end < 0xdc00 ? length - 1 : length);
}
