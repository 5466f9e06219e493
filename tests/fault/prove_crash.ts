/**
 * `deno task prove:crash [--runs N] [--seed S]`: kills the compiled agent again and again, at chosen system calls and at
 * random moments, and checks after each run that every promise was kept. Run i has the seed S + i; the same seed gives
 * the same plan, though not the same timing. A run that fails keeps its report in a folder.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Elasticsearch, startElasticsearch } from "../lab/elasticsearch.ts";
import { planOf } from "./crash_plan.ts";
import { type CrashResult, crashRun } from "./crash_run.ts";

/** The waiting of one run leaves room for another. */
const runsAtOnce = 2;

interface Options {
  runs: number;
  seed: number;
}

function options(): Options {
  const { values } = parseArgs({
    options: { runs: { type: "string", default: "60" }, seed: { type: "string", default: "1" } },
  });
  const [runs, seed] = [values.runs, values.seed].map(Number) as [number, number];
  if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed) || seed < 0) {
    console.error("prove:crash: --runs takes a number from 1 on, --seed one from 0 on");
    Deno.exit(2);
  }
  return { runs, seed };
}

/** What has happened over all runs. */
class Tally {
  passed = 0;
  failed = 0;
  readings = 0;
  documents = 0;
  redelivered = 0;
  deaths = new Map<string, number>();

  add(result: CrashResult): void {
    if (result.violations.length === 0) this.passed++;
    else this.failed++;
    this.readings += result.readings;
    this.documents += result.documents;
    this.redelivered += result.redelivered;
    for (const death of result.deaths) this.deaths.set(death, (this.deaths.get(death) ?? 0) + 1);
  }

  print(): void {
    console.log("\nthe agent was ended at:");
    const sorted = [...this.deaths].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
    for (const [death, count] of sorted) console.log(`${String(count).padStart(7)}  ${death}`);
    const deaths = [...this.deaths.values()].reduce((sum, count) => sum + count, 0);
    console.log(
      `${deaths} ends at ${this.deaths.size} different points; ${this.readings} readings published, ` +
        `${this.documents} in the index, ${this.redelivered} deliveries repeated by the broker`,
    );
    console.log(`${this.passed} passed, ${this.failed} failed`);
  }
}

/** Keeps what is needed to understand a failed run; returns the folder. */
async function keep(seed: number, result: CrashResult): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: `sensorlog-crash-${seed}-` });
  await Deno.writeTextFile(join(dir, "violations.json"), JSON.stringify(result.violations, null, 1));
  await Deno.writeTextFile(join(dir, "plan.json"), JSON.stringify(planOf(seed), shorten, 1));
  await Deno.writeTextFile(join(dir, "agent.log"), result.log);
  await Deno.writeTextFile(join(dir, "deaths.txt"), result.deaths.join("\n") + "\n");
  await Deno.writeTextFile(
    join(dir, "wire.ndjson"),
    result.wire.map((event) => JSON.stringify(event, shorten)).join("\n"),
  );
  await Deno.writeTextFile(join(dir, "documents.json"), JSON.stringify(result.indexed, shorten, 1));
  return dir;
}

function shorten(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  return typeof value === "string" && value.length > 500 ? `${value.slice(0, 40)}… (${value.length})` : value;
}

async function main(): Promise<number> {
  const { runs, seed } = options();
  const seeds = Array.from({ length: runs }, (_, i) => seed + i);
  const tally = new Tally();
  let server: Promise<Elasticsearch> | undefined;
  if (seeds.some((one) => planOf(one).elasticsearch)) server = startElasticsearch();
  const one = async (): Promise<void> => {
    for (let own = seeds.shift(); own !== undefined; own = seeds.shift()) {
      const plan = planOf(own);
      const result = await crashRun(plan, plan.elasticsearch ? await server : undefined);
      tally.add(result);
      const seconds = `${(result.elapsedMs / 1000).toFixed(1)} s`;
      if (result.violations.length === 0) {
        console.log(
          `seed ${own}: ok, ${result.documents} documents, ${result.deaths.length} ends (${seconds})`,
        );
        continue;
      }
      console.log(`seed ${own}: FAILED (${seconds})`);
      for (const { rule, text } of result.violations.slice(0, 10)) {
        console.log(`  ${rule}: ${text.slice(0, 2_000)}`);
      }
      console.log(
        `  kept in ${await keep(own, result)}; again with: deno task prove:crash --runs 1 --seed ${own}`,
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: runsAtOnce }, one));
  } finally {
    await (await server)?.stop();
  }
  tally.print();
  return tally.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
