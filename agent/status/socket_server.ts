/** Serves the running agent's answers over its Unix socket, to the agent's user and group only. */
import { dirname } from "node:path";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { socketCloseMs, socketRequestsMax } from "../limits.ts";
import type { AgentApi } from "./agent_api.ts";
import { handle, refusal } from "./handle.ts";

export class SocketServer {
  readonly #stopAnswers = new AbortController();
  readonly #stopServer = new AbortController();
  readonly #server: Deno.HttpServer<Deno.UnixAddr>;
  #active = 0;

  private constructor(readonly path: string, private readonly api: AgentApi, private readonly log: Log) {
    // the socket has its mode from the moment it exists
    const umask = Deno.umask(0o117);
    try {
      this.#server = Deno.serve(
        { path, signal: this.#stopServer.signal, onListen() {}, onError: (error) => this.#onError(error) },
        (request, info) => this.#answer(request, info),
      );
    } finally {
      Deno.umask(umask);
    }
  }

  /**
   * Listens at `path` with mode 0660. The socket of a dead agent is replaced, that of a living one never. Throws
   * OperationError: what stands there instead, or why it can't be made.
   */
  static async open(path: string, api: AgentApi, log: Log): Promise<SocketServer> {
    try {
      Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
      await clearStale(path);
      return new SocketServer(path, api, log);
    } catch (error) {
      if (error instanceof OperationError) throw error;
      throw new OperationError({
        operation: "listen on the agent's socket",
        place: path,
        cause: reasonOf(error),
        remedy: "the folder must exist and belong to the agent's user; a path has at most 107 bytes",
        from: error,
      });
    }
  }

  /** Ends running answers, in the middle only when they don't end soon; the socket's file goes with it. */
  async close(): Promise<void> {
    this.#stopAnswers.abort();
    const timer = setTimeout(() => this.#stopServer.abort(), socketCloseMs);
    await this.#server.shutdown();
    clearTimeout(timer);
  }

  async #answer(request: Request, info: Deno.ServeHandlerInfo<Deno.UnixAddr>): Promise<Response> {
    if (this.#active >= socketRequestsMax) {
      return refusal(
        503,
        `more than ${socketRequestsMax} requests at a time`,
        "end other status or tail commands",
      );
    }
    this.#active++;
    const done = () => {
      this.#active--;
    };
    info.completed.then(done, done);
    return await handle(this.api, request, AbortSignal.any([request.signal, this.#stopAnswers.signal]));
  }

  #onError(error: unknown): Response {
    this.log.warning("a request to the agent's socket failed", { reason: reasonOf(error) });
    return refusal(500, reasonOf(error));
  }
}

/** Removes the socket of an agent that is gone. */
async function clearStale(path: string): Promise<void> {
  const found = await Deno.lstat(path).catch((error: unknown) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  if (found === undefined) return;
  const operation = "listen on the agent's socket";
  if (!found.isSocket) {
    throw new OperationError({
      operation,
      place: path,
      cause: "something that is not a socket stands there",
      remedy: "move it away",
    });
  }
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    await Deno.remove(path);
    return;
  }
  throw new OperationError({
    operation,
    place: path,
    cause: "another agent answers there",
    remedy: "stop that one",
  });
}
