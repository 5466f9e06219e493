/** Where a command prints: `main.ts` hands the real one in, a test one that it can read. */
export interface Terminal {
  /** To standard output. Rejects with ClosedPipe when nobody reads any more. */
  out(text: string): Promise<void>;
  /** To standard error. */
  err(text: string): Promise<void>;
  /** Standard output is a terminal. */
  readonly interactive: boolean;
  /** Standard error is a terminal: progress may be drawn there. */
  readonly errInteractive: boolean;
  /** Colours are wanted: a terminal, and NO_COLOR is not set. */
  readonly colour: boolean;
  /** Size of the terminal now; 80 by 24 when there is none. */
  size(): { columns: number; rows: number };
  /** Aborts on Ctrl-C and on a request to end. */
  readonly stop: AbortSignal;
}

/** The reader of standard output went away (`… | head`): the command ends, quietly. */
export class ClosedPipe extends Error {}

/** Prints lines to standard output. */
export async function outLines(terminal: Terminal, lines: string[]): Promise<void> {
  if (lines.length > 0) await terminal.out(lines.join("\n") + "\n");
}
