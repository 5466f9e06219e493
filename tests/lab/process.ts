/** A server or agent that a test runs beside itself. */

/** What a child has printed so far, both streams, kept up to the last 4 million characters. */
export class Output {
  text = "";
  readonly ended: Promise<void>;

  constructor(streams: ReadableStream<Uint8Array>[]) {
    this.ended = Promise.all(streams.map((stream) => this.#collect(stream))).then(() => {});
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.text += decoder.decode(chunk, { stream: true });
      if (this.text.length > 4_000_000) this.text = this.text.slice(-2_000_000);
    }
  }
}

/** A child process that dies with this one, however this one ends. */
export class Running {
  readonly pid: number;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Exit code and signal, once both streams have been read to their end. */
  readonly exit: Promise<{ code: number; signal: Deno.Signal | null }>;
  ended = false;
  readonly #child: Deno.ChildProcess;

  constructor(program: string, args: string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
    this.#child = new Deno.Command("setpriv", {
      // the kernel sends it KILL when this process is gone; setpriv replaces itself by the program
      args: ["--pdeathsig", "KILL", "--", program, ...args],
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#child.pid;
    this.stdout = new Output([this.#child.stdout]);
    this.stderr = new Output([this.#child.stderr]);
    this.exit = this.#awaitExit();
  }

  async #awaitExit(): Promise<{ code: number; signal: Deno.Signal | null }> {
    const { code, signal } = await this.#child.status;
    this.ended = true;
    await Promise.all([this.stdout.ended, this.stderr.ended]);
    return { code, signal };
  }

  /** Sends a signal; one that no longer lives gets none. Does not wait. */
  signal(signal: Deno.Signal): void {
    if (this.ended) return;
    try {
      this.#child.kill(signal);
    } catch (error) {
      const gone = error instanceof TypeError || error instanceof Deno.errors.NotFound;
      if (!gone) throw error;
    }
  }

  /** SIGTERM, and SIGKILL after `patienceMs`; waits for the end. */
  async stop(patienceMs = 10_000): Promise<{ code: number; signal: Deno.Signal | null }> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), patienceMs);
    try {
      return await this.exit;
    } finally {
      clearTimeout(timer);
    }
  }
}
