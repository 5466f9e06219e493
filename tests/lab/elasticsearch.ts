/** A real Elasticsearch of the test's own: `elasticsearch/es.sh` starts it, this asks it. */
import { join } from "node:path";
import type { Certificate } from "./certificates.ts";
import { succeed } from "./command.ts";
import { elasticsearchHome, javaHome, makeLabDir, projectDir } from "./paths.ts";
import { freePort } from "./ports.ts";

export interface ElasticsearchOptions {
  name?: string;
  /** Users, roles and API keys on; the user `elastic` gets a password. */
  security?: boolean;
  /** Server certificate for HTTPS, and the CA that `request` trusts (all PEM files). */
  tls?: Certificate & { ca: string };
  /** Settings of the node, such as `{ "http.max_content_length": "64kb" }`. */
  settings?: Record<string, string>;
}

/** An answer: `json` is the parsed body, `{}` when there was none or it was not JSON. */
export interface Answer<T> {
  status: number;
  json: T;
}

/** A document of an index. */
export interface Found {
  _index: string;
  _id: string;
  _source: Record<string, unknown>;
}

const script = join(projectDir, "tests/lab/elasticsearch/es.sh");

/** A server that was started by `startElasticsearch`. */
export class Elasticsearch {
  readonly url: string;
  /** Password of the user `elastic`; undefined without security. */
  readonly password: string | undefined;
  /** The CA of its certificate; undefined without TLS. */
  readonly caFile: string | undefined;
  readonly #name: string;
  #client: Deno.HttpClient | undefined;
  #settings: Record<string, string>;

  constructor(
    private readonly runDir: string,
    readonly port: number,
    private readonly options: ElasticsearchOptions,
  ) {
    this.#name = options.name ?? "lab";
    this.#settings = options.settings ?? {};
    this.password = options.security ? "lab-password-of-elastic" : undefined;
    this.caFile = options.tls?.ca;
    this.url = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  }

  async #script(...args: string[]): Promise<void> {
    const { tls } = this.options;
    await succeed(script, args, {
      env: {
        ES_HOME: elasticsearchHome,
        ES_JAVA_HOME: javaHome,
        ES_RUN: this.runDir,
        ES_OWNER: String(Deno.pid),
        ES_SECURITY: String(this.options.security ?? false),
        ES_PASSWORD: this.password ?? "",
        ES_TLS_CERTIFICATE: tls?.certificate ?? "",
        ES_TLS_KEY: tls?.key ?? "",
      },
    });
  }

  /** Starts it over the data it has; returns when it is usable. */
  async start(): Promise<void> {
    const settings = Object.entries(this.#settings).flatMap(([key, value]) => ["-E", `${key}=${value}`]);
    await this.#script("start", this.#name, String(this.port), ...settings);
  }

  /** kill -9 by default; waits until it is gone. */
  async kill(signal: "KILL" | "TERM" | "STOP" | "CONT" = "KILL"): Promise<void> {
    const waits = signal === "KILL" || signal === "TERM";
    if (waits) return await this.#script("kill", this.#name, signal);
    Deno.kill(Number(await Deno.readTextFile(join(this.runDir, this.#name, "pid"))), `SIG${signal}`);
  }

  /** Kills it and starts it on the same port over the same data; `settings` replace those it had. */
  async restart(settings?: Record<string, string>): Promise<void> {
    if (settings !== undefined) this.#settings = settings;
    await this.kill();
    await this.start();
  }

  /** Ends it for good and removes its data. */
  async stop(): Promise<void> {
    this.#client?.close();
    this.#client = undefined;
    await this.#script("kill", this.#name, "KILL").catch(() => {}); // killed by the test already
    await Deno.remove(this.runDir, { recursive: true }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Asks as `elastic`. A string as body is sent as NDJSON, anything else as JSON. */
  async request<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer<T>> {
    const headers: Record<string, string> = {};
    if (this.password !== undefined) headers.authorization = `Basic ${btoa(`elastic:${this.password}`)}`;
    if (body !== undefined) {
      headers["content-type"] = `application/${typeof body === "string" ? "x-ndjson" : "json"}`;
    }
    if (this.caFile !== undefined) {
      this.#client ??= Deno.createHttpClient({ caCerts: [await Deno.readTextFile(this.caFile)] });
    }
    const response = await fetch(`${this.url}/${path.replace(/^\//, "")}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...(this.#client === undefined ? {} : { client: this.#client }),
    });
    const text = await response.text();
    let json: unknown = {};
    try {
      json = JSON.parse(text);
    } catch {
      if (response.ok && text !== "") throw new Error(`${method} ${path}: not JSON: ${text.slice(0, 200)}`);
    }
    return { status: response.status, json: json as T };
  }

  /** Like `request`, but throws unless the answer is 2xx. */
  async must<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, json } = await this.request<T>(method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json).slice(0, 2000)}`);
    return json;
  }

  /** A new API key, base64 as an `ApiKey` header wants it. `roles` restrict it; default: all that `elastic` may. */
  async apiKey(roles: Record<string, unknown> = {}): Promise<string> {
    const body = { name: crypto.randomUUID(), role_descriptors: roles };
    return (await this.must<{ encoded: string }>("POST", "/_security/api_key", body)).encoded;
  }

  /** Documents in an index or pattern, after a refresh; 0 when there is none. */
  async count(index: string): Promise<number> {
    await this.must("POST", `/${index}/_refresh?ignore_unavailable=true`);
    return (await this.must<{ count: number }>("GET", `/${index}/_count?ignore_unavailable=true`)).count;
  }

  /** All documents of an index or pattern, after a refresh, in no order. */
  async documents(index: string): Promise<Found[]> {
    await this.must("POST", `/${index}/_refresh?ignore_unavailable=true`);
    interface Page {
      _scroll_id: string;
      hits: { hits: Found[] };
    }
    const found: Found[] = [];
    const first = `/${index}/_search?scroll=1m&size=5000&sort=_doc&ignore_unavailable=true`;
    let page = await this.must<Page>("GET", first);
    while (page.hits.hits.length > 0) {
      found.push(...page.hits.hits);
      page = await this.must<Page>("POST", "/_search/scroll", { scroll: "1m", scroll_id: page._scroll_id });
    }
    await this.request("DELETE", "/_search/scroll", { scroll_id: page._scroll_id });
    return found;
  }
}

/** Starts a server on a free port with an empty data folder: 10 to 20 s. `await using` stops it. */
export async function startElasticsearch(options: ElasticsearchOptions = {}): Promise<Elasticsearch> {
  const server = new Elasticsearch(await makeLabDir("elasticsearch"), freePort(), options);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/**
 * One plain server (no security, no TLS) for all test files of this process; it ends with the process. For tests that
 * keep to index names of their own and change no settings of the server. Don't stop it.
 */
export async function sharedElasticsearch(): Promise<Elasticsearch> {
  const dir = join(Deno.env.get("TMPDIR") ?? "/tmp", `sensorlog-lab-shared-${Deno.pid}`);
  await Deno.mkdir(dir, { recursive: true, mode: 0o711 });
  // test files run in isolates of their own: what they share is this folder, named after their process
  const lock = await Deno.open(join(dir, "lock"), { write: true, create: true });
  try {
    await lock.lock(true);
    const known = await Deno.readTextFile(join(dir, "port")).catch(() => undefined);
    if (known !== undefined) return new Elasticsearch(dir, Number(known), { name: "shared" });
    const server = new Elasticsearch(dir, freePort(), { name: "shared" });
    await server.start();
    await Deno.writeTextFile(join(dir, "port"), String(server.port));
    return server;
  } finally {
    lock.close();
  }
}
