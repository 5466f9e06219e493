/** What the descriptions of the commands (`describe_*.ts`) have in common. */
import type { Command } from "commander";
import type { Terminal } from "./terminal.ts";

/** Options that commander hands to an action, with those of the program. */
export interface CommonOptions {
  config?: string;
  json?: boolean;
}

/** What the command line needs from `main.ts`. */
export interface Host {
  terminal: Terminal;
  version: string;
}

/** An action says with which code the process ends. */
export type Finish = (code: number) => void;

/** Where the configuration stands when `--config` does not say so. */
export const defaultFile = "/etc/sensorlog/agent.yaml";

/** Adds two examples or more below a command's help. */
export function examples(command: Command, lines: [string, string][]): Command {
  const width = Math.max(...lines.map(([example]) => example.length));
  const text = lines.map(([example, what]) => `  ${example.padEnd(width)}  # ${what}`);
  return command.addHelpText("after", `\nExamples:\n${text.join("\n")}`);
}
