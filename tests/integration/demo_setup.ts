/** Demos as processes: in a pipe, and in a pseudo-terminal of util-linux's script(1). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { makeLabDir } from "../lab/paths.ts";
import { waitUntil } from "../lab/wait.ts";

/** A temporary folder for the demos of one test: at the end nothing may be left in it. */
export class DemoTmp implements AsyncDisposable {
  private constructor(readonly dir: string) {}

  static async make(): Promise<DemoTmp> {
    return new DemoTmp(await makeLabDir("demo"));
  }

  get env(): Record<string, string> {
    return { TMPDIR: this.dir };
  }

  /** What demos have there. */
  left(): string[] {
    return [...Deno.readDirSync(this.dir)].map(({ name }) => name);
  }

  /** The folder and process id of the one demo that runs. */
  async running(): Promise<{ dir: string; pid: number }> {
    await waitUntil(() => this.left().length === 1, 20_000, "one demo's folder");
    const dir = join(this.dir, this.left()[0]!);
    const pid = await waitUntil(() => Number(Deno.readTextFileSync(join(dir, "lock"))), 20_000, "its lock");
    return { dir, pid };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const left = this.left();
    await Deno.remove(this.dir, { recursive: true });
    assert.deepEqual(left, [], "nothing is left behind");
  }
}

/** A command of a shell in a pseudo-terminal; what stands on it is collected. */
export class Typed implements AsyncDisposable {
  shown = "";
  readonly #child: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  #ended = false;

  constructor(command: string, env: Record<string, string>, cwd?: string) {
    this.#child = new Deno.Command("setpriv", {
      args: ["--pdeathsig", "KILL", "--", "script", "--quiet", "--return", "--command", command, "/dev/null"],
      env: { ...env, TERM: "xterm-256color", NO_COLOR: "" },
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

  until(what: string, holds: (shown: string) => boolean): Promise<unknown> {
    const explain = () => JSON.stringify(this.shown.slice(-4_000));
    return waitUntil(() => holds(this.shown), 60_000, what, { explain });
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
