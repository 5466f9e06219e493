/** Help and options of what shows readings: `tail`, `spool`. */
import type { Command } from "commander";
import { type CommonOptions, examples, type Finish, type Host } from "./describe.ts";

export function addTail(program: Command, host: Host, finish: Finish): void {
  const command = program.command("tail")
    .summary("readings as they are stored, live")
    .description(
      "Shows readings as they are stored, live, until Ctrl-C. They are on disk by then, and perhaps not shipped " +
        "yet. On a terminal a line says in brackets what is special: retained or queued in the broker, truncated, " +
        "and how old a reading is that is not of just now. In a pipe it has the time of arrival in UTC.",
    )
    .argument("[topics...]", "MQTT topic filters, with + and # (default: all topics)")
    .option("--json", "one JSON object per reading and line")
    .action(async (topics: string[], _options, command: Command) => {
      const { tail } = await import("./tail.ts");
      const filters = topics.length === 0 ? ["#"] : topics;
      finish(await tail(host, filters, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sensorlog-agent tail 'hall1/+/temperature'", "one kind of sensor (quotes keep the shell away)"],
    ["sensorlog-agent tail 'hall1/#' 'hall2/#'", "two halls"],
    ["sensorlog-agent tail --json | jq -r .payload", "payloads only"],
  ]);
}

export function addSpool(program: Command, host: Host, finish: Finish): void {
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
