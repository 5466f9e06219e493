/** Help and options of `demo`. */
import type { Command } from "commander";
import { examples, type Finish, type Host } from "./describe.ts";

export function addDemo(program: Command, host: Host, finish: Finish): void {
  const command = program.command("demo")
    .summary("all inside: broker, sensors, agent and store, to look at")
    .description(
      "Runs the real pipeline between four simulated sensors and a SQLite store, in one process and a temporary " +
        "folder: nothing needs to be installed, nothing is left behind. Publish readings of your own to it, or ask it " +
        "with the other commands: it shows how. Ctrl-C ends it and sums up.",
    )
    .option("--seconds <n>", "ends by itself after so many seconds")
    .action(async (options: { seconds?: string }) => {
      const { demo } = await import("./demo.ts");
      finish(await demo(host, options));
    });
  examples(command, [
    ["sensorlog-agent demo", "on a terminal, until Ctrl-C"],
    ["sensorlog-agent demo --seconds 10 | cat", "in a script: plain lines"],
  ]);
}
