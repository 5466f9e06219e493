import assert from "node:assert/strict";
import { join } from "node:path";
import "../../agent/base/libc.ts"; // loaded once: not a leak of the test whose command loads it
import { runCommandLine } from "../../agent/commands/program.ts";
import { FakeTerminal } from "../fakes/terminal.ts";

const version = "0.1.0+abc";

async function call(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = new FakeTerminal();
  const code = await runCommandLine(args, { terminal, version });
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

const commands = [
  ["run"],
  ["check"],
  ["status"],
  ["tail"],
  ["export"],
  ["spool", "ls"],
  ["spool", "verify"],
  ["spool", "cat"],
  ["dead", "ls"],
  ["dead", "show"],
  ["dead", "replay"],
  ["dead", "drop"],
  ["completion"],
  ["version"],
];

Deno.test("commands: each has a help that teaches, with two examples or more", async () => {
  for (const command of [...commands, ["spool"], ["dead"]]) {
    const { code, stdout, stderr } = await call(...command, "--help");
    assert.equal(code, 0);
    assert.equal(stderr, "");
    const [, examples] = stdout.split("Examples:\n");
    const lines = examples!.trimEnd().split("\n");
    assert.ok(lines.length >= 2, command.join(" "));
    for (const line of lines) {
      assert.match(line, new RegExp(`^  sensorlog-agent ${command.join(" ")}\\b.*# \\w`));
    }
    assert.match(stdout, /--config <file>/);
    assert.ok(stdout.split("\n").every((line) => line.length <= 80 || line.includes("#")), stdout);
  }
});

/** The words of an example up to the first pipe or redirection, without the program's name. */
function words(example: string): string[] {
  const own = example.split(/ #| \| | >/)[0]!;
  return [...own.matchAll(/'([^']*)'|(\S+)/g)].map((word) => word[1] ?? word[2]!).slice(1);
}

Deno.test("commands: every example of every help can be typed as it stands", async () => {
  let tried = 0;
  for (const command of [...commands, ["spool"], ["dead"]]) {
    const [, examples] = (await call(...command, "--help")).stdout.split("Examples:\n");
    for (const example of examples!.trimEnd().split("\n")) {
      const outcome = await call(...words(example.trim()), "--config", "/nowhere/a.yaml").catch((error) =>
        error
      );
      const stderr = outcome instanceof Error ? outcome.message : outcome.stderr;
      // there is no such configuration: a command gets no further, and complains about nothing else
      assert.match(stderr, /^(read the configuration: \/nowhere.*)?$/, example);
      tried++;
    }
  }
  assert.ok(tried > 2 * commands.length);
});

Deno.test("commands: those that list something have --json", async () => {
  for (const command of commands) {
    if (["run", "export", "completion"].includes(command[0]!)) continue;
    assert.match((await call(...command, "--help")).stdout, /--json/, command.join(" "));
  }
});

Deno.test("commands: the README's table and the program have the same ones", async () => {
  const readme = await Deno.readTextFile(join(import.meta.dirname!, "../../README.md"));
  const table = readme.split("## Commands")[1]!.split("\n\n")[1]!;
  const inReadme = [...table.matchAll(/^\| `(\w+)/gm)].map((match) => match[1]);
  const help = (await call("--help")).stdout.split("Commands:\n")[1]!;
  const inHelp = [...help.matchAll(/^ {2}(\w+)/gm)].map((match) => match[1]).filter((name) =>
    name !== "help"
  );
  assert.deepEqual(inReadme, inHelp);
});

Deno.test("commands: wrong use ends with 2, says what is near, and goes to standard error", async () => {
  const typo = await call("stauts");
  assert.deepEqual([typo.code, typo.stdout], [2, ""]);
  assert.match(typo.stderr, /unknown command 'stauts'\n\(Did you mean status\?\)/);
  assert.match((await call("status", "--jsn")).stderr, /unknown option '--jsn'\n\(Did you mean --json\?\)/);
  assert.equal((await call("status", "--jsn")).code, 2);
  assert.equal((await call("dead", "show", "cloud")).code, 2, "an argument is missing");
  assert.equal((await call("version", "a")).code, 2, "one argument too many");
  const nothing = await call();
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /Usage: sensorlog-agent/);
});

Deno.test("commands: version says which build this is", async () => {
  assert.match((await call("version")).stdout, /^sensorlog-agent 0\.1\.0 \(abc\), \S+, Deno \d/);
  const json = JSON.parse((await call("version", "--json")).stdout);
  assert.deepEqual([json.version, json.commit], ["0.1.0", "abc"]);
  assert.equal((await call("--version")).stdout, `${version}\n`);
});

Deno.test("commands: --config may stand before or behind the command", async () => {
  for (const args of [["--config", "/nowhere/a.yaml", "status"], ["status", "--config", "/nowhere/a.yaml"]]) {
    await assert.rejects(call(...args), { name: "ConfigError", message: /\/nowhere\/a\.yaml/ });
  }
});

Deno.test("commands: dead drop wants to be told which ones", async () => {
  await assert.rejects(call("dead", "drop", "cloud"), { name: "ConfigError", message: /--all/ });
  await assert.rejects(call("dead", "drop", "cloud", "a-1", "--all"), { name: "ConfigError" });
});

Deno.test("commands: tail refuses what is no topic filter before it asks anybody", async () => {
  await assert.rejects(call("tail", "a", "a/#/b"), { name: "ConfigError", message: /whole last level/ });
});
