/** The command line: names, options and help. What a command does stands in a file of its own, loaded when it is called. */
import { Command, CommanderError } from "commander";
import type { Terminal } from "./terminal.ts";

/** Options that commander hands to an action, with those of the program. */
export interface CommonOptions {
  config?: string;
  json?: boolean;
}

/** What the command line needs from `main.ts`. */
export interface Host {
  terminal: Terminal;
  version: string;
}

const defaultFile = "/etc/sensorlog/agent.yaml";

/**
 * Runs the command that `args` name. Returns the exit code: 0 done, 1 failed, 2 wrong use; `status` alone 3 when no
 * agent answers. Throws what the command throws.
 */
export async function runCommandLine(args: string[], host: Host): Promise<number> {
  let exitCode = 0;
  const printed: { out: string; err: string } = { out: "", err: "" };
  const program = describe(host, (code) => exitCode = code);
  for (const command of [program, ...everyCommand(program)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => printed.out += text,
      writeErr: (text) => printed.err += text,
      getOutHelpWidth: () => host.terminal.size().columns,
      getErrHelpWidth: () => host.terminal.size().columns,
      getOutHasColors: () => host.terminal.colour,
      getErrHasColors: () => false,
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    exitCode = error.exitCode === 0 ? 0 : 2;
  }
  if (printed.out !== "") await host.terminal.out(printed.out);
  if (printed.err !== "") await host.terminal.err(printed.err);
  return exitCode;
}

function everyCommand(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...everyCommand(child)]);
}

/** Adds two examples or more below a command's help. */
function examples(command: Command, lines: [string, string][]): Command {
  const width = Math.max(...lines.map(([example]) => example.length));
  const text = lines.map(([example, what]) => `  ${example.padEnd(width)}  # ${what}`);
  return command.addHelpText("after", `\nExamples:\n${text.join("\n")}`);
}

type Finish = (code: number) => void;

function describe(host: Host, finish: Finish): Command {
  const program = new Command("sensorlog-agent")
    .description("Brings every MQTT reading of a plant into Elasticsearch, once.")
    .configureHelp({ showGlobalOptions: true })
    .version(host.version, "--version", "shows the version")
    .option("--config <file>", `configuration to use (default: ${defaultFile})`)
    .showHelpAfterError("(--help shows what is allowed)");
  addRun(program, host, finish);
  addCheck(program, host, finish);
  addStatus(program, host, finish);
  addTail(program, host, finish);
  addSpool(program, host, finish);
  addDead(program, host, finish);
  addVersion(program, host, finish);
  for (const command of everyCommand(program)) command.configureHelp({ showGlobalOptions: true });
  return program;
}

function addRun(program: Command, host: Host, finish: Finish): void {
  const command = program.command("run")
    .summary("subscribes, stores, ships and cleans: what the service runs")
    .description(
      "Subscribes, stores, ships and cleans until it is told to stop; what the service runs.\n\n" +
        "SIGTERM or Ctrl-C stops reading, acknowledges what is stored, ships for at most 5 s and ends; a second " +
        "Ctrl-C ends at once. SIGHUP reads the configuration again and says what needs a restart.",
    )
    .action(async (_options, command: Command) => {
      const { run } = await import("./run.ts");
      finish(await run(host, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sensorlog-agent run", `with ${defaultFile}`],
    ["sensorlog-agent run --config ./agent.yaml", "by hand, with a configuration of your own"],
  ]);
}

function addCheck(program: Command, host: Host, finish: Finish): void {
  const command = program.command("check")
    .summary("configuration, disk, clock, broker and outputs, line by line")
    .description(
      "Goes through configuration, disk, clock, broker and outputs: line by line what is well (✓), what is " +
        "doubtful (!) and what is not (✗), and what to do about it. Changes nothing; ends with 1 when something is not well.",
    )
    .option("--json", "one JSON object per line")
    .action(async (_options, command: Command) => {
      const { check } = await import("./check.ts");
      finish(await check(host, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sensorlog-agent check", "before the first run, and when something is odd"],
    ["sensorlog-agent check --config ./agent.yaml --json", "another configuration, for a script"],
  ]);
}

function addStatus(program: Command, host: Host, finish: Finish): void {
  const command = program.command("status")
    .summary("what the running agent does, and what wants attention")
    .description(
      "Shows what the running agent does: alarms and what to do about them, connection, spool, outputs, clock. " +
        "Ends with 0 when all is well, 1 when something wants attention, 3 when no agent answers.",
    )
    .option("--json", "the whole status as JSON")
    .option("--watch", "shows it again every second, until Ctrl-C")
    .action(async (_options, command: Command) => {
      const { status } = await import("./status.ts");
      finish(await status(host, command.optsWithGlobals<CommonOptions & { watch?: boolean }>()));
    });
  examples(command, [
    ["sensorlog-agent status --watch", "on a terminal"],
    ["sensorlog-agent status --json | jq .outputs", "in a script"],
  ]);
}

function addTail(program: Command, host: Host, finish: Finish): void {
  const command = program.command("tail")
    .summary("readings as they are stored, live")
    .description(
      "Shows readings as they are stored, live. They are on disk by then, and perhaps not shipped yet.",
    )
    .argument("[topic]", "an MQTT topic filter, with + and #", "#")
    .option("--json", "one JSON object per reading and line")
    .action(async (topic: string, _options, command: Command) => {
      const { tail } = await import("./tail.ts");
      finish(await tail(host, topic, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sensorlog-agent tail 'hall1/+/temperature'", "one kind of sensor (quotes keep the shell away)"],
    ["sensorlog-agent tail --json | jq -r .payload", "payloads only"],
  ]);
}

function addSpool(program: Command, host: Host, finish: Finish): void {
  const spool = program.command("spool")
    .summary("what is on disk, while the agent runs or not")
    .description("Looks at what is on disk, while the agent runs or not. Nothing is changed.");
  const about: ["ls" | "verify" | "cat", string, [string, string][]][] = [
    ["ls", "Lists the segments: name, readings, first sequence, size.", [
      ["sensorlog-agent spool ls", "what is on disk"],
      ["sensorlog-agent spool ls --json", "for a script"],
    ]],
    ["verify", "Reads every byte and checks every sum; ends with 1 when something is damaged.", [
      ["sensorlog-agent spool verify", "after a power cut, or when a card is in doubt"],
      ["sensorlog-agent spool verify --json", "for a script"],
    ]],
    ["cat", "Prints the readings, oldest first.", [
      ["sensorlog-agent spool cat | less", "to look at"],
      ["sensorlog-agent spool cat --json > readings.ndjson", "everything that is still on disk"],
    ]],
  ];
  for (const [name, description, lines] of about) {
    const command = spool.command(name)
      .description(description)
      .option("--json", "one JSON object per line")
      .action(async (_options, command: Command) => {
        const commands = await import("./spool.ts");
        finish(await commands[name](host, command.optsWithGlobals<CommonOptions>()));
      });
    examples(command, lines);
  }
  examples(spool, [
    ["sensorlog-agent spool ls", "what is on disk"],
    ["sensorlog-agent spool verify", "whether all of it can be read"],
  ]);
}

function addDead(program: Command, host: Host, finish: Finish): void {
  const dead = program.command("dead")
    .summary("readings that an output refused for their own fault")
    .description(
      "Readings that an output refused for their own fault. They are kept until you send them again or drop them. " +
        "Asks the running agent; when none runs, works on its files.",
    );
  addDeadLooking(dead, host, finish);
  addDeadActing(dead, host, finish);
  examples(dead, [
    ["sensorlog-agent dead ls", "what was refused, and why"],
    ["sensorlog-agent dead replay cloud", "again, after the reason is mended"],
  ]);
}

function addDeadLooking(dead: Command, host: Host, finish: Finish): void {
  const ls = dead.command("ls").argument("[output]", "only those of this output")
    .description("Lists dead letters: id, when, topic, reason.")
    .option("--json", "one JSON object per line")
    .action(async (output: string | undefined, _options, command: Command) => {
      const { list } = await import("./dead.ts");
      finish(await list(host, output, command.optsWithGlobals<CommonOptions>()));
    });
  examples(ls, [
    ["sensorlog-agent dead ls", "of all outputs"],
    ["sensorlog-agent dead ls cloud --json", "of one, for a script"],
  ]);
  const show = dead.command("show").argument("<output>").argument("<id>", "as `dead ls` shows it")
    .description("Shows one dead letter whole: the reading, why it was refused, where it was to go.")
    .option("--json", "as one JSON object")
    .action(async (output: string, id: string, _options, command: Command) => {
      const { show } = await import("./dead.ts");
      finish(await show(host, output, id, command.optsWithGlobals<CommonOptions>()));
    });
  examples(show, [
    ["sensorlog-agent dead show cloud 00a1b2c3d4e5f607-42", "why it was refused"],
    ["sensorlog-agent dead show cloud 00a1b2c3d4e5f607-42 --json", "for a script"],
  ]);
}

function addDeadActing(dead: Command, host: Host, finish: Finish): void {
  const replay = dead.command("replay").argument("<output>").argument("[ids...]", "which ones (default: all)")
    .description("Sends dead letters again, after the reason is mended. What is refused again stays.")
    .option("--json", "the result as JSON")
    .action(async (output: string, ids: string[], _options, command: Command) => {
      const { replay } = await import("./dead.ts");
      finish(await replay(host, output, ids, command.optsWithGlobals<CommonOptions>()));
    });
  examples(replay, [
    ["sensorlog-agent dead replay cloud", "all of an output"],
    ["sensorlog-agent dead replay cloud 00a1b2c3d4e5f607-42", "one"],
  ]);
  const drop = dead.command("drop").argument("<output>").argument("[ids...]", "which ones")
    .description("Gives dead letters up for good; they count as dropped.")
    .option("--all", "all of this output")
    .option("--json", "the result as JSON")
    .action(async (output: string, ids: string[], _options, command: Command) => {
      const { drop } = await import("./dead.ts");
      finish(await drop(host, output, ids, command.optsWithGlobals<CommonOptions & { all?: boolean }>()));
    });
  examples(drop, [
    ["sensorlog-agent dead drop cloud 00a1b2c3d4e5f607-42", "one"],
    ["sensorlog-agent dead drop cloud --all", "all of an output"],
  ]);
}

function addVersion(program: Command, host: Host, finish: Finish): void {
  const command = program.command("version")
    .summary("version, commit and architecture")
    .description("Shows version, commit and architecture.")
    .option("--json", "as a JSON object")
    .action(async (_options, command: Command) => {
      const { version } = await import("./version.ts");
      finish(await version(host, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sensorlog-agent version", "for people"],
    ["sensorlog-agent version --json", "for a script"],
  ]);
}
