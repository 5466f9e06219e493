/** Questions to the person at the terminal: asked on standard error, answered on standard input. */
import { OperationError } from "../base/errors.ts";
import type { Terminal } from "./terminal.ts";

export interface Questions {
  /** The line that was typed, without blanks around it; empty for ENTER alone. */
  ask(question: string): Promise<string>;
  /** The same for a secret: what is typed is not shown. */
  askSecret(question: string): Promise<string>;
}

const lineBytesMax = 16 * 1024;
const enter = [10, 13];
const erase = [8, 127];
const endOfInput = 4;

/** Undefined when nobody is there to be asked. */
export function questionsOf(terminal: Terminal): Questions | undefined {
  if (!Deno.stdin.isTerminal() || !terminal.errInteractive) return undefined;
  return {
    ask: async (question) => {
      await terminal.err(`${question} `);
      return (await readLine(terminal)).trim();
    },
    askSecret: async (question) => {
      await terminal.err(`${question} (not shown) `);
      Deno.stdin.setRaw(true, { cbreak: true }); // Ctrl-C still ends it
      try {
        return await readLine(terminal);
      } finally {
        Deno.stdin.setRaw(false);
        await terminal.err("\n");
      }
    },
  };
}

/** Byte by byte, so that nothing of the next answer is taken. */
async function readLine(terminal: Terminal): Promise<string> {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  const stopped = new Promise<null>((done) => {
    terminal.stop.addEventListener("abort", () => done(null), { once: true });
  });
  for (;;) {
    const got = terminal.stop.aborted ? null : await Promise.race([Deno.stdin.read(one), stopped]);
    const byte = one[0]!;
    if (got === null || byte === endOfInput) {
      const cause = "there was no answer; nothing was changed";
      throw new OperationError({ operation: "ask", place: "this terminal", cause });
    }
    if (enter.includes(byte)) return new TextDecoder().decode(new Uint8Array(bytes));
    if (erase.includes(byte)) bytes.pop();
    else if (bytes.length < lineBytesMax) bytes.push(byte);
  }
}
