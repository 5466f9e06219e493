/** The passphrase of a backup: typed at the terminal, or the one line of a file. */
import { passphraseFault } from "../../installer/broker/backup.ts";
import { ConfigError, reasonOf } from "../base/errors.ts";
import type { Questions } from "./questions.ts";

const fileBytesMax = 64 * 1024;

/**
 * For a new backup it is typed twice and has to be long enough; for one that is there once, and whatever it is. Throws
 * ConfigError when nobody can be asked, the two differ, or the file can't be used.
 */
export async function passphraseFor(
  use: "make" | "open",
  file: string | undefined,
  questions: Questions | undefined,
): Promise<string> {
  const place = file === undefined ? "the passphrase" : `--passphrase-file ${file}`;
  const passphrase = file === undefined ? await typed(use, questions) : await lineOf(place, file);
  const fault = use === "make" ? passphraseFault(passphrase) : undefined;
  if (fault === undefined) return passphrase;
  throw wrong(
    place,
    `it ${fault}`,
    "take a longer one, such as four words of a dictionary that chance has chosen",
  );
}

async function typed(use: "make" | "open", questions: Questions | undefined): Promise<string> {
  if (questions === undefined) {
    const remedy = "put the passphrase into a file and name it with --passphrase-file, - for standard input";
    throw wrong("standard input", "nobody is there to be asked for the passphrase", remedy);
  }
  const passphrase = await questions.askSecret("Passphrase of the backup:");
  if (use === "open" || passphraseFault(passphrase) !== undefined) return passphrase;
  if (await questions.askSecret("The same again:") === passphrase) return passphrase;
  throw wrong("the passphrase", "the two are not the same", "try again; nothing was written");
}

async function lineOf(place: string, file: string): Promise<string> {
  let text: string;
  try {
    const bytes = file === "-" ? await standardInput() : await Deno.readFile(file);
    if (bytes.length > fileBytesMax) throw new Error("it is larger than 64 KiB");
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw wrong(place, reasonOf(error), "name a file with the passphrase in one line");
  }
  const line = text.replace(/\r?\n$/, "");
  if (line !== "" && !/[\r\n]/.test(line)) return line;
  const cause = line === "" ? "it is empty" : "it holds more than one line";
  throw wrong(place, cause, "put nothing but the passphrase into it");
}

async function standardInput(): Promise<Uint8Array> {
  if (Deno.stdin.isTerminal()) {
    throw new Error("standard input is a terminal, which would show the passphrase");
  }
  return new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
}

function wrong(place: string, cause: string, remedy: string): ConfigError {
  return new ConfigError({ operation: "read the passphrase", place, cause, remedy });
}
