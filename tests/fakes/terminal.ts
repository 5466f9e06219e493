/** A terminal that a test can read. */
import { ClosedPipe, type Terminal } from "../../agent/commands/terminal.ts";

export class FakeTerminal implements Terminal {
  stdout = "";
  stderr = "";
  interactive = false;
  errInteractive = false;
  colour = false;
  columns = 80;
  /** After that many writes nobody reads standard output any more. */
  writesMax = Infinity;
  readonly controller = new AbortController();
  readonly stop = this.controller.signal;

  out(text: string): Promise<void> {
    if (this.writesMax-- <= 0) return Promise.reject(new ClosedPipe());
    this.stdout += text;
    return Promise.resolve();
  }

  err(text: string): Promise<void> {
    this.stderr += text;
    return Promise.resolve();
  }

  size(): { columns: number; rows: number } {
    return { columns: this.columns, rows: 24 };
  }
}
