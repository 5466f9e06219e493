/** Round after round, side after side: what `main.ts` prints comes from here. */
import { loadAverage, othersShare } from "./machine.ts";
import { type Round, type Row, rows } from "./report.ts";
import { ours, type Scenario, type Side } from "./scenario.ts";

/** When others use more than this share of the machine, the figures say less, and the report says so. */
const othersMax = 0.1;

/** Tells whoever watches what is measured now. */
export type Progress = (text: string) => void;

export interface Results {
  rounds: { name: string; rounds: Round[] }[];
  rows: Row[];
  /** What could not be measured, and why. */
  failures: string[];
}

const reason = (error: unknown): string => error instanceof Error ? error.message : String(error);

/** One side, once, in a folder of its own. */
async function once(scenario: Scenario, side: Side, round: Round, work: string): Promise<void> {
  const dir = await Deno.makeTempDir({ dir: work });
  try {
    round.measured[side] = await scenario.measure(side, dir);
  } catch (error) {
    round.failed[side] = reason(error);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** All rounds of one scenario; the side that goes first changes from round to round. */
async function rounds(
  scenario: Scenario,
  sides: Side[],
  wanted: number,
  work: string,
  progress: Progress,
): Promise<Round[]> {
  const count = Math.min(Math.max(wanted, scenario.rounds?.min ?? 1), scenario.rounds?.max ?? Infinity);
  const all: Round[] = [];
  for (let number = 0; number < count; number++) {
    const round: Round = { load: loadAverage(), others: await othersShare(), measured: {}, failed: {} };
    const first = number % sides.length;
    for (const side of [...sides.slice(first), ...sides.slice(0, first)]) {
      const who = side === ours ? "the agent" : side;
      progress(`${scenario.name}: round ${number + 1} of ${count}, ${who}`);
      await once(scenario, side, round, work);
    }
    all.push(round);
  }
  return all;
}

/** One scenario; what fails in it is told in `results`, and the next one is measured all the same. */
async function measure(
  scenario: Scenario,
  results: Results,
  wanted: number,
  work: string,
  progress: Progress,
): Promise<void> {
  const { name, peers } = scenario;
  try {
    progress(`${name}: what it needs`);
    const absent = await scenario.prepare?.() ?? {};
    const sides = [ours, ...peers.filter((peer) => absent[peer] === undefined)];
    const all = await rounds(scenario, sides, wanted, work, progress);
    results.rounds.push({ name, rounds: all });
    results.failures.push(
      ...all.flatMap(({ failed }, at) =>
        Object.entries(failed).map(([side, why]) => `${name}, round ${at + 1}, ${side}: not measured: ${why}`)
      ),
    );
    if (all.some(({ failed }) => failed[ours] === undefined)) {
      results.rows.push(...rows(scenario, all, absent));
    }
  } catch (error) {
    results.failures.push(`${name}: not measured: ${reason(error)}`);
  }
  try {
    await scenario.finish?.();
  } catch (error) {
    results.failures.push(`${name}: what it started did not end: ${reason(error)}`);
  }
}

/** `work`: a folder on a real disk. */
export async function measureAll(
  scenarios: Scenario[],
  wanted: number,
  work: string,
  progress: Progress,
): Promise<Results> {
  const results: Results = { rounds: [], rows: [], failures: [] };
  for (const scenario of scenarios) await measure(scenario, results, wanted, work, progress);
  progress("");
  return results;
}

/** How quiet the machine was. */
export function circumstances({ rounds }: Results): string {
  const all = rounds.flatMap((one) => one.rounds);
  if (all.length === 0) return "nothing was measured";
  const loads = all.map(({ load }) => load);
  const disturbed = all.filter(({ others }) => others > othersMax).length;
  return `load average when a round began: ${Math.min(...loads)} to ${Math.max(...loads)}; ` +
    `others used more than ${othersMax * 100} % of the machine before ${disturbed} of ${all.length} rounds`;
}

/** What still writes there while it is removed can bring a new file in between: then it is removed again. */
export function removeFolder(path: string): void {
  for (let triesLeft = 10; triesLeft > 0; triesLeft--) {
    try {
      return Deno.removeSync(path, { recursive: true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      if (triesLeft === 1) console.error(`bench: ${path} is left: ${reason(error)}`);
    }
  }
}
