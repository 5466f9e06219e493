/** What the TAB key offers, asked of the real shells. */
import assert from "node:assert/strict";
import { Argument, Command, Option } from "commander";
import { bashScript } from "../../agent/commands/completion_bash.ts";
import { fishScript } from "../../agent/commands/completion_fish.ts";
import { type Place, placesOf } from "../../agent/commands/completion_places.ts";
import { zshScript } from "../../agent/commands/completion_zsh.ts";
import { runCommandLine } from "../../agent/commands/program.ts";
import { FakeTerminal } from "../fakes/terminal.ts";
import { finish, succeed } from "../lab/command.ts";
import { PseudoTerminal } from "../lab/pseudo_terminal.ts";

/** A program with one of everything, its texts with what shells take for more than text. */
function sample(): Place[] {
  const program = new Command("sample-tool").configureHelp({ showGlobalOptions: true })
    .version("1", "--version", 'it\'s "quoted", $HOME `x` \\ [a]: 100 %')
    .option("--config <file>", "a file");
  const send = program.command("send").description("Sends; then more.").argument("[file]", "what")
    .addOption(new Option("--kind <kind>", "which (of two)").choices(["plain", "packed"]))
    .option("--name <name>", "any name");
  const box = program.command("box").summary("it's a box");
  const open = box.command("open").description("Opens").addArgument(
    new Argument("<how>").choices(["wide", "little"]),
  );
  for (const command of [send, box, open]) command.configureHelp({ showGlobalOptions: true });
  return placesOf(program);
}

/** Runs `use` with the script of a shell in a file, in a folder with the files `inside.csv` and `in two.csv`. */
async function withScript(text: string, use: (file: string, dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    const file = `${dir}/_script`;
    await Deno.writeTextFile(file, text);
    for (const name of ["inside.csv", "in two.csv"]) await Deno.writeTextFile(`${dir}/${name}`, "");
    await use(file, dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** What is typed (the last word is to be completed), and what is offered. */
const expected: [string[], string[]][] = [
  [["s"], ["send"]],
  [[""], ["send", "box", "help"]],
  [["--"], ["--version", "--config", "--help"]],
  [["--config", "in"], ["in two.csv", "inside.csv"]],
  [["--config", "x", "b"], ["box"]],
  [["box", ""], ["open", "help"]],
  [["box", "--config", "box", "o"], ["open"]],
  [["box", "open", ""], ["wide", "little"]],
  [["box", "open", "wide", ""], []],
  [["send", "--kind", ""], ["plain", "packed"]],
  [["send", "--kind", "plain", "in"], ["in two.csv", "inside.csv"]],
  [["send", "--name", ""], []],
  [["send", "--name", "box", "--k"], ["--kind"]],
  [["send", "--"], ["--kind", "--name", "--help", "--version", "--config"]],
];

/** Compares without regard to order; fish offers `--name=` forms and descriptions that are left out here. */
function assertOffered(shell: string, typed: string[], offered: string[], wanted: string[]): void {
  assert.deepEqual(
    offered.filter((one) => one !== "").map((one) => one.replaceAll("\\ ", " ")).sort(),
    [...wanted].sort(),
    `${shell}: ${typed.join(" ")}`,
  );
}

Deno.test("completion: bash offers commands, options, choices and files, each in its place", async () => {
  await withScript(bashScript("sample-tool", sample()), async (file, dir) => {
    const ask =
      `source "$0"; COMP_WORDS=(sample-tool "$@"); COMP_CWORD=$#; _sample_tool; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const asked = expected.concat([
      [["--config", "=", "insid"], ["inside.csv"]],
      [["--config", "="], ["in two.csv", "inside.csv", "_script"]],
      [["send", "--kind", "=", "pl"], ["plain"]],
    ]);
    for (const [typed, wanted] of asked) {
      const stdout = await succeed("bash", ["--norc", "-c", ask, file, ...typed], { cwd: dir });
      assertOffered("bash", typed, stdout.split("\n"), wanted);
    }
    assert.match(
      await succeed("bash", ["--norc", "-c", 'source "$0"; complete -p sample-tool', file]),
      /_sample_tool/,
    );
  });
});

Deno.test("completion: fish offers commands, options, choices and files, each in its place", async () => {
  await withScript(fishScript("sample-tool", sample()), async (file, dir) => {
    const env = { HOME: dir, XDG_CONFIG_HOME: `${dir}/config`, XDG_DATA_HOME: `${dir}/data` };
    const ask = async (line: string) => {
      const command = `source ${file}; complete -C '${line}'`;
      const stdout = await succeed("fish", ["--no-config", "-c", command], { cwd: dir, env });
      return stdout.split("\n").map((
        one,
      ): [string, string] => [one.split("\t")[0]!, one.split("\t")[1] ?? ""]);
    };
    for (const [typed, wanted] of expected) {
      const offered = await ask(["sample-tool", ...typed].join(" "));
      assertOffered("fish", typed, offered.map(([word]) => word), wanted);
    }
    const about = new Map(await ask("sample-tool --"));
    assert.equal(about.get("--version"), 'it\'s "quoted", $HOME `x` \\ [a]');
    assert.equal(new Map(await ask("sample-tool b")).get("box"), "it's a box");
  });
});

/** A shell at a terminal of its own, as a person has it. */
class Typing implements AsyncDisposable {
  readonly #terminal: PseudoTerminal;

  constructor(command: string, cwd: string) {
    this.#terminal = new PseudoTerminal(
      `exec ${command}`,
      { TERM: "dumb", HOME: cwd, PS1: "> ", HISTFILE: "" },
      cwd,
    );
  }

  /** Types keys and waits until `what` is shown behind what was shown before. */
  async type(keys: string, what: string): Promise<void> {
    const from = this.#terminal.shown.length;
    await this.#terminal.press(keys);
    await this.#terminal.until(`${what} after ${JSON.stringify(keys)}`, (shown) => {
      return shown.slice(from).includes(what);
    }, 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#terminal.press("\x15exit\n");
    await this.#terminal.code();
    await this.#terminal[Symbol.asyncDispose]();
  }
}

Deno.test("completion: bash at a terminal puts in what TAB finds", async () => {
  await withScript(bashScript("sample-tool", sample()), async (file, dir) => {
    await using shell = new Typing("bash --norc --noprofile -i", dir);
    await shell.type(`source ${file}; echo re''ady\n`, "ready");
    await shell.type("sample-tool se\t", "sample-tool send ");
    await shell.type("--ki\t", "--kind ");
    await shell.type("pa\t", "packed ");
    await shell.type("ins\t", "inside.csv ");
    await shell.type("\x15sample-tool --config=insi\t", "--config=inside.csv ");
    await shell.type("\x15sample-tool --config in\\ \t", "in\\ two.csv ");
  });
});

/** Notes what zsh is given to offer, and offers it. */
const noteOffers = `compadd() {
  local -a offers
  if [[ " $* " != *" -"[OAD]" "* ]]; then builtin compadd -A offers "$@"; print -rl -- $offers >>$NOTES; fi
  builtin compadd "$@"
}
`;

Deno.test("completion: zsh offers commands, options, choices and files, each in its place", async () => {
  await withScript(zshScript("sample-tool", sample()), async (file, dir) => {
    const notes = `${dir}/.notes`;
    await Deno.writeTextFile(`${dir}/.note`, noteOffers);
    await using shell = new Typing("zsh -f -i", dir);
    const begin = `autoload -U compinit; compinit -u -D; NOTES=${notes}; source ${file}; source ${dir}/.note`;
    await shell.type(`${begin}; echo re''ady\n`, "ready");
    const asked = expected.concat([[["--config=ins"], ["inside.csv"]], [["send", "--kind=pl"], ["plain"]]]);
    for (const [typed, wanted] of asked) {
      await Deno.writeTextFile(notes, "");
      await shell.type(`sample-tool ${typed.join(" ")}\t`, "");
      await shell.type("\x15echo re''ady\n", "ready");
      const offered = (await Deno.readTextFile(notes)).split("\n");
      assertOffered(
        "zsh",
        typed,
        [...new Set(offered.filter((one) => one.startsWith(beginning(typed))))],
        wanted,
      );
    }
  });
});

/** What the offers must begin with: zsh itself leaves out those that don't. */
function beginning(typed: string[]): string {
  return typed.at(-1)!.replace(/^--.*=/, "");
}

Deno.test("completion: zsh at a terminal puts in what TAB finds, autoloaded from a folder too", async () => {
  await withScript(zshScript("sample-tool", sample()), async (file, dir) => {
    await Deno.mkdir(`${dir}/functions`);
    await Deno.copyFile(file, `${dir}/functions/_sample-tool`);
    await using shell = new Typing("zsh -f -i", dir);
    await shell.type(
      `fpath=(${dir}/functions $fpath); autoload -U compinit; compinit -u -D; echo re''ady\n`,
      "ready",
    );
    await shell.type("sample-tool se\t", "sample-tool send ");
    await shell.type("--ki\t", "nd ");
    await shell.type("pa\t", "cked ");
    await shell.type("ins\t", "ide.csv ");
  });
});

Deno.test("completion: the agent's own script of each shell is without fault, and knows every command", async () => {
  const scriptOf = async (shell: string) => {
    const terminal = new FakeTerminal();
    assert.equal(await runCommandLine(["completion", shell], { terminal, version: "0" }), 0);
    return terminal.stdout;
  };
  for (const shell of ["bash", "zsh", "fish"]) {
    await withScript(await scriptOf(shell), async (file) => {
      assert.deepEqual(await finish(shell, ["-n", file]), { code: 0, stdout: "", stderr: "" });
    });
  }
  await withScript(await scriptOf("bash"), async (file) => {
    const ask =
      'source "$0"; COMP_WORDS=(sensorlog-agent st); COMP_CWORD=1; _sensorlog_agent; echo "${COMPREPLY[@]}"';
    assert.equal(await succeed("bash", ["--norc", "-c", ask, file]), "status\n");
  });
  await withScript(await scriptOf("fish"), async (file) => {
    const line = await succeed("fish", [
      "--no-config",
      "-c",
      `source ${file}; complete -C 'sensorlog-agent st'`,
    ]);
    assert.equal(line, "status\twhat the running agent does, and what wants attention\n");
  });
});

Deno.test("completion: a shell that is not known is refused", async () => {
  const terminal = new FakeTerminal();
  assert.equal(await runCommandLine(["completion", "tcsh"], { terminal, version: "0" }), 2);
  assert.match(terminal.stderr, /Allowed choices are bash, zsh, fish/);
});
