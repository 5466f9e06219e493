/**
 * Worker: a plain HTTP server that answers like Elasticsearch as far as bulk clients look: product header, version,
 * templates, and `_bulk` with one item per document, in full or as `filter_path` asks. It stores nothing. On order it
 * notes which readings come when, and passes everything on to a real Elasticsearch. `sink.ts` talks to it.
 */
import { crc32, gunzipSync } from "node:zlib";
import { Arrivals, type Arrived, type BulkDocument, bulkDocuments, bulkStatuses } from "./arrivals.ts";
import { nowMs } from "./pour.ts";

export type ToSink =
  | { kind: "reset"; keep: number }
  | { kind: "note"; readings: number; upstream: string | undefined }
  | { kind: "ask" }
  | { kind: "arrived" };
export type FromSink =
  | { kind: "listening"; port: number }
  | { kind: "seen"; seen: Seen }
  | { kind: "arrived"; arrived: Arrived }
  | { kind: "failed"; why: string };

/** What came since the last reset. */
export interface Seen {
  documents: number;
  requests: number;
  /** Bytes as they came over the wire, and after unzipping. */
  wireBytes: number;
  bodyBytes: number;
  /** Sum of the checksums of the first `keep` documents as JSON, without regard to how numbers were written. */
  digest: number;
  /** Those documents, each with its action line before it. */
  kept: string;
  /** Numbered readings that are indexed, each counted once. */
  distinct: number;
}

const scope = self as unknown as {
  postMessage(message: FromSink): void;
  onmessage: ((event: MessageEvent<ToSink>) => void) | null;
};

const decoder = new TextDecoder();
const nothing: Seen = {
  documents: 0,
  requests: 0,
  wireBytes: 0,
  bodyBytes: 0,
  digest: 0,
  kept: "",
  distinct: 0,
};
let keep = 0;
let arrivals: Arrivals | undefined;
let upstream: string | undefined;
let seen: Seen = { ...nothing };

const headers = { "x-elastic-product": "Elasticsearch", "content-type": "application/json" };
const info = {
  name: "bench",
  cluster_name: "bench",
  cluster_uuid: "bench",
  version: { number: "8.19.0", build_flavor: "default", minimum_wire_compatibility_version: "7.17.0" },
  tagline: "You Know, for Search",
};

function keepDocuments(body: Uint8Array): void {
  const lines = decoder.decode(body).split("\n");
  for (let i = 0; i + 1 < lines.length && seen.documents + i / 2 < keep; i += 2) {
    seen.digest += crc32(JSON.stringify(JSON.parse(lines[i + 1]!)));
    seen.kept += `${lines[i]}\n${lines[i + 1]}\n`;
  }
}

const filteredItem = '{"create":{"status":201}}';
const fullItem = '{"create":{"_index":"bench","_id":"0","_version":1,"result":"created",' +
  '"_shards":{"total":1,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}}';

const duplicateItem = '{"create":{"status":409,"error":{"type":"version_conflict_engine_exception",' +
  '"reason":"document already exists"}}}';

function unzipped(request: Request, wire: Uint8Array): Uint8Array {
  return request.headers.get("content-encoding") === "gzip" ? gunzipSync(wire) : wire;
}

function bulk(request: Request, url: URL, wire: Uint8Array): Response {
  const body = unzipped(request, wire);
  let lines = 0;
  for (let at = body.indexOf(10); at >= 0; at = body.indexOf(10, at + 1)) lines++;
  if (seen.documents < keep) keepDocuments(body);
  const count = lines / 2;
  seen.documents += count;
  seen.requests++;
  seen.wireBytes += wire.length;
  seen.bodyBytes += body.length;
  const filtered = url.searchParams.get("filter_path") !== null;
  const items = new Array<string>(count).fill(filtered ? filteredItem : fullItem);
  const errors = arrivals !== undefined && noteAll(arrivals, body, items);
  const took = filtered ? "" : '"took":1,';
  return new Response(`{${took}"errors":${errors},"items":[${items.join(",")}]}`, { headers });
}

/** As an index would: an id that is there already is refused. Says whether one was. */
function noteAll(all: Arrivals, body: Uint8Array, items: string[]): boolean {
  const atMs = nowMs();
  let errors = false;
  for (const [at, document] of bulkDocuments(decoder.decode(body)).entries()) {
    if (all.refuses(document)) {
      items[at] = duplicateItem;
      errors = true;
    } else {
      all.indexed(document, atMs);
    }
  }
  return errors;
}

/** Notes those documents that the server says it has taken. */
function noteTaken(all: Arrivals, documents: BulkDocument[], answer: string): void {
  const atMs = nowMs();
  const statuses = bulkStatuses(answer);
  for (const [at, document] of documents.entries()) {
    const status = statuses?.[at] ?? 201;
    if (status >= 200 && status < 300) all.indexed(document, atMs);
  }
}

/** Asks the real server, as the client would have. */
async function passOn(request: Request, url: URL, to: string, wire: Uint8Array): Promise<Response> {
  const asked = new Headers({ "accept-encoding": "identity" });
  for (const name of ["content-type", "content-encoding", "accept"]) {
    const value = request.headers.get(name);
    if (value !== null) asked.set(name, value);
  }
  const { method } = request;
  const body = wire.length > 0 ? { body: wire as Uint8Array<ArrayBuffer> } : {};
  const answer = await fetch(`${to}${url.pathname}${url.search}`, { method, headers: asked, ...body });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (arrivals !== undefined && answer.ok && url.pathname.endsWith("/_bulk")) {
    const documents = bulkDocuments(decoder.decode(unzipped(request, wire)));
    noteTaken(arrivals, documents, decoder.decode(bytes));
    seen.documents += documents.length;
    seen.requests++;
  }
  const answered = new Headers();
  for (const name of ["content-type", "x-elastic-product"]) {
    const value = answer.headers.get(name);
    if (value !== null) answered.set(name, value);
  }
  return new Response(method === "HEAD" ? null : bytes, { status: answer.status, headers: answered });
}

async function respond(request: Request): Promise<Response> {
  const url = new URL(request.url);
  const wire = new Uint8Array(await request.arrayBuffer());
  if (upstream !== undefined) return await passOn(request, url, upstream, wire);
  if (url.pathname.endsWith("/_bulk")) return bulk(request, url, wire);
  if (url.pathname === "/") return new Response(JSON.stringify(info), { headers });
  return new Response('{"acknowledged":true}', { headers });
}

function answerTo(order: ToSink): FromSink {
  switch (order.kind) {
    case "ask":
      return { kind: "seen", seen: { ...seen, distinct: arrivals?.distinct ?? 0 } };
    case "arrived":
      if (arrivals === undefined) return { kind: "failed", why: "no arrivals were noted" };
      return { kind: "arrived", arrived: arrivals.seen };
    case "reset":
      keep = order.keep;
      arrivals = upstream = undefined;
      break;
    case "note":
      keep = 0;
      arrivals = new Arrivals(order.readings);
      upstream = order.upstream;
  }
  seen = { ...nothing };
  return { kind: "seen", seen };
}

scope.onmessage = ({ data }) => scope.postMessage(answerTo(data));

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => scope.postMessage({ kind: "listening", port }),
  onError(error) {
    scope.postMessage({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
    return new Response(null, { status: 500 });
  },
}, respond);
