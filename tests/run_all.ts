/**
 * `deno task ok` and `deno task test`: runs stage after stage and goes on after a failed one unless the later ones need
 * it. The last line is the sum over all stages, `N passed, M failed`; a stage without tests of its own (lint, compile)
 * counts as one.
 */
import { allStages, okStages, type Stage } from "./run_all_stages.ts";
import { type Tally, tally } from "./run_all_tally.ts";

const root = new URL("../", import.meta.url).pathname;

/** Collects a stream as text, echoing it when `live`. */
async function collect(stream: ReadableStream<Uint8Array>, live: boolean): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (live) await Deno.stdout.write(chunk);
  }
  return text;
}

async function run(stage: Stage): Promise<Tally> {
  const child = new Deno.Command(Deno.execPath(), {
    args: stage.args,
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, stage.timeoutS * 1000);
  const live = stage.live ?? false;
  const [stdout, stderr, status] = await Promise.all([
    collect(child.stdout, live),
    collect(child.stderr, live),
    child.status,
  ]);
  clearTimeout(timer);
  const result = tally(stdout, status.code);
  if (result.failed > 0 && !live) console.log(stdout + stderr);
  if (late) console.log(`${stage.name}: ended after ${stage.timeoutS} s without a result`);
  return result;
}

/** Runs the groups in order, the stages of one side by side; true when nothing failed. */
async function runStages(groups: Stage[][]): Promise<boolean> {
  const sum: Tally = { passed: 0, failed: 0 };
  const failures: string[] = [];
  const count = groups.flat().length;
  const seconds = (fromMs: number) => `${((performance.now() - fromMs) / 1000).toFixed(1)} s`;
  const startMs = performance.now();
  let begun = 0;
  for (const group of groups) {
    await Promise.all(group.map(async (stage) => {
      const head = `[${++begun}/${count}] ${stage.name}`;
      if (stage.live) console.log(`${head} …`);
      const stageMs = performance.now();
      const { passed, failed } = await run(stage);
      const verdict = failed === 0 ? "ok" : "FAILED";
      console.log(`${head}: ${verdict}, ${passed} passed, ${failed} failed (${seconds(stageMs)})`);
      sum.passed += passed;
      sum.failed += failed;
      if (failed > 0) failures.push(stage.name);
    }));
    if (group.some((stage) => stage.needed && failures.includes(stage.name))) {
      if (begun < count) console.log(`the ${count - begun} stages after it were not run`);
      break;
    }
  }
  console.log(`\n${seconds(startMs)} in all${failures.length > 0 ? `; failed: ${failures.join(", ")}` : ""}`);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed === 0;
}

const sets: Record<string, Stage[][]> = { ok: okStages, all: allStages };
const chosen = sets[Deno.args[0] ?? "all"];
if (chosen === undefined) {
  console.error(`run_all.ts ${Deno.args.join(" ")}: one of ${Object.keys(sets).join(", ")} is allowed`);
  Deno.exit(2);
}
Deno.exit(await runStages(chosen) ? 0 : 1);
