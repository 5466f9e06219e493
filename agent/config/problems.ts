/** What is wrong with a configuration: each problem with its place, all of them in one error. */
import { safeText } from "../base/display.ts";
import { ConfigError } from "../base/errors.ts";

/** Line and column, both from 1. */
export interface Position {
  line: number;
  column: number;
}

/** Keys from the outside in: `["outputs", "cloud", "urls", 0]`. */
export type Path = readonly (string | number)[];

export interface Problem extends Position {
  /** Dotted key, or empty when the problem is one of the file as a whole. */
  key: string;
  /** What was found, what is allowed, what to do. Never holds a secret. */
  text: string;
}

const problemsShownMax = 30;
const charsShownMax = 60;

/** `outputs.cloud.urls[0]`. A key that is no word is `…`: where a quote is missing, it may hold a piece of the file. */
export function dotted(path: Path): string {
  const word = (part: string) => /^[A-Za-z0-9_.-]{1,63}$/.test(part) ? part : "…";
  return path.map((part, at) => typeof part === "number" ? `[${part}]` : (at === 0 ? "" : ".") + word(part))
    .join("");
}

/**
 * What stands in the file, as a reader would name it. Only for keys whose value can't be a secret; a text with spaces is
 * not shown, as YAML takes the next line into it when that line has lost its key.
 */
export function found(raw: unknown): string {
  if (raw === undefined || raw === null) return "nothing";
  if (Array.isArray(raw)) return "a list";
  if (typeof raw === "object") return "a section";
  if (typeof raw !== "string") return String(raw);
  if (/\s/.test(raw)) return "text with spaces";
  return JSON.stringify(raw.length > charsShownMax ? `${raw.slice(0, charsShownMax)}…` : raw);
}

/** Like `found`, without the text itself: for secrets, and for addresses that may hold one. */
export function foundKind(raw: unknown): string {
  return typeof raw === "string" ? "text" : typeof raw === "number" ? "a number" : found(raw);
}

/** One error for all problems, in the order of the file: one line, or a head and a line for each. */
export function configError(file: string, problems: Problem[]): ConfigError {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const operation = "check the configuration";
  const lines = sorted.slice(0, problemsShownMax).map((one) => problemLine(file, one));
  if (lines.length === 1) {
    const { line, column, key, text } = sorted[0]!;
    const place = safeText(`${file}:${line}:${column}`);
    return new ConfigError({ operation, place, cause: safeText(key === "" ? text : `${key}: ${text}`) });
  }
  const left = sorted.length - lines.length;
  if (left > 0) lines.push(`and ${left} more`);
  const cause = [`${sorted.length} problems`, ...lines].join("\n");
  return new ConfigError({ operation, place: safeText(file), cause });
}

export function problemLine(file: string, { line, column, key, text }: Problem): string {
  return safeText(`${file}:${line}:${column}: ${key === "" ? "" : `${key}: `}${text}`);
}

/** The one of `names` that was probably meant, or undefined. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll("-", "_");
  const longer = names.find((candidate) => name.length > 2 && candidate.startsWith(plain(name)));
  if (longer !== undefined) return longer;
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of names) {
    const distance = editDistance(plain(name), plain(candidate));
    if (distance < bestDistance && distance <= Math.max(1, candidate.length / 3)) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** How many letters must be added, taken away, changed or swapped with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return Infinity;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + change);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
