/** What is kept of a run: one file, with what was printed and every round. */
import { join } from "node:path";
import { succeed } from "../tests/lab/command.ts";
import { projectDir } from "../tests/lab/paths.ts";
import type { Results } from "./measure.ts";

/** The commit of the project, `.changed` behind it when a file that counts is not as committed. */
async function commit(): Promise<string> {
  const git = (...args: string[]) => succeed("git", args, { cwd: projectDir });
  const changed = await git("status", "--porcelain", "--", "agent", "bench", "tests/lab", "deno.lock");
  return (await git("rev-parse", "--short", "HEAD")).trim() + (changed.trim() === "" ? "" : ".changed");
}

const threeDigits = (_key: string, value: unknown) =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;

/** Writes a file into `dir`, named after date and commit; returns its path. `output`: what was printed. */
export async function saveResults(
  dir: string,
  output: string,
  about: object,
  results: Results,
): Promise<string> {
  const at = new Date();
  const content = { date: at.toISOString(), commit: await commit(), ...about, output: output.split("\n") };
  const text = JSON.stringify({ ...content, rounds: results.rounds }, threeDigits, 2); // as deno fmt wants it
  const time = content.date.slice(0, 16).replace(/\D/g, "");
  const path = join(dir, `${time}-${content.commit}.json`);
  await Deno.mkdir(dir, { recursive: true });
  await Deno.writeTextFile(path, `${text}\n`);
  return path;
}
