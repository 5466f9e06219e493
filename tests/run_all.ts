/**
 * `deno task ok` and `deno task test`: runs stage after stage, the fast ones first, and goes on after a failed one
 * unless the later ones need it. The last line is the sum over all stages, `N passed, M failed`; a stage without tests
 * of its own (lint, compile) counts as one.
 */
import { type Tally, tally } from "./run_all_tally.ts";

interface Stage {
  name: string;
  /** Arguments for deno. */
  args: string[];
  timeoutS: number;
  /** Shows the output while it comes, not only after a failure. */
  live?: boolean;
  /** What comes later makes no sense without this stage. */
  needed?: boolean;
}

const root = new URL("../", import.meta.url).pathname;
const locked = ["--lock=deno.lock", "--frozen"];
const tests = (...paths: string[]) => ["test", ...locked, "--no-check", "-A", ...paths];

const okStages: Stage[] = [
  { name: "format", args: ["fmt", "--check"], timeoutS: 60 },
  { name: "lint", args: ["lint"], timeoutS: 60 },
  { name: "types", args: ["check", ...locked, "."], timeoutS: 120 },
  { name: "repository rules", args: tests("tests/repo"), timeoutS: 60 },
  { name: "unit", args: tests("--parallel", "tests/unit"), timeoutS: 120 },
  { name: "model", args: tests("tests/model"), timeoutS: 120 },
];

const allStages: Stage[] = [
  ...okStages,
  {
    name: "install",
    args: ["run", ...locked, "-A", "tests/lab/install.ts"],
    timeoutS: 600,
    live: true,
    needed: true,
  },
  { name: "lab", args: tests("tests/lab"), timeoutS: 180 },
  {
    name: "compile",
    args: ["run", ...locked, "-A", "agent/build/compile.ts"],
    timeoutS: 600,
    live: true,
    needed: true,
  },
  { name: "integration", args: tests("tests/integration"), timeoutS: 600, live: true },
  { name: "fault", args: tests("tests/fault"), timeoutS: 600, live: true },
  {
    name: "crash harness",
    args: ["run", ...locked, "-A", "tests/fault/prove_crash.ts", "--runs", "60"],
    timeoutS: 600,
    live: true,
  },
];

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

/** Runs the stages in order; true when nothing failed. */
async function runStages(stages: Stage[]): Promise<boolean> {
  const sum: Tally = { passed: 0, failed: 0 };
  const failures: string[] = [];
  const seconds = (fromMs: number) => `${((performance.now() - fromMs) / 1000).toFixed(1)} s`;
  const startMs = performance.now();
  for (const [index, stage] of stages.entries()) {
    const head = `[${index + 1}/${stages.length}] ${stage.name}`;
    if (stage.live) console.log(`${head} …`);
    const stageMs = performance.now();
    const { passed, failed } = await run(stage);
    console.log(
      `${head}: ${failed === 0 ? "ok" : "FAILED"}, ${passed} passed, ${failed} failed (${seconds(stageMs)})`,
    );
    sum.passed += passed;
    sum.failed += failed;
    if (failed > 0) failures.push(stage.name);
    if (failed > 0 && stage.needed) {
      console.log(`${stage.name} failed: the ${stages.length - index - 1} stages after it were not run`);
      break;
    }
  }
  console.log(`\n${seconds(startMs)} in all${failures.length > 0 ? `; failed: ${failures.join(", ")}` : ""}`);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed === 0;
}

const sets: Record<string, Stage[]> = { ok: okStages, all: allStages };
const chosen = sets[Deno.args[0] ?? "all"];
if (chosen === undefined) {
  console.error(`run_all.ts ${Deno.args.join(" ")}: one of ${Object.keys(sets).join(", ")} is allowed`);
  Deno.exit(2);
}
Deno.exit(await runStages(chosen) ? 0 : 1);
