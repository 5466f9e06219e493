/** The URLs of one cluster: requests go to the one that answered last, and on to the next when it does not answer. */
import { Buffer } from "node:buffer";
import { Client, type ClientOptions, errors, Serializer } from "@elastic/elasticsearch";
import { OperationError } from "../base/errors.ts";
import { outputRequestMs } from "../limits.ts";
import type { ElasticsearchSettings } from "../settings.ts";
import { FetchConnection, withoutCredentials } from "./elasticsearch_connection.ts";
import { requestFailed } from "./elasticsearch_failure.ts";
import { triesElsewhere } from "./judge.ts";

/** An answer of any status. `text` is its body; `body` the same parsed, undefined when it is not JSON. */
export interface Reply {
  status: number;
  text: string;
  readonly body: unknown;
}

/** One request. `ndjson` is already zipped. */
export interface Request {
  method: "GET" | "POST" | "PUT";
  path: string;
  query?: Record<string, string>;
  json?: Record<string, unknown>;
  zippedNdjson?: Buffer;
}

/** Leaves answers as text: most of them are known by their text alone, which is quicker than to parse them. */
class TextSerializer extends Serializer {
  override deserialize<T = unknown>(json: string): T {
    return json as T;
  }
}

/** The parsed body of an answer of status 200. Throws OperationError, retryable, when it is no JSON object. */
export function objectOf(reply: Reply, place: string): Record<string, unknown> {
  const { body } = reply;
  if (typeof body === "object" && body !== null) return body as Record<string, unknown>;
  throw new OperationError({
    operation: "ask Elasticsearch",
    place,
    cause: `the answer is not JSON as expected: ${JSON.stringify(reply.text.slice(0, 60))}`,
    retryable: true,
  });
}

class TextReply implements Reply {
  constructor(readonly status: number, readonly text: string) {}

  get body(): unknown {
    try {
      return JSON.parse(this.text);
    } catch {
      return undefined;
    }
  }
}

export class ElasticsearchNodes {
  readonly #nodes: { client: Client; place: string }[];
  #current = 0;

  /** Reads the secrets. Throws ConfigError when one can't be read. */
  constructor(settings: ElasticsearchSettings) {
    const options = clientOptions(settings);
    this.#nodes = settings.urls.map((url) => {
      return { client: new Client({ ...options, node: url }), place: withoutCredentials(url) };
    });
  }

  /** Where the next request goes. */
  get place(): string {
    return this.#nodes[this.#current]!.place;
  }

  /**
   * Asks one URL after the other until one answers with something else than 502, 503 or 504. Throws OperationError when
   * none does; when all of them answered so, the last answer is returned.
   */
  async request(request: Request, signal: AbortSignal): Promise<Reply> {
    const failures: OperationError[] = [];
    let last: Reply | undefined;
    for (let tries = 0; tries < this.#nodes.length; tries++) {
      const node = this.#nodes[this.#current]!;
      try {
        last = await ask(node.client, request, signal);
        if (!triesElsewhere(last.status)) return last;
      } catch (error) {
        failures.push(requestFailed(node.place, error));
        if (signal.aborted) break;
      }
      this.#current = (this.#current + 1) % this.#nodes.length;
    }
    if (last !== undefined) return last;
    throw failures.length === 1 ? failures[0]! : allFailed(failures);
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.client.close()));
  }
}

async function ask(client: Client, request: Request, signal: AbortSignal): Promise<Reply> {
  const { method, path, query, json, zippedNdjson } = request;
  try {
    const answer = await client.transport.request<unknown>(
      {
        method,
        path,
        ...(query === undefined ? {} : { querystring: query }),
        ...(json === undefined ? {} : { body: json }),
        ...(zippedNdjson === undefined ? {} : { bulkBody: zippedNdjson }),
      },
      {
        meta: true,
        signal,
        maxRetries: 0,
        requestTimeout: outputRequestMs,
        ...(zippedNdjson === undefined ? {} : { headers: { "content-encoding": "gzip" } }),
      },
    );
    return new TextReply(answer.statusCode ?? 0, textOf(answer.body));
  } catch (error) {
    if (!(error instanceof errors.ResponseError)) throw error;
    return new TextReply(error.statusCode ?? 0, textOf(error.body));
  }
}

function textOf(body: unknown): string {
  return typeof body === "string" ? body : "";
}

function clientOptions(settings: ElasticsearchSettings): ClientOptions {
  const { caPem, proxy } = settings;
  const auth = authentication(settings);
  return {
    Connection: FetchConnection,
    Serializer: TextSerializer,
    maxRetries: 0,
    requestTimeout: outputRequestMs,
    enableMetaHeader: false,
    ...(caPem === undefined ? {} : { tls: { ca: caPem } }),
    ...(proxy === undefined ? {} : { proxy }),
    ...(auth === undefined ? {} : { auth }),
  };
}

/** An API key in its base64 form, or as `id:key`; else user and password. */
function authentication(settings: ElasticsearchSettings): ClientOptions["auth"] {
  const { apiKey, username, password } = settings;
  if (apiKey !== undefined) {
    const key = apiKey.read().trim();
    return { apiKey: key.includes(":") ? Buffer.from(key).toString("base64") : key };
  }
  return username === undefined ? undefined : { username, password: password?.read() ?? "" };
}

function allFailed(failures: OperationError[]): OperationError {
  const worst = failures.find((failure) => !failure.retryable) ?? failures[0]!;
  return new OperationError({
    operation: "ask Elasticsearch",
    place: failures.map((failure) => failure.place).join(", "),
    cause: failures.map((failure) => `${failure.place}: ${failure.reason}`).join("; "),
    ...(worst.remedy === undefined ? {} : { remedy: worst.remedy }),
    retryable: failures.some((failure) => failure.retryable),
    from: worst,
  });
}
