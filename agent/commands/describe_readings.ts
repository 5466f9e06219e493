/** Help and options of what shows readings: `tail`, `export`, `spool`. */
import { type Command, Option } from "commander";
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

/** What the command line says to `export`, beside `--config`. */
export interface ExportOptions extends CommonOptions {
  topic?: string;
  from?: string;
  to?: string;
  format?: "csv" | "ndjson";
  separator?: string;
  timeZone: string;
  spreadsheet?: boolean;
  output?: string;
}

export function addExport(program: Command, host: Host, finish: Finish): void {
  const command = program.command("export")
    .summary("readings of the local store as CSV or NDJSON")
    .description(
      "Writes readings of the local store (an output of type local), oldest first, to FILE or to standard output, " +
        "while the agent runs or not. FILE is there whole or not at all; until then it is FILE.part.\n\n" +
        'Everything is exact by default. In CSV (RFC 4180) an absent field is empty, an empty text is "", and ' +
        "numbers have a point; a payload that a spreadsheet would take for a formula stands there as it came: use " +
        "--spreadsheet for a file that is to be opened in one. On a terminal control characters are shown as \\x1b." +
        "\n\n" +
        "Names are those of the documents in Elasticsearch, in CSV as columns: @timestamp, topic, then what the " +
        "payload is (value: number, text, payload: JSON, payload_base64), event.clock, event.created (arrival), " +
        "event.start, event.id, mqtt.qos, mqtt.retain, mqtt.truncated, mqtt.properties (JSON).\n\n" +
        "Times behind --from and --to are an age (24h, 7d; units s, m, h, d, w), a date, a time with its offset " +
        "(2026-03-29T12:00:00+02:00, or Z for UTC) or now. Dates, and times without offset, are of --time-zone.",
    )
    .argument("[file]", "file to write; - or nothing: standard output")
    .option("--topic <filter>", "only topics that match this MQTT filter, with + and #")
    .option("--from <time>", "from this time on")
    .option("--to <time>", "up to this time, which is not included")
    .addOption(
      new Option(
        "--format <format>",
        "csv, or one JSON object per line (default: by FILE's ending, else csv)",
      )
        .choices(["csv", "ndjson"]),
    )
    .option("--separator <character>", "between the fields of CSV, or the word tab (default: comma)")
    .option("--time-zone <name>", "IANA time zone in which times are written, with their offset", "UTC")
    .option("--spreadsheet", "CSV with a byte order mark, and a ' before text that looks like a formula")
    .option("--output <name>", "local output to take it from, when there are several")
    .action(async (file: string | undefined, _options, command: Command) => {
      const { exportReadings } = await import("./export.ts");
      finish(await exportReadings(host, file, command.optsWithGlobals<ExportOptions>()));
    });
  examples(command, [
    ["sensorlog-agent export --from 24h day.csv", "the last day"],
    ["sensorlog-agent export --topic 'hall1/#' --format ndjson | jq .value", "one hall, for a script"],
    [
      "sensorlog-agent export --from 2026-03-01 --to 2026-04-01 --time-zone Europe/Madrid march.csv",
      "a month of Madrid",
    ],
    [
      "sensorlog-agent export --separator ';' --spreadsheet all.csv",
      "everything, to be opened in a spreadsheet",
    ],
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
