/** What is asked of the running agent, and its answers: a function from request to response, free of the socket. */
import { isRetryable, OperationError, reasonOf } from "../base/errors.ts";
import { requestBodyBytesMax, requestBodyMs } from "../limits.ts";
import type { AgentApi, TailBatch } from "./agent_api.ts";
import { readingJson } from "./reading_json.ts";

/** An answer that refuses: `{"error": …, "remedy": …}`. */
export function refusal(status: number, error: string, remedy?: string): Response {
  return Response.json({ error, ...(remedy === undefined ? {} : { remedy }) }, { status });
}

/**
 * Answers one request. `GET /status`, `GET /dead` and `POST /dead/NAME/replay|drop` answer in JSON, `GET /dead/NAME`
 * and `GET /tail[?filter=FILTER&filter=…]` in lines of JSON; a tail ends when `signal` aborts. Never rejects.
 */
export async function handle(api: AgentApi, request: Request, signal = request.signal): Promise<Response> {
  try {
    const url = new URL(request.url);
    const path = url.pathname.split("/").slice(1).map(decodeURIComponent);
    return await route(api, request, path, url.searchParams, signal);
  } catch (error) {
    if (error instanceof URIError) return refusal(400, "the path is not well encoded");
    if (!(error instanceof OperationError)) return refusal(500, reasonOf(error));
    return refusal(isRetryable(error) ? 503 : 400, `${error.place}: ${error.reason}`, error.remedy);
  }
}

async function route(
  api: AgentApi,
  request: Request,
  path: string[],
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<Response> {
  const [what, output, action] = path;
  const known = path.length === 1 && (what === "status" || what === "tail" || what === "dead") ||
    what === "dead" && (path.length === 2 || path.length === 3 && (action === "replay" || action === "drop"));
  if (!known) return refusal(404, `nothing is known of ${new URL(request.url).pathname}`);
  const method = action === undefined ? "GET" : "POST";
  if (request.method !== method) return refusal(405, `${request.method} is not allowed here, ${method} is`);
  if (what === "status") return Response.json(await api.snapshot());
  if (what === "tail") {
    const filters = query.getAll("filter");
    return lines(signal, (stop) => tailLines(api.tail(stop, filters.length === 0 ? undefined : filters)));
  }
  if (output === undefined) return Response.json({ outputs: api.outputs() });
  if (action === undefined) {
    const letters = api.deadLetters(output);
    return lines(signal, () => eachOf(letters));
  }
  const ids = await chosenIds(request);
  if (ids instanceof Response) return ids;
  if (action === "replay") return Response.json(await api.replayDead(output, ids, signal));
  return Response.json({ dropped: await api.dropDead(output, ids) });
}

/** The ids that the body names, undefined for `{"all": true}`, or the refusal of the body. */
async function chosenIds(request: Request): Promise<string[] | undefined | Response> {
  const text = await boundedText(request);
  if (text === undefined) {
    return refusal(
      413,
      `the body is larger than ${requestBodyBytesMax} bytes or took too long`,
      "name fewer ids",
    );
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return refusal(400, "the body is not JSON");
  }
  if (typeof body === "object" && body !== null) {
    const { all, ids } = body as { all?: unknown; ids?: unknown };
    if (all === true && ids === undefined) return undefined;
    const strings = Array.isArray(ids) && ids.length > 0 && ids.every((id) => typeof id === "string");
    if (strings && all === undefined) return ids as string[];
  }
  return refusal(400, 'the body must be {"all": true} or {"ids": [ID, …]}');
}

/** The body as text, or undefined when it is too large or takes too long. */
async function boundedText(request: Request): Promise<string | undefined> {
  if (request.body === null) return "";
  const reader = request.body.getReader();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader.cancel().catch(() => {}); // it is gone either way
  }, requestBodyMs);
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (late) return undefined;
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > requestBodyBytesMax) {
        await reader.cancel();
        return undefined;
      }
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    clearTimeout(timer);
  }
}

async function* eachOf(values: Iterable<unknown>): AsyncGenerator<unknown[]> {
  for (const value of values) yield await Promise.resolve([value]);
}

/** Readings as lines, and a notice where a slow reader missed some. */
async function* tailLines(batches: AsyncIterable<TailBatch>): AsyncGenerator<unknown[]> {
  for await (const { readings, skipped } of batches) {
    const notice = skipped > 0 ? [{ skipped }] : [];
    yield [...notice, ...readings.map(readingJson)];
  }
}

/**
 * A stream of JSON lines that asks `start`'s generator for more only as fast as the other side reads. It ends when the
 * generator does or `signal` aborts; the generator is told by the signal that it gets.
 */
function lines(signal: AbortSignal, start: (stop: AbortSignal) => AsyncGenerator<unknown[]>): Response {
  const gone = new AbortController();
  const values = start(AbortSignal.any([signal, gone.signal]));
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      let text = "";
      while (text === "") {
        const { done, value } = await values.next();
        if (gone.signal.aborted) return;
        if (done || signal.aborted) return controller.close();
        text = value.map((line) => `${JSON.stringify(line)}\n`).join("");
      }
      controller.enqueue(encoder.encode(text));
    },
    async cancel() {
      gone.abort();
      await values.return(undefined);
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}
