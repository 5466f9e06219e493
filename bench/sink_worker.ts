/**
 * Worker: a plain HTTP server that answers like Elasticsearch as far as bulk clients look: product header, version,
 * templates, and `_bulk` with one item per document, in full or as `filter_path` asks. It stores nothing. `sink.ts`
 * talks to it.
 */
import { crc32, gunzipSync } from "node:zlib";

export type ToSink = { kind: "reset"; keep: number } | { kind: "ask" };
export type FromSink =
  | { kind: "listening"; port: number }
  | { kind: "seen"; seen: Seen }
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
}

const scope = self as unknown as {
  postMessage(message: FromSink): void;
  onmessage: ((event: MessageEvent<ToSink>) => void) | null;
};

const nothing: Seen = { documents: 0, requests: 0, wireBytes: 0, bodyBytes: 0, digest: 0, kept: "" };
let keep = 0;
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
  const lines = new TextDecoder().decode(body).split("\n");
  for (let i = 0; i + 1 < lines.length && seen.documents + i / 2 < keep; i += 2) {
    seen.digest += crc32(JSON.stringify(JSON.parse(lines[i + 1]!)));
    seen.kept += `${lines[i]}\n${lines[i + 1]}\n`;
  }
}

const filteredItem = '{"create":{"status":201}}';
const fullItem = '{"create":{"_index":"bench","_id":"0","_version":1,"result":"created",' +
  '"_shards":{"total":1,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}}';

async function bulk(request: Request, url: URL): Promise<Response> {
  const wire = new Uint8Array(await request.arrayBuffer());
  const body = request.headers.get("content-encoding") === "gzip" ? gunzipSync(wire) : wire;
  let lines = 0;
  for (let at = body.indexOf(10); at >= 0; at = body.indexOf(10, at + 1)) lines++;
  if (seen.documents < keep) keepDocuments(body);
  const count = lines / 2;
  seen.documents += count;
  seen.requests++;
  seen.wireBytes += wire.length;
  seen.bodyBytes += body.length;
  const filtered = url.searchParams.get("filter_path") !== null;
  const items = new Array(count).fill(filtered ? filteredItem : fullItem).join(",");
  return new Response(`{${filtered ? "" : '"took":1,'}"errors":false,"items":[${items}]}`, { headers });
}

function respond(request: Request): Response | Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.endsWith("/_bulk")) return bulk(request, url);
  if (url.pathname === "/") return new Response(JSON.stringify(info), { headers });
  return new Response('{"acknowledged":true}', { headers });
}

scope.onmessage = ({ data }) => {
  if (data.kind === "ask") return scope.postMessage({ kind: "seen", seen });
  keep = data.keep;
  seen = { ...nothing };
  scope.postMessage({ kind: "seen", seen });
};

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => scope.postMessage({ kind: "listening", port }),
  onError(error) {
    scope.postMessage({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
    return new Response(null, { status: 500 });
  },
}, respond);
