/**
 * From an answer of Elasticsearch to verdicts. Pure, and tested with answers of real servers.
 *
 * Of one item: 2xx and 409 (the id is there already) are done. 429 and 5xx pass by themselves. What the document itself
 * is to blame for makes a dead letter. Any other 4xx (shard limit, closed or missing index, write block, a privilege)
 * is no fault of the document and does not pass by itself: pause.
 */
import type { Verdict } from "./output.ts";

/** Error types that speak of the document alone, whatever the state of index and server. */
const documentErrors = new Set([
  "document_parsing_exception",
  "mapper_parsing_exception",
  "strict_dynamic_mapping_exception",
  "x_content_parse_exception",
  "parsing_exception",
  "parse_exception",
  "json_parse_exception",
  "json_e_o_f_exception",
  "timestamp_error",
  "fail_processor_exception", // an ingest pipeline that refuses this document on purpose, with status 500
]);

/** Reasons behind `illegal_argument_exception` that speak of the document alone; others may be the index's or a pipeline's. */
const documentReasons =
  /immense term|longer than the allowed max length|has been exceeded while adding new field|cannot be changed from type|mapping set to strict|dynamic introduction of/i;

const reasonLengthMax = 500;

interface ErrorBody {
  type?: unknown;
  reason?: unknown;
  caused_by?: ErrorBody;
}

const word = (value: unknown): string => typeof value === "string" ? value.replace(/\s+/g, " ").trim() : "";

/** `type: reason` of an error, with what caused it where that says more. */
export function errorText(error: unknown): string {
  if (typeof error === "string") return error.slice(0, reasonLengthMax);
  const { type, reason, caused_by: cause } = (error ?? {}) as ErrorBody;
  const own = [word(type), word(reason)].filter((part) => part !== "").join(": ");
  const inner = word(cause?.reason);
  const text = inner === "" || own.includes(inner) ? own : `${own} (${inner})`;
  return text.slice(0, reasonLengthMax);
}

/** The verdict on one item; `counts` is not yet known: it depends on the others. */
function judgeItem(status: number, error: unknown): Verdict {
  if ((status >= 200 && status < 300) || status === 409) return confirmed;
  const type = word((error as ErrorBody | undefined)?.type);
  const text = errorText(error);
  const reason = `${status}${text === "" ? "" : ` ${text}`}`;
  const own = documentErrors.has(type) || (status === 400 && documentReasons.test(text));
  if (own) return { kind: "dead", reason, status };
  return status < 400 || status === 429 || status >= 500
    ? { kind: "retry", reason, counts: false, status }
    : { kind: "pause", reason, counts: false, status };
}

const confirmed: Verdict = { kind: "confirmed" };

/**
 * Verdicts on the items of a bulk answer that has status 200; `indices` says where each reading was meant to go.
 * A refusal other than by 429 or 503 counts when the same answer accepts something else for the same index.
 * Returns a text instead when the answer is not one to these readings (it is then worth nothing).
 */
export function judgeBulk(body: unknown, indices: readonly string[]): Verdict[] | string {
  const items = (body as { items?: unknown } | null)?.items;
  if (!Array.isArray(items)) return "the answer is no answer to a bulk request";
  if (items.length !== indices.length) {
    return `the answer speaks of ${items.length} documents, but ${indices.length} were sent`;
  }
  const verdicts: Verdict[] = [];
  const accepting = new Set<string>();
  let refusals = 0;
  for (const [at, item] of items.entries()) {
    const created = (item as { create?: { status?: unknown; error?: unknown } } | null)?.create;
    const status = created?.status;
    if (typeof status !== "number") return "the answer does not say what became of each document";
    const verdict = judgeItem(status, created?.error);
    if (verdict.kind === "confirmed") accepting.add(indices[at]!);
    else refusals++;
    verdicts.push(verdict);
  }
  return refusals === 0
    ? verdicts
    : verdicts.map((verdict, at) => countIf(verdict, accepting.has(indices[at]!)));
}

/** The answer to that many documents when all of them were created: by far the most frequent one, known by its text. */
export class AllCreated {
  #count = 0;
  #text = "";

  is(text: string, count: number): boolean {
    if (count !== this.#count) {
      this.#count = count;
      this.#text = `{"errors":false,"items":[${
        new Array(count).fill('{"create":{"status":201}}').join(",")
      }]}`;
    }
    return text === this.#text;
  }
}

/** The verdict with `counts` set when it is a refusal of the kind that counts and `accepting` holds. */
export function countIf(verdict: Verdict, accepting: boolean): Verdict {
  return accepting && mayCount(verdict) ? { ...verdict, counts: true } : verdict;
}

/** Whether a refusal would count if others for the same index are accepted. */
export function mayCount(verdict: Verdict): verdict is Extract<Verdict, { kind: "retry" | "pause" }> {
  return (verdict.kind === "retry" || verdict.kind === "pause") && verdict.status !== 429 &&
    verdict.status !== 503;
}

/** What a refusal of a whole request means. */
export interface Refusal {
  kind: "too large" | "retry" | "pause";
  reason: string;
  remedy?: string;
}

/** Whether another URL of the same cluster may do better. */
export function triesElsewhere(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** Judges an answer to a whole request that is not 2xx. */
export function judgeRefusal(status: number, body: unknown): Refusal {
  const text = errorText((body as { error?: unknown } | null)?.error);
  const reason = `HTTP ${status}${text === "" ? "" : `: ${text}`}`;
  if (status === 413) return { kind: "too large", reason };
  if (status === 401) {
    return { kind: "retry", reason: `not let in (${reason})`, remedy: credentialsRemedy };
  }
  if (status === 403) {
    return { kind: "pause", reason: `not allowed (${reason})`, remedy: privilegesRemedy };
  }
  if (status === 429 || status === 408 || status >= 500) {
    return { kind: "retry", reason };
  }
  return {
    kind: "pause",
    reason,
    remedy: "check that the URL is that of Elasticsearch itself",
  };
}

const credentialsRemedy = "check the API key or the user and password of this output";
const privilegesRemedy =
  "give the key create_doc and auto_configure on the index pattern, and check the index's blocks";
