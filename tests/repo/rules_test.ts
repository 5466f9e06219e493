/** Each rule catches what it is there for, and lets pass what only looks like it. */
import assert from "node:assert/strict";
import { importFaults, looseEnds, packageFaults, sizeFaults } from "./code_rules.ts";
import { readSource } from "./source.ts";
import {
  commandFaults,
  commandsNamed,
  denoVersionFaults,
  dependencyFaults,
  linkFaults,
  machinePathFaults,
  registryFaults,
  taskFaults,
} from "./text_rules.ts";

Deno.test("rule of imports: against the way, across stages and out of the agent is caught, in every form", () => {
  const faults = (path: string, text: string) => importFaults(readSource(path, text));
  const bad: [string, string][] = [
    ["agent/base/a.ts", `import { b } from "../spool/b.ts";`],
    ["agent/base/a.ts", `import type { B } from "../spool/b.ts";`],
    ["agent/spool/a.ts", `import "../subscriber/b.ts";`],
    ["agent/spool/a.ts", `export * from "../status/b.ts";`],
    ["agent/shipper/a.ts", `export { b } from "../cleaner/b.ts";`],
    ["agent/shipper/a.ts", `const b = await import("../subscriber/b.ts");`],
    ["agent/shipper/a.ts", `import type { B } from "../subscriber/b.ts";`],
    ["agent/shipper/a.ts", `import { b } from "../status/b.ts";`],
    ["agent/cleaner/a.ts", `import { type B, b } from "../status/b.ts";`],
    ["agent/cleaner/a.ts", `import type { B } from "../pipeline.ts";`],
    ["agent/pipeline.ts", `import { b } from "./commands/b.ts";`],
    ["agent/pipeline.ts", `import { b } from "./demo/b.ts";`],
    ["agent/demo/a.ts", `import { b } from "../commands/b.ts";`],
    ["agent/pipeline.ts", `import { b } from "./config.ts";`],
    ["agent/config/a.ts", `import { b } from "../pipeline.ts";`],
    ["agent/commands/a.ts", `import { b } from "../main.ts";`],
    ["agent/limits.ts", `import { b } from "./base/b.ts";`],
    ["agent/status/a.ts", `import { b } from "../../tests/fakes/b.ts";`],
    ["agent/status/a.ts", `import { b } from "../../bench/b.ts";`],
    ["agent/commands/a.ts", `import { b } from "../build/b.ts";`],
    ["agent/new/a.ts", ``],
    ["installer/a.ts", `import { b } from "../agent/shipper/b.ts";`],
    ["installer/a.ts", `import type { B } from "../agent/status/b.ts";`],
    ["installer/a.ts", `import { b } from "../agent/spool/b.ts";`],
    ["installer/a.ts", `import { b } from "../agent/commands/b.ts";`],
    ["agent/pipeline.ts", `import { b } from "../installer/b.ts";`],
  ];
  for (const [path, text] of bad) assert.equal(faults(path, text).length, 1, `${path}: ${text}`);
  assert.deepEqual(faults("agent/base/a.ts", `// one\nimport { b } from "../spool/b.ts";\n`), [
    "agent/base/a.ts:2: base imports agent/spool/b.ts",
  ]);
  const good: [string, string][] = [
    ["agent/main.ts", `import { b } from "./commands/b.ts"; import { c } from "./base/c.ts";`],
    ["agent/pipeline.ts", `import { b } from "./shipper/b.ts"; import type { S } from "./status/s.ts";`],
    [
      "agent/shipper/a.ts",
      `import { b } from "./b.ts"; import { c } from "../spool/c.ts"; import "../limits.ts";`,
    ],
    [
      "agent/shipper/a.ts",
      `import type { B } from "../status/b.ts"; import { type C } from "../status/c.ts";`,
    ],
    ["agent/status/a.ts", `import type { B } from "../shipper/b.ts";`],
    ["agent/config/a.ts", `import { b } from "../shipper/b.ts";`],
    ["agent/demo/a.ts", `import { b } from "../pipeline.ts"; import { c } from "../status/c.ts";`],
    ["agent/commands/demo.ts", `import { b } from "../demo/b.ts";`],
    ["agent/version.ts", `import project from "../deno.json" with { type: "json" };`],
    ["agent/base/a.ts", `const text = 'import { b } from "../spool/b.ts";'; // import "../spool/b.ts"`],
    ["tests/a.ts", `import { b } from "../agent/main.ts";`],
    ["agent/commands/a.ts", `import { b } from "../../installer/b.ts";`],
    [
      "installer/a.ts",
      `import { b } from "./b.ts"; import "../agent/config.ts"; import "../agent/base/c.ts"; import "../agent/limits.ts";`,
    ],
  ];
  for (const [path, text] of good) assert.deepEqual(faults(path, text), [], text);
});

Deno.test("rule of packages: unknown ones, and the tests' own in the agent, are caught", () => {
  const faults = (path: string, text: string) => {
    return packageFaults(readSource(path, text), ["zod", "@a/b", "fast-check"], ["zod", "@a/b"]);
  };
  assert.equal(faults("agent/a.ts", `import { x } from "lodash";`).length, 1);
  assert.equal(faults("tests/a.ts", `import { x } from "jsr:@std/assert";`).length, 1);
  assert.equal(faults("agent/a.ts", `const fc = await import("fast-check");`).length, 1);
  assert.deepEqual(faults("agent/a.ts", `import z from "zod/v4"; import "@a/b/c"; import "node:fs";`), []);
  assert.deepEqual(faults("agent/a.ts", `import type { X } from "fast-check";`), []);
  assert.deepEqual(faults("agent/build/a.ts", `import "fast-check";`), []);
  assert.deepEqual(faults("tests/a.ts", `import "fast-check";`), []);
});

Deno.test("rule of sizes: a function of 61 lines and a file of 321 are caught, whatever form they have", () => {
  const lines = (count: number) => "  x();\n".repeat(count - 2);
  const forms = [
    (count: number) => `function f() {\n${lines(count)}}\n`,
    (count: number) => `const f = () => {\n${lines(count)}};\n`,
    (count: number) => `class C {\n  async f() {\n${lines(count)}  }\n}\n`,
    (count: number) => `const o = {\n  f() {\n${lines(count)}  },\n};\n`,
    (count: number) => `call(function () {\n${lines(count)}});\n`,
    (count: number) => `class C {\n  #f = () => {\n${lines(count)}  };\n}\n`,
  ];
  for (const form of forms) {
    assert.equal(sizeFaults(readSource("agent/a.ts", form(61))).length, 1, form(3));
    assert.deepEqual(sizeFaults(readSource("agent/a.ts", form(60))), [], form(3));
  }
  assert.deepEqual(sizeFaults(readSource("bench/a.ts", `// {\n${forms[0]!(61)}`)), [
    "bench/a.ts:2: f has 61 lines (60)",
  ]);
  assert.equal(sizeFaults(readSource("agent/a.ts", "x();\n".repeat(321))).length, 1);
  assert.deepEqual(sizeFaults(readSource("agent/a.ts", "x();\n".repeat(320))), []);
  assert.deepEqual(sizeFaults(readSource("tests/a.ts", "x();\n".repeat(999))), []);
});

Deno.test("rule of loose ends: what is left for later, left out or unchecked is caught, not words that look like it", () => {
  const faults = (text: string) => looseEnds(readSource("tests/a.ts", text)).length;
  const bad = [
    "// TO" + "DO: later",
    "/* FIX" + "ME */",
    "// @ts-" + "ignore\nx();",
    "// deno-lint-" + "ignore-file\n",
    "let x: any;",
    "const y = x as any;",
    "const z: any[] = [];",
    'Deno.test.ignore("x", () => {});',
    'Deno.test.only("x", () => {});',
    'test.skip("x", () => {});',
    'Deno.test({ name: "x", ignore: true, fn() {} });',
    'Deno.test({ name: "x", only: true, fn() {} });',
  ];
  for (const text of bad) assert.equal(faults(text), 1, text);
  const good = [
    'const text = "TO" + "DO: any @ts-";',
    "const any = 1; // any of them",
    "stream.skip(3);",
    "const o = { ignore: false };",
    "type Unknown = unknown;",
  ];
  for (const text of good) assert.equal(faults(text), 0, text);
});

const readme = (text: string) => ({ path: "README.md", text });

Deno.test("rule of registries and paths: hosts of registries and folders of a machine are caught", () => {
  // put together here, so that this file passes its own rule
  const scheme = "https:/" + "/";
  const names = ["registry.npm" + "js.org/x", "py" + "pi.org", "deb.deb" + "ian.org/debian"];
  const mirrors = ["static.example.com/a", "repo1.example.org", "registry.example.com:5000"];
  for (const host of [...names, ...[...names, ...mirrors].map((name) => scheme + name)]) {
    assert.equal(registryFaults(readme(`a\nb ${host} c`)).length, 1, host);
  }
  assert.deepEqual(registryFaults(readme("npm, PyPI and https://10.8.0.1:9200 or https://example.com")), []);
  const home = "/ho" + "me/maria/x";
  for (const path of [home, "/ro" + "ot/.cache", "see /build/here/a.ts"]) {
    assert.equal(machinePathFaults(readme(path), ["/build/here/"]).length, 1, path);
  }
  assert.deepEqual(
    machinePathFaults(readme("/var/lib/sensorlog, /etc/x, ./root/a, as root"), ["/build/here/"]),
    [],
  );
});

Deno.test("rule of the Deno version: another one, or none where one belongs, is caught", () => {
  const faults = (text: string) => denoVersionFaults([readme(text)], "2.6.8", ["README.md"]);
  const at = "deno" + "@";
  assert.deepEqual(faults(`npx --yes ${at}2.6.8 task try`), []);
  assert.equal(faults(`npx ${at}2.6.8 task try\nnpx ${at}2.6.9 task try`).length, 1);
  assert.equal(faults(`denoVersion: "2.6.${"7"}"`).length, 1);
  assert.deepEqual(faults("deno task try"), ["README.md: does not name Deno 2.6.8"]);
});

Deno.test("rule of tasks, dependencies and links: what is named and not there is caught, and what is there and not named", () => {
  assert.equal(taskFaults([readme(`npx --yes deno ${"task"} gone`)], ["try"]).length, 1);
  assert.deepEqual(
    taskFaults([readme("npx --yes deno task try, and deno task prove:crash")], ["try", "prove:crash"]),
    [],
  );
  const table =
    "| package | what for |\n|---|---|\n| npm:zod | checks |\n| npm:@a/b 8 | calls |\n| npm:c (tests) | |\n";
  assert.deepEqual(dependencyFaults(readme(table), ["zod", "@a/b", "d"]), [
    "README.md: no line says what npm:d is for",
    "README.md: npm:c is not in import_map.json",
    "README.md: npm:c is named without what it is for",
  ]);
  const exists = (path: string) => path === "agent/a.md";
  const links = "[a](a.md) [b](https://example.com) [c](a.md#part) [d](b.md)";
  assert.deepEqual(linkFaults({ path: "agent/README.md", text: links }, exists), [
    "agent/README.md:1: links to b.md, which is not there",
  ]);
});

Deno.test("rule of commands: those that the README names and the program has not, and the other way round, are caught", () => {
  const text = `
| command | what it does |
|---|---|
| \`run\` | runs |
| \`status [--json] [--watch]\` | shows |
| \`spool ls\`, \`cat [--json]\` | reads |
| \`tail [TOPIC]\` | follows |

\`sensorlog-agent check\`, then \`sensorlog-agent dead show --all\`.

    sensorlog-agent spool verify # all of it
`;
  const words = commandsNamed(text, "sensorlog-agent").map((one) => [one.words, ...one.options].join(" "));
  assert.deepEqual(words, [
    "run",
    "status --json --watch",
    "spool ls",
    "spool cat --json",
    "tail",
    "check",
    "dead show --all",
    "spool verify",
  ]);
  const help = new Map(
    ["run", "check", "tail", "spool ls", "spool cat", "spool verify", "dead show"].map((name) => {
      return [name, "  --json"] as const;
    }),
  );
  assert.deepEqual(commandFaults(readme(text), "sensorlog-agent", new Map([...help, ["version", ""]])), [
    "README.md: there is no command status",
    "README.md: dead show has no --all",
    "README.md: does not name the command version",
  ]);
});
