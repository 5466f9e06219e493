/** What may stand behind a key: each kind reads what YAML made of it and says what is allowed when it can't. */
import * as z from "zod";
import { found, foundKind, nearest } from "./problems.ts";

/** A value that is not allowed: the whole text of the problem. */
class Refusal {
  constructor(readonly text: string) {}
}

function refuse(raw: unknown, allowed: string, hint = ""): Refusal {
  return new Refusal(`found ${found(raw)}; allowed: ${allowed}${hint}`);
}

/** A key whose value `read` understands; absent it means `fallback`, shown in the reference as code. */
function value<T, F extends T | undefined>(
  read: (raw: unknown) => T | Refusal,
  fallback: F,
  byDefault?: string,
) {
  return z.unknown().transform((raw, context): T => {
    const result = read(raw);
    if (!(result instanceof Refusal)) return result;
    context.issues.push({ code: "custom", input: undefined, message: result.text });
    return z.NEVER;
  }).optional().transform((given): T | F => given ?? fallback).meta(
    byDefault === undefined ? {} : { byDefault: `\`${byDefault}\`` },
  );
}

/** Text as it stands. `fault` says why a text is not allowed, as the rest of a sentence about it. */
export function text(allowed: string, fault: (text: string) => string | undefined = () => undefined) {
  return value((raw): string | Refusal => {
    if (typeof raw === "number" || typeof raw === "boolean") {
      return refuse(raw, allowed, "; write it in quotes");
    }
    if (typeof raw !== "string" || raw === "") return refuse(raw, allowed);
    const why = fault(raw);
    return why === undefined ? raw : new Refusal(`found ${found(raw)}, which ${why}; allowed: ${allowed}`);
  }, undefined);
}

/** The name of a file that holds a secret. What stands there is never shown: it may be the secret itself. */
export function secretFile() {
  return value((raw): string | Refusal => {
    if (typeof raw === "string" && raw !== "" && !/[\p{Cc}]/u.test(raw)) return raw;
    return new Refusal(`found ${foundKind(raw)}; allowed: the name of a file that holds the secret`);
  }, undefined);
}

/** One of a few words, numbers or truth values. */
export function oneOf<const C extends readonly (string | number | boolean)[]>(
  choices: C,
  fallback: C[number],
) {
  const allowed = choices.length === 1
    ? String(choices[0])
    : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
  return value(
    (raw): C[number] | Refusal => {
      const choice = choices.find((one) => one === raw);
      if (choice !== undefined) return choice;
      if (choices.some((one) => typeof one !== "string" && String(one) === raw)) {
        return refuse(raw, allowed, "; write it without quotes");
      }
      const words = choices.filter((one) => typeof one === "string");
      const near = typeof raw === "string" ? nearest(raw, words) : undefined;
      return refuse(raw, allowed, near === undefined ? "" : `; did you mean ${near}?`);
    },
    fallback,
    String(fallback),
  );
}

const sizeUnits: Record<string, number> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
const durationUnits: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A size in bytes between `least` and `most`: `512MiB`, or a plain number of bytes. */
export function size(least: number, most: number, fallback: number) {
  const allowed = `${sizeName(least)} to ${sizeName(most)}, as bytes or with KiB, MiB, GiB or TiB`;
  return value(
    (raw): number | Refusal => {
      const bytes = typeof raw === "number" ? raw : measured(raw, sizeUnits);
      return bytes !== undefined && Number.isSafeInteger(bytes) && bytes >= least && bytes <= most
        ? bytes
        : refuse(raw, allowed);
    },
    fallback,
    sizeName(fallback),
  );
}

/** A time in ms between `leastMs` and `mostMs`, in whole `stepMs`: `20ms`, `10s`, `30d`. */
export function duration(leastMs: number, mostMs: number, fallbackMs: number, stepMs = 1) {
  const step = stepMs === 1 ? "" : `, in whole ${durationName(stepMs).replace(/^1/, "")}`;
  const allowed = `${durationName(leastMs)} to ${
    durationName(mostMs)
  }${step}, with the unit ms, s, m, h or d`;
  return value(
    (raw): number | Refusal => {
      const timeMs = raw === 0 ? 0 : measured(raw, durationUnits);
      return timeMs !== undefined && timeMs >= leastMs && timeMs <= mostMs && timeMs % stepMs === 0
        ? timeMs
        : refuse(raw, allowed);
    },
    fallbackMs,
    durationName(fallbackMs),
  );
}

/** `1.5GiB` by a table of units, rounded to a whole; undefined when it is nothing of the kind. */
function measured(raw: unknown, units: Record<string, number>): number | undefined {
  const parts = typeof raw === "string" ? /^(\d{1,16}(?:\.\d{1,6})?) ?([A-Za-z]*)$/.exec(raw) : null;
  if (parts === null || !Object.hasOwn(units, parts[2]!)) return undefined;
  return Math.round(Number(parts[1]) * units[parts[2]!]!);
}

function named(amount: number, units: Record<string, number>, plain: string): string {
  const fitting = Object.entries(units).filter(([name, unit]) =>
    name !== "" && amount !== 0 && amount % unit === 0
  );
  const [name, unit] = fitting.at(-1) ?? [plain, 1];
  return `${amount / unit}${name}`;
}

const sizeName = (bytes: number) => named(bytes, sizeUnits, "");
const durationName = (timeMs: number) => named(timeMs, durationUnits, "");

/** A URL. `fault` says what is wrong with it as a whole sentence that does not show it: it may hold a password. */
export function url(fault: (text: string) => string | undefined) {
  return value((raw): string | Refusal => {
    const why = typeof raw === "string" ? fault(raw) : `found ${foundKind(raw)}; allowed: a URL`;
    return why === undefined ? raw as string : new Refusal(why);
  }, undefined);
}

/** A list of texts, none of them twice; `least` is 0 or 1. `fault` judges one, as a whole sentence. */
export function list(
  allowed: string,
  least: 0 | 1,
  fallback: string[],
  fault: (text: string) => string | undefined,
) {
  const item = z.unknown().superRefine((raw, context) => {
    const message = itemFault(raw, allowed, fault);
    if (message !== undefined) context.issues.push({ code: "custom", input: undefined, message });
  });
  return z.array(item, {
    error: ({ input }) =>
      `found ${foundKind(input)}; allowed: a list of ${allowed}, each in quotes: ["…", "…"]`,
  }).superRefine((items, context) => {
    const report = (message: string, path: number[]) => {
      context.issues.push({ code: "custom", input: undefined, message, path });
    };
    if (items.length < least) report(`found an empty list; allowed: ${allowed}, at least one`, []);
    for (const [at, one] of items.entries()) {
      if (items.indexOf(one) !== at) report("this stands in the list already; keep one of the two", [at]);
    }
  }).optional().transform((items) => items as string[] | undefined ?? fallback)
    .meta({ byDefault: `\`${JSON.stringify(fallback)}\`` });
}

function itemFault(
  raw: unknown,
  allowed: string,
  fault: (text: string) => string | undefined,
): string | undefined {
  if (raw === null) {
    return `found nothing; allowed: ${allowed} (a # begins a comment: write it in quotes, "#")`;
  }
  return typeof raw === "string" ? fault(raw) : `found ${foundKind(raw)}; allowed: ${allowed}, in quotes`;
}
