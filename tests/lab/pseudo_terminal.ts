/** A pseudo-terminal, as script(1) of util-linux gives it. */
import { waitUntil } from "./wait.ts";

/**
 * A command of a shell at a terminal of its own; what stands on it is collected. Begin it with `exec`, unless the shell
 * itself is meant: else Ctrl-C ends a shell between the two as well, and some say so instead of the program's exit code.
 */
export class PseudoTerminal implements AsyncDisposable {
  shown = "";
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  #ended = false;

  constructor(command: string, env: Record<string, string> = {}, cwd?: string) {
    this.#child = new Deno.Command("setpriv", {
      args: ["--pdeathsig", "KILL", "--", "script", "--quiet", "--return", "--command", command, "/dev/null"],
      env: { TERM: "xterm-256color", NO_COLOR: "", ...env }, // the tests themselves may run without colour
      ...(cwd === undefined ? {} : { cwd }),
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#keys = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  async press(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  until(what: string, holds: (shown: string) => boolean, timeoutMs: number): Promise<unknown> {
    const explain = () => JSON.stringify(this.shown.slice(-4_000));
    return waitUntil(() => holds(this.shown), timeoutMs, what, { explain });
  }

  /** Waits for the end, and returns the exit code. */
  async code(): Promise<number> {
    const { code } = await this.#child.status;
    this.#ended = true;
    await this.#reading;
    return code;
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.shown += text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
    await this.#keys.close().catch(() => {}); // nobody reads keys any more
  }
}
