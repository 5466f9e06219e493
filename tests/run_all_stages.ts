/** What `deno task ok` and `deno task test` run, in order: quick ones first, each with what it needs before it. */

export interface Stage {
  name: string;
  /** Arguments for deno. */
  args: string[];
  timeoutS: number;
  /** The folder whose tests it runs. */
  folder?: string;
  /** Shows the output while it comes, not only after a failure. */
  live?: boolean;
  /** What comes later makes no sense without this stage. */
  needed?: boolean;
}

const locked = ["--lock=deno.lock", "--frozen"];

/** Tests of a folder, or some of its files. Their types were checked by a stage of its own. */
function tests(
  name: string,
  folder: string,
  timeoutS: number,
  options: Partial<Stage> = {},
  files: string[] = [folder],
): Stage {
  const parallel = folder === "tests/unit" ? ["--parallel"] : [];
  return {
    name,
    folder,
    args: ["test", ...locked, "--no-check", "-A", ...parallel, ...files],
    timeoutS,
    ...options,
  };
}

/** The broker's tests on a booted systemd: a stage of their own beside the agent's. */
const brokerTests = "tests/e2e/broker_*_test.ts";

/** A program of the project. */
function program(
  name: string,
  script: string,
  timeoutS: number,
  options: Partial<Stage> = {},
  ...args: string[]
): Stage {
  return { name, args: ["run", ...locked, "-A", script, ...args], timeoutS, live: true, ...options };
}

/** Stages of one list run side by side: these only read the sources. */
const reading: Stage[] = [
  { name: "format", args: ["fmt", "--check"], timeoutS: 60 },
  { name: "lint", args: ["lint"], timeoutS: 60 },
  { name: "types", args: ["check", ...locked, "."], timeoutS: 180 },
  tests("repository rules", "tests/repo", 120),
];

export const okStages: Stage[][] = [
  reading,
  [tests("unit", "tests/unit", 180)],
  [tests("model", "tests/model", 180)],
];

export const allStages: Stage[][] = [
  ...okStages,
  [program("install", "tests/lab/install.ts", 600, { needed: true })],
  [program("compile", "agent/build/compile.ts", 600, { needed: true })],
  [tests("lab", "tests/lab", 240)],
  [tests("integration", "tests/integration", 1_200, { live: true })],
  [tests("fault", "tests/fault", 600, { live: true })],
  [tests("e2e", "tests/e2e", 1_200, { live: true }, ["tests/e2e", `--ignore=${brokerTests}`])],
  [tests("e2e of the broker", "tests/e2e", 1_200, { live: true }, [brokerTests])],
  [program("crash harness", "tests/fault/prove_crash.ts", 600, {}, "--runs", "60")],
];
