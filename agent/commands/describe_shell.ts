/** Help and options of what is about the program itself: `version`. */
import type { Command } from "commander";
import { type CommonOptions, examples, type Finish, type Host } from "./describe.ts";

export function addVersion(program: Command, host: Host, finish: Finish): void {
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
