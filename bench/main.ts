/**
 * `deno task bench`: every performance figure of the README, measured beside its peer in one run on one machine.
 * README.md in this folder says what is measured between which points.
 */
import { Command, InvalidArgumentError } from "commander";
import { join } from "node:path";
import { projectDir } from "../tests/lab/paths.ts";
import { bulkScenarios } from "./bulk.ts";
import { durabilityScenarios } from "./durability.ts";
import { endToEndScenarios } from "./end_to_end.ts";
import { describeMachine, makeWorkFolder } from "./machine.ts";
import { circumstances, measureAll, removeFolder, type Results } from "./measure.ts";
import { memoryScenarios } from "./memory.ts";
import { receiveScenarios } from "./receive.ts";
import { agentProgram } from "./receivers.ts";
import { table } from "./report.ts";
import { saveResults } from "./results.ts";
import type { Scenario } from "./scenario.ts";
import { startScenarios } from "./start.ts";

interface Options {
  rows: string[] | undefined;
  rounds: number;
  json: string | undefined;
  messages: number;
  seconds: number;
  save: string | true | undefined;
  agent: string;
}

function atLeastOne(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError("a whole number from 1 on is expected");
  return Number(text);
}

function parse(args: string[]): Options {
  const command = new Command("bench")
    .description("Measures the agent beside its peers; prints medians and ranges.")
    .option(
      "--rows <names>",
      "only rows whose name begins so, separated by commas",
      (text) => text.split(","),
    )
    .option("--rounds <n>", "rounds of each row", atLeastOne, 5)
    .option("--messages <n>", "messages or documents of one round", atLeastOne, 200_000)
    .option("--seconds <n>", "how long the end-to-end rows keep up each pace", atLeastOne, 10)
    .option("--save [folder]", "keeps the run as a file, in bench/results or another folder")
    .option("--json <file>", "writes everything that was measured, each round, as JSON")
    .option("--agent <file>", "the binary to measure", agentProgram.path)
    .allowExcessArguments(false);
  command.parse(args, { from: "user" });
  return command.opts<Options>();
}

const terminal = Deno.stderr.isTerminal();
/** Writes over itself on a terminal; elsewhere a line each. */
function progress(text: string): void {
  if (!terminal && text === "") return;
  Deno.stderr.writeSync(new TextEncoder().encode(terminal ? `\r\x1b[K${text}` : `${text}\n`));
}

const families = [
  receiveScenarios,
  bulkScenarios,
  memoryScenarios,
  startScenarios,
  endToEndScenarios,
  durabilityScenarios,
];

function chosen(all: Scenario[], prefixes: string[] | undefined): Scenario[] {
  if (prefixes === undefined) return all;
  for (const prefix of prefixes) {
    if (!all.some(({ name }) => name.startsWith(prefix))) {
      throw new Error(`--rows ${prefix}: the rows are ${all.map(({ name }) => name).join(", ")}`);
    }
  }
  return all.filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)));
}

async function main(): Promise<number> {
  const options = parse(Deno.args);
  agentProgram.path = options.agent;
  const all = families.flatMap((make) => make(options));
  const scenarios = chosen(all, options.rows);
  try {
    Deno.statSync(agentProgram.path);
  } catch {
    throw new Error(
      `there is no ${agentProgram.path}: run "deno task compile" first, or name a binary with --agent`,
    );
  }
  const work = await makeWorkFolder();
  const clear = () => removeFolder(work);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      clear(); // the processes that were started end with this one
      Deno.exit(130);
    });
  }
  let results: Results;
  try {
    results = await measureAll(scenarios, options.rounds, work, progress);
  } finally {
    clear();
  }
  const output = [
    `${describeMachine()}; ${options.rounds} rounds of ${options.messages}; median (range)`,
    "",
    table(results.rows),
    "",
    circumstances(results),
    ...results.failures,
  ].join("\n");
  console.log(output);
  const { save, json, rounds, messages, seconds } = options;
  const about = { machine: describeMachine(), asked: { rows: options.rows, rounds, messages, seconds } };
  if (json !== undefined) {
    await Deno.writeTextFile(json, JSON.stringify({ ...about, ...results }, undefined, 2) + "\n");
  }
  if (save !== undefined) {
    const folder = save === true ? join(projectDir, "bench/results") : save;
    progress(`kept in ${await saveResults(folder, output, about, results)}`);
    if (terminal) progress("\n");
  }
  return results.failures.length === 0 ? 0 : 1;
}

try {
  Deno.exit(await main());
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  Deno.exit(2);
}
