/** The help of every command, as the agent itself prints it. */
import { runCommandLine } from "../../agent/commands/program.ts";
import type { Terminal } from "../../agent/commands/terminal.ts";

class Printed implements Terminal {
  text = "";
  readonly interactive = false;
  readonly errInteractive = false;
  readonly colour = false;
  readonly stop = new AbortController().signal;

  out(text: string): Promise<void> {
    this.text += text;
    return Promise.resolve();
  }
  err(text: string): Promise<void> {
    return this.out(text);
  }
  size(): { columns: number; rows: number } {
    return { columns: 120, rows: 40 };
  }
}

async function helpOf(words: string[]): Promise<string> {
  const terminal = new Printed();
  await runCommandLine([...words, "--help"], { terminal, version: "0" });
  return terminal.text;
}

/** Commands without commands of their own, such as `spool ls`, with their help. */
export async function commandHelp(group: string[] = []): Promise<Map<string, string>> {
  const help = new Map<string, string>();
  const text = await helpOf(group);
  const listed = /^Commands:\n((?: +.*\n)+)/m.exec(text)?.[1] ?? "";
  const names = [...listed.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map((match) => match[1]!);
  if (names.length === 0) return help.set(group.join(" "), text);
  for (const name of names.filter((name) => name !== "help")) {
    for (const [words, own] of await commandHelp([...group, name])) help.set(words, own);
  }
  return help;
}
