/**
 * What becomes of a payload that is a JSON object: the numbers in it (`values`) and the whole (`payload`), both cleaned so
 * that Elasticsearch refuses none of it. What can't be cleaned without changing its meaning stays text.
 */

/** Objects and arrays inside each other; a flattened field takes 20. */
const depthMax = 20;
/** Numbers of one payload that get a field of their own; all of them stand in `payload`. */
export const valuesMax = 1_000;
/** Longest name of such a field, in UTF-16 units. */
const valueNameMax = 512;
/** Longest keys of one path in a flattened field, joined: with its value a term must stay below 32,766 bytes. */
const pathLengthMax = 2_000;

/** A parsed payload, ready to be written. */
export interface JsonPayload {
  /** JSON of the object `values`; undefined when there are no numbers. */
  values: string | undefined;
  /** JSON of the object `payload`; undefined: it can't be indexed as an object and stands in `text`. */
  payload: string | undefined;
  /** Its members `value`, `time` and `age_s`, when it has a `value` and one of the others. */
  reading: { value: unknown; time: unknown; ageS: unknown } | undefined;
}

type JsonObject = Record<string, unknown>;

/** Digits that a double can't hold, exponents that it may not hold: the slow way is taken for these. */
const maybeInexact = /\d{16}|\d[eE]/;
const loneSurrogate = /\\u[dD][89a-fA-F]/;

/** Whether a name can stand as it is: word characters with single dots between. Most do. */
const plainName = /^[\w-]+(?:\.[\w-]+)*$/;

/** A part of a field's name without what Elasticsearch refuses: empty and blank parts, controls, lone surrogates. */
function cleanName(name: string): string {
  if (plainName.test(name)) return name;
  const parts = name.toWellFormed().replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ").split(".").map((part) =>
    part.trim()
  );
  return parts.filter((part) => part !== "").join(".");
}

/** Walks one payload: collects its numbers and finds out whether it can be indexed as it is. */
class Walk {
  readonly numbers = new Map<string, string>();
  flattens = true;

  object(object: JsonObject, name: string, pathLength: number, depth: number): void {
    if (depth > depthMax) {
      this.flattens = false;
      return;
    }
    for (const key of Object.keys(object)) {
      const length = pathLength + key.length + 1;
      if (length > pathLengthMax || key.includes("\0")) this.flattens = false;
      const clean = cleanName(key);
      const joined = name === "" ? clean : clean === "" ? "" : `${name}.${clean}`;
      this.#value(object[key], clean === "" ? undefined : joined, length, depth);
    }
  }

  #value(value: unknown, name: string | undefined, pathLength: number, depth: number): void {
    if (typeof value === "number") {
      this.#number(value, name);
    } else if (Array.isArray(value)) {
      if (depth >= depthMax) this.flattens = false;
      else for (const one of value) this.#value(one, name, pathLength, depth + 1);
    } else if (typeof value === "object" && value !== null) {
      this.#inner(value as JsonObject, name, pathLength, depth + 1);
    }
  }

  #inner(object: JsonObject, name: string | undefined, pathLength: number, depth: number): void {
    if (name !== undefined) return this.object(object, name, pathLength, depth);
    // a blank key: what is below it gets no fields, but must still be looked at
    const below = new Walk();
    below.object(object, "", pathLength, depth);
    this.flattens &&= below.flattens;
  }

  /** The same name twice (a list, `a.b` beside `a: {b}`) makes a list, as Elasticsearch itself would. */
  #number(value: number, name: string | undefined): void {
    if (name === undefined || name.length > valueNameMax || !Number.isFinite(value)) return;
    const known = this.numbers.get(name);
    if (known === undefined && this.numbers.size >= valuesMax) return;
    this.numbers.set(name, known === undefined ? String(value) : `${known},${value}`);
  }
}

/** Numbers as doubles lose what is beyond 2^53 or 1e308; `payload` keeps them as they were written, in quotes. */
function keepExact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || context?.source === undefined) return value;
  return Number.isSafeInteger(value) || (Number.isFinite(value) && !/^-?\d+$/.test(context.source))
    ? value
    : context.source;
}

function wellFormed(_key: string, value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key.toWellFormed(), inner]));
}

/** JSON of the numbers by name, or undefined when there are none. */
function valuesJson(numbers: Map<string, string>): string | undefined {
  if (numbers.size === 0) return undefined;
  let json = "";
  for (const [name, list] of numbers) {
    json += `${json === "" ? "{" : ","}${JSON.stringify(name)}:${list.includes(",") ? `[${list}]` : list}`;
  }
  return `${json}}`;
}

/** Reads a payload that begins like a JSON object; undefined when it is none. Never throws. */
export function readJsonObject(text: string): JsonPayload | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
  const object = parsed as JsonObject;
  const walk = new Walk();
  walk.object(object, "", 0, 1);
  const has = (key: string) => Object.hasOwn(object, key);
  return {
    values: valuesJson(walk.numbers),
    payload: walk.flattens ? payloadJson(text, object) : undefined,
    reading: has("value") && (has("time") || has("age_s"))
      ? { value: object["value"], time: object["time"], ageS: object["age_s"] }
      : undefined,
  };
}

/** The object written anew: a key that came twice stands there once, as Elasticsearch wants it. */
function payloadJson(text: string, object: JsonObject): string {
  const exact = maybeInexact.test(text) ? JSON.parse(text, keepExact) : object;
  return loneSurrogate.test(text) ? JSON.stringify(exact, wellFormed) : JSON.stringify(exact);
}
