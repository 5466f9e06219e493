/** Help and options of `dead`. */
import type { Command } from "commander";
import { type CommonOptions, examples, type Finish, type Host } from "./describe.ts";

export function addDead(program: Command, host: Host, finish: Finish): void {
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
