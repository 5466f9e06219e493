/** Asks the running agent over its Unix socket. */
import { OperationError, reasonOf } from "../base/errors.ts";

const operation = "ask the agent";

export class SocketClient {
  readonly #http: Deno.HttpClient;

  private constructor(readonly path: string) {
    this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  }

  /**
   * A client of the agent at `path`, or undefined when none answers there. Throws OperationError when that can't be
   * told (no permission).
   */
  static async connect(path: string): Promise<SocketClient | undefined> {
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return new SocketClient(path);
    } catch (error) {
      const nobody = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused;
      if (nobody) return undefined;
      const denied = error instanceof Deno.errors.PermissionDenied;
      throw new OperationError({
        operation,
        place: path,
        cause: denied ? "this user may not use the agent's socket" : reasonOf(error),
        ...(denied ? { remedy: "use sudo, or join the group that owns the socket" } : {}),
        from: error,
      });
    }
  }

  /** The JSON answer to GET. Throws OperationError: a refusal, no answer in time. */
  async get<T>(path: string, timeoutMs = 10_000): Promise<T> {
    return await this.#within(
      timeoutMs,
      async (signal) => await (await this.#ask("GET", path, signal)).json() as T,
    );
  }

  /** The JSON answer to POST. Throws as `get` does. */
  async post<T>(path: string, body: unknown, timeoutMs: number, stop?: AbortSignal): Promise<T> {
    const send = async (signal: AbortSignal) => {
      const both = stop === undefined ? signal : AbortSignal.any([signal, stop]);
      return await (await this.#ask("POST", path, both, body)).json() as T;
    };
    return await this.#within(timeoutMs, send);
  }

  /** The lines of an answer as they come, those that came together at a time, until it ends or `signal` aborts. Throws OperationError when it breaks. */
  async *lines<T>(path: string, signal: AbortSignal): AsyncGenerator<T[]> {
    let rest = "";
    try {
      const response = await this.#ask("GET", path, signal);
      for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
        const parts = (rest + text).split("\n");
        rest = parts.pop()!;
        if (parts.length > 0) yield parts.map((part) => JSON.parse(part) as T);
      }
    } catch (error) {
      if (signal.aborted) return;
      throw this.#failure(error, undefined);
    }
    if (rest !== "" && !signal.aborted) {
      throw this.#failure(new Error("the answer ends in the middle of a line"), undefined);
    }
  }

  close(): void {
    this.#http.close();
  }

  async #ask(method: string, path: string, signal: AbortSignal, body?: unknown): Promise<Response> {
    const response = await fetch(`http://agent${path}`, {
      method,
      signal,
      client: this.#http,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.ok) return response;
    const refused = await response.json().catch(() => ({})) as { error?: string; remedy?: string };
    throw new OperationError({
      operation,
      place: this.path,
      cause: refused.error ?? `status ${response.status}`,
      ...(refused.remedy === undefined ? {} : { remedy: refused.remedy }),
    });
  }

  async #within<T>(timeoutMs: number, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), timeoutMs);
    try {
      return await ask(timeout.signal);
    } catch (error) {
      throw this.#failure(error, timeout.signal.aborted ? timeoutMs : undefined);
    } finally {
      clearTimeout(timer);
    }
  }

  #failure(error: unknown, timeoutMs: number | undefined): OperationError {
    if (error instanceof OperationError) return error;
    const cause = timeoutMs === undefined ? reasonOf(error) : `no answer within ${timeoutMs / 1_000} s`;
    return new OperationError({
      operation,
      place: this.path,
      cause,
      remedy: "see the agent's log (journalctl -u sensorlog-agent)",
      from: error,
    });
  }
}
