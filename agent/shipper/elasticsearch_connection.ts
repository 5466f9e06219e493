/**
 * HTTP for the client of Elasticsearch by Deno's own `fetch`. The client's connections are made for Node: under Deno the one
 * over `node:https` hides why TLS failed and ends the process when an answer is cut off; the one over undici knows no
 * proxy and unpacks a zipped answer of any size. This one verifies with clear reasons, takes a proxy and bounds the answer.
 */
import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";
import {
  BaseConnection,
  type ConnectionOptions,
  type ConnectionRequestOptions,
  type ConnectionRequestOptionsAsStream,
  type ConnectionRequestParams,
  type ConnectionRequestResponse,
  type ConnectionRequestResponseAsStream,
  errors,
} from "@elastic/elasticsearch";
import { errorCode } from "../base/errors.ts";
import { outputAnswerBytesMax, outputRequestMs } from "../limits.ts";

/** Idle connections are left after this long: what stands between may have forgotten them without a word. */
const idleMs = 30_000;
const decoder = new TextDecoder();

/** A URL without user and password, and without a slash at its end. */
export function withoutCredentials(url: string): string {
  const clean = new URL(url);
  clean.username = clean.password = "";
  return clean.href.replace(/\/$/, "");
}

export class FetchConnection extends BaseConnection {
  readonly #client: Deno.HttpClient;
  /** Without user and password, which must not come into an error; they stand in the headers. */
  readonly #base: string;

  constructor(options: ConnectionOptions) {
    super(options);
    this.#base = withoutCredentials(options.url.href);
    const ca = options.tls?.ca;
    this.#client = Deno.createHttpClient({
      caCerts: ca === undefined ? [] : [String(ca)],
      ...(options.proxy === undefined || options.proxy === null ? {} : { proxy: proxyOf(options.proxy) }),
      poolIdleTimeout: idleMs,
      http2: false,
    });
  }

  override request(
    params: ConnectionRequestParams,
    options: ConnectionRequestOptions,
  ): Promise<ConnectionRequestResponse>;
  override request(
    params: ConnectionRequestParams,
    options: ConnectionRequestOptionsAsStream,
  ): Promise<ConnectionRequestResponseAsStream>;
  override async request(
    params: ConnectionRequestParams,
    options: ConnectionRequestOptions,
  ): Promise<ConnectionRequestResponse & ConnectionRequestResponseAsStream> {
    const stop = new AbortController();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stop.abort();
    }, options.timeout ?? outputRequestMs);
    const abort = () => stop.abort();
    options.signal?.addEventListener("abort", abort, { once: true });
    if (options.signal?.aborted === true) stop.abort();
    try {
      const answer = await this.#fetch(params, stop.signal);
      return answer as ConnectionRequestResponse & ConnectionRequestResponseAsStream;
    } catch (error) {
      if (late) throw new errors.TimeoutError("no answer in time");
      if (options.signal?.aborted === true) throw new errors.RequestAbortedError("stopped");
      if (error instanceof errors.ElasticsearchClientError) throw error;
      throw new errors.ConnectionError(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
    }
  }

  override close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }

  async #fetch(params: ConnectionRequestParams, signal: AbortSignal): Promise<ConnectionRequestResponse> {
    const query = params.querystring === undefined || params.querystring === ""
      ? ""
      : `?${params.querystring}`;
    const response = await fetch(this.#base + params.path + query, {
      method: params.method,
      headers: [...Object.entries({ ...this.headers, ...params.headers }), [
        "accept-encoding",
        "deflate",
      ]] as [string, string][],
      ...(typeof params.body === "string" || Buffer.isBuffer(params.body)
        ? { body: params.body as BodyInit }
        : {}),
      // a redirect would carry the readings, perhaps the credentials too, to somewhere that nobody configured
      redirect: "manual",
      signal,
      client: this.#client,
    });
    const body = await readText(response);
    const { "content-encoding": _unpacked, ...headers } = Object.fromEntries(response.headers);
    return { statusCode: response.status, headers, body };
  }
}

/**
 * The body as text; an answer that grows beyond all measure is given up. Deno unpacks gzip and brotli by itself, in small
 * pieces and to any size, so `deflate` is asked for, which it leaves alone.
 */
async function readText(response: Response): Promise<string> {
  const lengthBytes = Number(response.headers.get("content-length") ?? NaN);
  if (lengthBytes > outputAnswerBytesMax) {
    await response.body?.cancel();
    throw tooLarge();
  }
  if (response.headers.get("content-encoding") === "deflate") return inflate(await readBytes(response));
  return lengthBytes >= 0 ? await response.text() : decoder.decode(await readBytes(response));
}

async function readBytes(response: Response): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > outputAnswerBytesMax) throw tooLarge();
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

function inflate(bytes: Uint8Array): string {
  try {
    return decoder.decode(inflateSync(bytes, { maxOutputLength: outputAnswerBytesMax }));
  } catch (error) {
    if (errorCode(error) === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    throw new errors.ConnectionError("the answer can't be unpacked");
  }
}

function tooLarge(): Error {
  return new errors.ConnectionError(`the answer is larger than ${outputAnswerBytesMax} bytes`);
}

function proxyOf(proxy: string | URL): Deno.Proxy {
  const url = new URL(proxy);
  const { username, password } = url;
  url.username = url.password = "";
  const basicAuth = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { url: url.href, ...(username === "" ? {} : { basicAuth }) };
}
