/** The project keeps its own rules. What each rule catches is shown in rules_test.ts. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import importMap from "../../import_map.json" with { type: "json" };
import { projectDir } from "../lab/paths.ts";
import { importFaults, looseEnds, packageFaults, packageOf, sizeFaults } from "./code_rules.ts";
import { commandHelp } from "./command_help.ts";
import { projectFiles } from "./files.ts";
import { readSource, type Source } from "./source.ts";
import {
  commandFaults,
  denoVersionFaults,
  dependencyFaults,
  linkFaults,
  machinePathFaults,
  registryFaults,
  taskFaults,
} from "./text_rules.ts";

const files = await projectFiles();
let read: Source[] | undefined;
/** Parsed once, in the first test: the parser works within tests only. */
const sources = () =>
  read ??= files.filter(({ path }) => path.endsWith(".ts")).map(({ path, text }) => readSource(path, text));
const fileAt = (path: string) =>
  files.find((file) => file.path === path) ?? assert.fail(`${path} is missing`);
const readmes = files.filter(({ path }) => path.endsWith(".md"));
/** Packages, also those of which only a part is imported (`csv-parse/sync`). */
const dependencies = Object.keys(importMap.imports).map(packageOf);
/** What of the dependencies the agent itself is made with. */
const agentsOwn = [
  "@elastic/elasticsearch",
  "@peculiar/x509",
  "aedes",
  "commander",
  "csv-stringify",
  "mqtt",
  "mqtt-packet",
  "reflect-metadata",
  "yaml",
  "zod",
];

/** Fails with all complaints, not with the first. */
function none(complaints: string[]): void {
  assert.equal(complaints.length, 0, `\n${complaints.join("\n")}`);
}

Deno.test("repository: imports go one way, and stages don't import each other", () => {
  assert.ok(sources().filter(({ imports }) => imports.length > 0).length > 20, "imports are read");
  none(sources().flatMap(importFaults));
});

Deno.test("repository: packages are those of the import map, and the agent has none that are for tests", () => {
  none(sources().flatMap((source) => packageFaults(source, dependencies, agentsOwn)));
});

Deno.test("repository: files are a few screens long, functions one", () => {
  assert.ok(sources().flatMap(({ functions }) => functions).length > 200, "functions are read");
  none(sources().flatMap(sizeFaults));
});

Deno.test("repository: nothing is left for later, left out, or hidden from the compiler", () => {
  none(sources().flatMap(looseEnds));
  const others = files.filter(({ path }) => /\.(sh|c|h|java|xml|conf)$/.test(path));
  none(
    others.flatMap(({ path, text }) =>
      /\b(TODO|FIXME|XXX|HACK)\b/.test(text) ? [`${path}: a loose end`] : []
    ),
  );
});

Deno.test("repository: no registry and no path of a machine is named", () => {
  const own = files.filter(({ path }) => path !== "deno.lock");
  none(own.flatMap(registryFaults));
  const ordinary = ["/", "/tmp", "/var/tmp", "/srv", "/opt", "/usr/src", "/home", "/root"];
  const around = dirname(projectDir);
  const homes = ordinary.includes(around) ? [`${projectDir}/`] : [`${projectDir}/`, `${around}/`];
  none(own.flatMap((file) => machinePathFaults(file, homes)));
});

Deno.test("repository: one Deno version, the one in .deno-version", () => {
  const pinned = fileAt(".deno-version").text.trim();
  none(denoVersionFaults(files, pinned, [".ci/run", "README.md", "agent/build/denort.ts"]));
});

Deno.test("repository: .ci/run runs the README's test command", () => {
  const command = /^npx \S+ \S+ task test$/m.exec(fileAt(".ci/run").text)?.[0];
  assert.ok(command !== undefined, ".ci/run runs the task test");
  assert.ok(fileAt("README.md").text.split("\n").includes(command), `README.md shows: ${command}`);
});

Deno.test("repository: tasks that are named exist, and what they run exists", () => {
  none(taskFaults(files, Object.keys(config.tasks)));
  const scripts = Object.entries(config.tasks).map((
    [name, { command }],
  ) => [name, command.match(/\S+\.ts/)?.[0]]);
  none(
    scripts.flatMap(([name, script]) =>
      script !== undefined && existsSync(join(projectDir, script))
        ? []
        : [`deno.json: ${name} runs ${script}`]
    ),
  );
});

Deno.test("repository: every dependency has a line that says what it is for, and is locked", () => {
  none(dependencyFaults(fileAt("agent/README.md"), dependencies));
  const lock = Deno.readTextFileSync(join(projectDir, "deno.lock"));
  none(
    Object.values(importMap.imports).flatMap((one) =>
      lock.includes(`"${one.replace(/(?<=@[\d.]+)\/.*/, "")}"`) ? [] : [`deno.lock: no ${one}`]
    ),
  );
});

Deno.test("repository: links between files lead somewhere", () => {
  none(readmes.flatMap((file) => linkFaults(file, (path) => existsSync(join(projectDir, path)))));
});

Deno.test("repository: the README names every command there is, and no other", async () => {
  none(commandFaults(fileAt("README.md"), "sensorlog-agent", await commandHelp()));
});
