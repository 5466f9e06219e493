/** Start here for the command line; `pipeline.ts` shows the way of a message. The only file that prints and exits. */
import { ConfigError, OperationError, reasonOf } from "./base/errors.ts";
import { safeText } from "./base/display.ts";
import { runCommandLine } from "./commands/program.ts";
import { ClosedPipe, type Terminal } from "./commands/terminal.ts";
import { version } from "./version.ts";

async function writeAll(stream: { write(bytes: Uint8Array): Promise<number> }, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(await stream.write(bytes));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new ClosedPipe();
    throw error;
  }
}

class RealTerminal implements Terminal {
  readonly interactive = Deno.stdout.isTerminal();
  readonly errInteractive = Deno.stderr.isTerminal();
  readonly colour = this.interactive && (Deno.env.get("NO_COLOR") ?? "") === "";
  readonly #stop = new AbortController();
  readonly stop = this.#stop.signal;

  constructor() {
    const abort = () => {
      if (this.stop.aborted) Deno.exit(130); // asked twice: at once
      this.#stop.abort();
    };
    Deno.addSignalListener("SIGINT", abort);
    Deno.addSignalListener("SIGTERM", () => this.#stop.abort());
  }

  async out(text: string): Promise<void> {
    await writeAll(Deno.stdout, text);
  }

  async err(text: string): Promise<void> {
    await writeAll(Deno.stderr, text);
  }

  size(): { columns: number; rows: number } {
    const usual = { columns: 80, rows: 24 };
    if (!this.interactive) return usual;
    try {
      const { columns, rows } = Deno.consoleSize();
      return { columns: columns || usual.columns, rows: rows || usual.rows }; // 0: nobody has said
    } catch {
      return usual;
    }
  }
}

/** Says what failed, where, why and what to do: on one line, or on one for each problem of a configuration. */
function report(error: unknown): number {
  const text = error instanceof OperationError ? error.message : reasonOf(error);
  const lines = text.split("\n").map((line) => `${safeText(line)}\n`).join("");
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(`sensorlog-agent: ${lines}`));
  } catch {
    // nobody reads it
  }
  return error instanceof ConfigError ? 2 : 1;
}

async function main(): Promise<void> {
  let exitCode: number;
  try {
    exitCode = await runCommandLine(Deno.args, { terminal: new RealTerminal(), version });
  } catch (error) {
    exitCode = error instanceof ClosedPipe ? 0 : report(error);
  }
  Deno.exit(exitCode);
}

void main();
