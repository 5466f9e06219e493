/**
 * `deno task bench`: every performance figure of the README, measured beside its peer in one run on one machine.
 * README.md in this folder says what is measured between which points.
 */
import { Command, InvalidArgumentError } from "commander";
import { join } from "node:path";
import { bulkScenarios } from "./bulk.ts";
import { describeMachine, loadAverage, makeWorkFolder, othersShare } from "./machine.ts";
import { memoryScenarios } from "./memory.ts";
import { receiveScenarios } from "./receive.ts";
import { agentProgram } from "./receivers.ts";
import { type Round, type Row, rows, table } from "./report.ts";
import type { Measured, Scenario, Side } from "./scenario.ts";
import { startScenarios } from "./start.ts";

interface Options {
  rows: string[] | undefined;
  rounds: number;
  json: string | undefined;
  messages: number;
  agent: string;
}

/** When others use more than this share of the machine, the figures say less, and the report says so. */
const othersMax = 0.1;

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
    .option("--json <file>", "writes everything that was measured, each round, as JSON")
    .option("--agent <file>", "the binary to measure", agentProgram.path)
    .allowExcessArguments(false);
  command.parse(args, { from: "user" });
  return command.opts<Options>();
}

const terminal = Deno.stderr.isTerminal();
function progress(text: string): void {
  if (terminal) Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
}

/** One side, once, in a folder of its own. */
async function once(scenario: Scenario, side: Side, work: string): Promise<Measured> {
  const dir = join(work, side);
  await Deno.mkdir(dir);
  try {
    return await scenario.measure(side, dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** All rounds of one scenario; the side that goes first changes from round to round. */
async function measure(scenario: Scenario, wanted: number, work: string): Promise<Round[]> {
  const count = Math.min(Math.max(wanted, scenario.rounds?.min ?? 1), scenario.rounds?.max ?? Infinity);
  const rounds: Round[] = [];
  for (let number = 1; number <= count; number++) {
    const round: Round = { load: loadAverage(), others: await othersShare(), measured: {} };
    const sides: Side[] = scenario.peer === undefined ? ["ours"] : ["ours", "peer"];
    if (number % 2 === 0) sides.reverse();
    for (const side of sides) {
      progress(
        `${scenario.name}: round ${number} of ${count}, ${side === "ours" ? "the agent" : scenario.peer}`,
      );
      round.measured[side] = await once(scenario, side, work);
    }
    rounds.push(round);
  }
  return rounds;
}

function chosen(all: Scenario[], prefixes: string[] | undefined): Scenario[] {
  if (prefixes === undefined) return all;
  for (const prefix of prefixes) {
    if (!all.some(({ name }) => name.startsWith(prefix))) {
      throw new Error(`--rows ${prefix}: the rows are ${all.map(({ name }) => name).join(", ")}`);
    }
  }
  return all.filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)));
}

interface Results {
  rounds: { name: string; rounds: Round[] }[];
  rows: Row[];
  /** Why a scenario could not be measured. */
  failures: string[];
}

async function measureAll(scenarios: Scenario[], rounds: number, work: string): Promise<Results> {
  const results: Results = { rounds: [], rows: [], failures: [] };
  for (const scenario of scenarios) {
    try {
      const measured = await measure(scenario, rounds, work);
      results.rounds.push({ name: scenario.name, rounds: measured });
      results.rows.push(...rows(scenario, measured));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      results.failures.push(`${scenario.name}: not measured: ${why}`);
    }
  }
  progress("");
  return results;
}

/** How quiet the machine was. */
function circumstances({ rounds }: Results): string {
  const all = rounds.flatMap((one) => one.rounds);
  if (all.length === 0) return "nothing was measured";
  const loads = all.map(({ load }) => load);
  const disturbed = all.filter(({ others }) => others > othersMax).length;
  return `load average when a round began: ${Math.min(...loads)} to ${Math.max(...loads)}; ` +
    `others used more than ${othersMax * 100} % of the machine before ${disturbed} of ${all.length} rounds`;
}

/** What still writes there while it is removed can bring a new file in between: then it is removed again. */
function removeFolder(path: string): void {
  for (let triesLeft = 10; triesLeft > 0; triesLeft--) {
    try {
      return Deno.removeSync(path, { recursive: true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      if (triesLeft === 1) {
        console.error(`bench: ${path} is left: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
}

async function main(): Promise<number> {
  const options = parse(Deno.args);
  agentProgram.path = options.agent;
  const all = [receiveScenarios, bulkScenarios, memoryScenarios, startScenarios].flatMap((make) =>
    make(options)
  );
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
    results = await measureAll(scenarios, options.rounds, work);
  } finally {
    clear();
  }
  console.log(`${describeMachine()}; ${options.rounds} rounds of ${options.messages}; median (range)\n`);
  console.log(`${table(results.rows)}\n\n${circumstances(results)}`);
  for (const failure of results.failures) console.log(failure);
  if (options.json !== undefined) {
    const content = { machine: describeMachine(), messages: options.messages, ...results };
    await Deno.writeTextFile(options.json, JSON.stringify(content, undefined, 2) + "\n");
  }
  return results.failures.length === 0 ? 0 : 1;
}

try {
  Deno.exit(await main());
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  Deno.exit(2);
}
