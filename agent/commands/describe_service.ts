/** Help and options of what keeps the agent going: `run`, `check`, `status`. */
import type { Command } from "commander";
import { type CommonOptions, defaultFile, examples, type Finish, type Host } from "./describe.ts";

export function addRun(program: Command, host: Host, finish: Finish): void {
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

export function addCheck(program: Command, host: Host, finish: Finish): void {
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

export function addStatus(program: Command, host: Host, finish: Finish): void {
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
