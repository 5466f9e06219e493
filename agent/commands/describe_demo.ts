/** Help and options of `demo`. */
import { type Command, InvalidArgumentError } from "commander";
import { type CommonOptions, examples, type Finish, type Host } from "./describe.ts";

const secondsMax = 7 * 86_400;

export function addDemo(program: Command, host: Host, finish: Finish): void {
  const command = program.command("demo")
    .summary("broker, sensors, agent and store in one process, to look at")
    .description(
      "Shows readings on their way through the real pipeline: a broker of its own on a free port of 127.0.0.1, four " +
        "simulated sensors as MQTT clients, the agent, and a local store, in one process and a temporary folder. " +
        "Nothing needs to be installed and no network is used; nothing is left behind. It shows what can be " +
        "tried meanwhile: publish a reading, ask status, tail and export. Ctrl-C (or q) ends it and sums up: with 0 " +
        "when every reading is accounted for. In a pipe it prints a line each second.",
    )
    .option("--seconds <n>", "ends by itself so long after it has started", secondsOf)
    .action(async (_options, command: Command) => {
      const { demo } = await import("./demo.ts");
      finish(await demo(host, command.optsWithGlobals<CommonOptions & { seconds?: number }>()));
    });
  examples(command, [
    ["sensorlog-agent demo", "until Ctrl-C"],
    ["sensorlog-agent demo --seconds 10 | cat", "in a script: plain lines, and an end"],
  ]);
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= secondsMax) return seconds;
  throw new InvalidArgumentError(`Allowed are seconds above 0, up to ${secondsMax} (a week).`);
}
