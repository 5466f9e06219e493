/**
 * A fake of Elasticsearch's `_bulk`, for speed and for faults that a real one can't be made to show. It is strict where
 * the agent's promises are at stake: a second `create` of an id in an index gets 409, and what the two differed in is
 * kept as a violation, as is an id that comes into two indices.
 */
import { gunzipSync } from "node:zlib";

/** A document as it was created. */
export interface Stored {
  index: string;
  id: string;
  /** The line as it came. */
  line: string;
}

/** What the sink does with a request instead of, or after, taking its documents. */
export interface Misbehaviour {
  /** Answers with this status and takes nothing. */
  status?: number;
  /** The body of that answer; default an Elasticsearch error. */
  body?: string;
  /** Waits before it answers. */
  delayMs?: number;
  /** `before`: closes the connection and takes nothing. `after`: takes all, and cuts in the middle of the answer. */
  cut?: "before" | "after";
  /** Asked for each document: a status refuses it (429, 503: nobody's fault; 400: its own). */
  refuse?: (id: string, line: string) => number | undefined;
  /** Leaves the product header away, as any other HTTP server does. */
  noProduct?: boolean;
}

type Fault = Misbehaviour | ((request: number) => Misbehaviour | undefined);

interface Item {
  create: { _index: string; _id: string; status: number; error?: { type: string; reason: string } };
}

const jsonHeaders = { "content-type": "application/json", "x-elastic-product": "Elasticsearch" };
const rootAnswer = {
  name: "sink",
  cluster_name: "lab",
  version: { number: "8.19.21", build_flavor: "default", lucene_version: "9.12.2" },
  tagline: "You Know, for Search",
};

/** `await using` ends it. */
export class Sink implements AsyncDisposable {
  readonly documents = new Map<string, Stored>();
  /** What no Elasticsearch would complain of, but our promises forbid. */
  readonly violations: string[] = [];
  /** Every other endpoint that was asked for: `GET /_license`. */
  readonly unknown: string[] = [];
  /** The templates that were put, by name. */
  readonly templates = new Map<string, unknown>();
  /** Applies to `_bulk` only; a function is asked at each request. */
  fault: Fault | undefined;
  bulkRequests = 0;
  /** Creates that were answered with 409. */
  conflicts = 0;
  /** Bytes of the bodies before compression. */
  bulkBytes = 0;
  readonly port: number;
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stop = new AbortController();

  constructor({ port = 0, hostname = "127.0.0.1" }: { port?: number; hostname?: string } = {}) {
    this.#server = Deno.serve({
      hostname,
      port,
      signal: this.#stop.signal,
      onListen() {},
      onError: () => new Response(null, { status: 500 }),
    }, (request) => this.#handle(request));
    this.port = this.#server.addr.port;
    this.url = `http://${hostname}:${this.port}`;
  }

  /** The documents' parsed sources, in the order in which they were created. */
  sources(): Record<string, unknown>[] {
    return [...this.documents.values()].map((one) => JSON.parse(one.line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fault = undefined;
    this.#stop.abort();
    await this.#server.finished;
  }

  async #handle(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const route = `${request.method} ${pathname}`;
    if (/^(POST|PUT) (\/[^/]+)?\/_bulk$/.test(route)) {
      return await this.#bulk(request, pathname, searchParams);
    }
    if (pathname.startsWith("/_index_template/")) return await this.#template(request, pathname.slice(17));
    if (route === "GET /") return json(rootAnswer);
    if (route === "HEAD /") return new Response(null, { headers: jsonHeaders });
    this.unknown.push(route);
    await request.body?.cancel();
    return json(
      { error: { type: "illegal_argument_exception", reason: `no handler found for ${route}` } },
      400,
    );
  }

  /** Ends early when the sink does. */
  #sleep(timeMs: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, timeMs);
      this.#stop.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        done();
      }, { once: true });
    });
  }

  async #template(request: Request, name: string): Promise<Response> {
    if (request.method === "PUT" || request.method === "POST") {
      this.templates.set(name, JSON.parse(await readBody(request)));
      return json({ acknowledged: true });
    }
    const known = this.templates.get(name);
    if (known === undefined) {
      return json({ error: { type: "resource_not_found_exception", reason: name }, status: 404 }, 404);
    }
    return json({ index_templates: [{ name, index_template: known }] });
  }

  async #bulk(request: Request, pathname: string, search: URLSearchParams): Promise<Response> {
    const number = ++this.bulkRequests;
    const fault = typeof this.fault === "function" ? this.fault(number) : this.fault;
    const body = await readBody(request);
    if (fault?.delayMs !== undefined) await this.#sleep(fault.delayMs);
    if (fault?.cut === "before") return cutResponse("");
    if (fault?.status !== undefined) {
      const error = { error: { type: "lab_exception", reason: "the test wants this" }, status: fault.status };
      return new Response(fault.body ?? JSON.stringify(error), {
        status: fault.status,
        headers: headersOf(fault),
      });
    }
    const type = request.headers.get("content-type") ?? "";
    if (!/^application\/(x-ndjson|vnd\.elasticsearch\+x-ndjson)/.test(type)) {
      return json({ error: { type: "media_type_header_exception", reason: `content type ${type}` } }, 406);
    }
    this.bulkBytes += body.length;
    const defaultIndex = pathname.split("/")[1] === "_bulk"
      ? undefined
      : decodeURIComponent(pathname.split("/")[1]!);
    let items: Item[];
    try {
      items = this.#takeAll(body, defaultIndex, search.get("op_type"), fault);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.violations.push(`a bulk body that Elasticsearch refuses: ${reason}`);
      return json({ error: { type: "illegal_argument_exception", reason }, status: 400 }, 400);
    }
    const answer = JSON.stringify(shape(items, search.get("filter_path")));
    if (fault?.cut === "after") return cutResponse(answer.slice(0, answer.length / 2));
    return new Response(answer, { headers: headersOf(fault) });
  }

  #takeAll(
    body: string,
    defaultIndex: string | undefined,
    opType: string | null,
    fault: Misbehaviour | undefined,
  ): Item[] {
    if (!body.endsWith("\n")) throw new Error("The bulk request must be terminated by a newline [\\n]");
    const lines = body.split("\n");
    const items: Item[] = [];
    for (let at = 0; at < lines.length - 1; at += 2) {
      const line = lines[at + 1];
      if (line === undefined || line === "") throw new Error("an action without a document");
      const action = JSON.parse(lines[at]!) as Record<string, { _index?: string; _id?: string }>;
      const verb = Object.keys(action)[0]!;
      if (verb !== "create" && !(verb === "index" && opType === "create")) {
        throw new Error(`action [${verb}]`);
      }
      const { _index: index = defaultIndex, _id: id } = action[verb]!;
      if (index === undefined || id === undefined) throw new Error("an action without _index or _id");
      items.push(this.#take({ index, id, line }, fault));
    }
    return items;
  }

  #take(one: Stored, fault: Misbehaviour | undefined): Item {
    const { index, id, line } = one;
    const answer = (status: number, error?: { type: string; reason: string }): Item => ({
      create: { _index: index, _id: id, status, ...(error === undefined ? {} : { error }) },
    });
    const refusal = fault?.refuse?.(id, line);
    if (refusal !== undefined) return answer(refusal, refusalOf(refusal));
    const earlier = this.documents.get(id);
    if (earlier === undefined) {
      JSON.parse(line);
      this.documents.set(id, one);
      return answer(201);
    }
    this.conflicts++;
    if (earlier.index !== index) this.violations.push(`${id} came into ${earlier.index} and into ${index}`);
    if (earlier.line !== line) this.violations.push(`${id} names two documents: ${earlier.line} and ${line}`);
    const reason = `[${id}]: version conflict, document already exists`;
    return answer(409, { type: "version_conflict_engine_exception", reason });
  }
}

function refusalOf(status: number): { type: string; reason: string } {
  const types: Record<number, string> = {
    400: "document_parsing_exception",
    403: "cluster_block_exception",
    429: "es_rejected_execution_exception",
    503: "unavailable_shards_exception",
  };
  return { type: types[status] ?? "lab_exception", reason: "the test wants this" };
}

/** The answer as `filter_path` asks for it: all of it, or only status and error of each item. */
function shape(items: Item[], filter: string | null): unknown {
  const errors = items.some((item) => item.create.status >= 300);
  if (filter === null) return { took: 1, errors, items };
  const short = items.map(({ create: { status, error } }) => ({
    create: { status, ...(error === undefined ? {} : { error }) },
  }));
  return { errors, items: short };
}

function headersOf(fault: Misbehaviour | undefined): Record<string, string> {
  return fault?.noProduct ? { "content-type": jsonHeaders["content-type"] } : jsonHeaders;
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: jsonHeaders });
}

/** An answer whose connection breaks after `text`. */
function cutResponse(text: string): Response {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      if (text !== "") controller.enqueue(new TextEncoder().encode(text));
    },
    pull(controller) {
      controller.error(new Error("cut"));
    },
  });
  return new Response(stream, { headers: jsonHeaders });
}

async function readBody(request: Request): Promise<string> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  const plain = request.headers.get("content-encoding") === "gzip" ? gunzipSync(bytes) : bytes;
  return new TextDecoder("utf-8", { fatal: true }).decode(plain);
}
