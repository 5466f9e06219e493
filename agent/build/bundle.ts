/**
 * All of the agent and its packages in a few JavaScript files: what each command needs, what some of them share, and what runs
 * in a thread of its own. Compiled, they are smaller and start sooner than the sources, and a process holds what it uses.
 */
import * as esbuild from "esbuild";
import { builtinModules } from "node:module";
import { basename, join, relative } from "node:path";
import { sha256 } from "./denort.ts";

/**
 * Packages that ours import but never use: Apache Arrow serves an ES|QL helper and costs 7 MB of memory at start, undici is
 * another way to connect than ours and costs 6 MB; ws and socks are npm:mqtt's other ways to connect.
 */
const leftOut = ["apache-arrow", "undici", "ws", "socks"];
/** Elasticsearch's client has a file for each endpoint; ours are asked through its transport. They are a sixth of the bundle. */
const leftOutFiles = /\/@elastic\/elasticsearch\/lib\/api\/api\/[^/]+\.js$/;

/** Packages made for CommonJS call `require` for what Node brings along. */
const banner = `import { createRequire as sensorlogRequire } from "node:module";
const require = sensorlogRequire(import.meta.url);`;

/** Deno wants `node:` before the name of a built-in module; packages often leave it out. */
const nodePrefix: esbuild.Plugin = {
  name: "node-prefix",
  setup(build) {
    const names = new Set(builtinModules);
    build.onResolve({ filter: /^[a-z_/0-9]+$/ }, ({ path }) => {
      return names.has(path) ? { path: `node:${path}`, external: true } : undefined;
    });
  },
};

const emptyPackages: esbuild.Plugin = {
  name: "empty-packages",
  setup(build) {
    const filter = new RegExp(`^(${leftOut.join("|")})(/|$)`);
    build.onResolve({ filter }, ({ path }) => ({ path, namespace: "left-out" }));
    const empty = () => ({ contents: "module.exports = {};" });
    build.onLoad({ filter: /.*/, namespace: "left-out" }, empty);
    build.onLoad({ filter: leftOutFiles }, empty);
  },
};

/** In a bundle packages see Deno's own timers, which are numbers; aedes needs Node's, which have methods. */
const nodeTimers: esbuild.Plugin = {
  name: "node-timers",
  setup(build) {
    const names = "setTimeout, setInterval, setImmediate, clearTimeout, clearInterval";
    build.onLoad({ filter: /\/node_modules\/aedes\/.*\.js$/ }, async ({ path }) => ({
      contents: `import { ${names} } from "node:timers";\n${await Deno.readTextFile(path)}`,
    }));
  },
};

export interface Bundles {
  /** Text of the main ES module. */
  main: string;
  /** Text of the others, by the names under which they are looked for beside it. */
  beside: Record<string, string>;
}

/** The file beside the main module that holds the local store's thread. */
const storeThread = "sensorlog-store.mjs";

/**
 * Bundles `entry`, and the local store's thread. `commit` becomes part of the version. Throws with esbuild's messages (file,
 * line, column) when something can't be resolved.
 */
export async function bundle(
  entry: string,
  projectDir: string,
  cacheDir: string,
  commit: string,
): Promise<Bundles> {
  const packages = await installPackages(projectDir, cacheDir);
  const thread = join(projectDir, "agent/shipper/local_worker.ts");
  try {
    const [main, store] = await Promise.all(
      [entry, thread].map((one) => bundleOne(one, projectDir, packages, commit)),
    );
    return { main: main!.main, beside: { ...main!.beside, [storeThread]: store!.main } };
  } finally {
    await esbuild.stop();
  }
}

async function bundleOne(
  entry: string,
  projectDir: string,
  packages: string,
  commit: string,
): Promise<Bundles> {
  const result = await esbuild.build({
    entryPoints: { main: entry },
    splitting: true, // what is imported when it is used stands in files of its own
    outdir: projectDir,
    outExtension: { ".js": ".mjs" },
    chunkNames: "sensorlog-[name]-[hash]",
    absWorkingDir: projectDir,
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "es2024",
    charset: "ascii", // V8 keeps such a text at one byte a character
    // names stay: a stack trace from a plant must say where
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    nodePaths: [packages],
    banner: { js: banner },
    define: {
      SENSORLOG_COMMIT: JSON.stringify(commit),
      SENSORLOG_STORE_THREAD: JSON.stringify(`./${storeThread}`),
    },
    plugins: [emptyPackages, nodePrefix, nodeTimers],
    logLevel: "silent",
  });
  for (const { text, location } of result.warnings) console.error(`warning: ${location?.file}: ${text}`);
  const texts = result.outputFiles.map(({ path, text }) => [basename(path), text] as const);
  const { "main.mjs": main, ...beside } = Object.fromEntries(texts);
  return { main: main!, beside };
}

/** A node_modules folder with just what deno.lock names, outside the project: esbuild reads packages from folders. */
async function installPackages(projectDir: string, cacheDir: string): Promise<string> {
  const lock = await Deno.readTextFile(join(projectDir, "deno.lock"));
  const importMap = await Deno.readTextFile(join(projectDir, "import_map.json"));
  const home = join(
    cacheDir,
    `packages-${sha256(`${Deno.version.deno}\n${lock}\n${importMap}`).slice(0, 16)}`,
  );
  const done = join(home, "installed");
  if (await Deno.stat(done).then(() => true, () => false)) return join(home, "node_modules");
  await Deno.remove(home, { recursive: true }).catch(ignoreAbsent);
  await Deno.mkdir(home, { recursive: true });
  await Deno.writeTextFile(join(home, "deno.lock"), lock);
  await Deno.writeTextFile(join(home, "import_map.json"), importMap);
  const config = { nodeModulesDir: "auto", importMap: "./import_map.json" };
  await Deno.writeTextFile(join(home, "deno.json"), JSON.stringify(config));
  const { imports } = JSON.parse(importMap) as { imports: Record<string, string> };
  const install = new Deno.Command(Deno.execPath(), {
    args: [
      "cache",
      "--quiet",
      "--lock=deno.lock",
      "--frozen",
      "--config=deno.json",
      ...Object.values(imports),
    ],
    cwd: home,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
  const { success, stderr } = await install.output();
  if (!success) {
    throw new Error(`installing what deno.lock names: ${new TextDecoder().decode(stderr).trim()}`);
  }
  await Deno.writeTextFile(done, "");
  return join(home, "node_modules");
}

function ignoreAbsent(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/**
 * The commit that the project's files are those of, `.changed` behind it when what is compiled differs; `unknown` without
 * a git repository.
 */
export async function commitOf(projectDir: string): Promise<string> {
  const git = async (...args: string[]) => {
    const command = new Deno.Command("git", { args, cwd: projectDir, stdin: "null", stderr: "null" });
    const { success, stdout } = await command.output();
    if (!success) throw new Error("no repository");
    return new TextDecoder().decode(stdout).trim();
  };
  try {
    // a repository around an unpacked archive is not the project's
    const top = await git("rev-parse", "--show-toplevel");
    if (relative(await Deno.realPath(projectDir), top) !== "") return "unknown";
    const commit = await git("rev-parse", "--short=10", "HEAD");
    const compiled = ["agent", "deno.json", "import_map.json", "deno.lock"];
    return await git("status", "--porcelain", "--", ...compiled) === "" ? commit : `${commit}.changed`;
  } catch {
    return "unknown";
  }
}
