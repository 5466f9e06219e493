/** `tail`: readings as they are stored, live. */
import { countText, safeJson } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { socketOf } from "../config.ts";
import type { ReadingJson } from "../status/reading_json.ts";
import { SocketClient } from "../status/socket_client.ts";
import { topicFilterFault } from "../base/topic_filter.ts";
import type { CommonOptions, Host } from "./describe.ts";
import { plainLine, TerminalLines } from "./reading_line.ts";
import { outLines, type Terminal } from "./terminal.ts";

type Line = ReadingJson | { skipped: number };

/** Ends with 0 on Ctrl-C, with 1 when the agent ends. */
export async function tail({ terminal }: Host, filters: string[], options: CommonOptions): Promise<number> {
  for (const filter of filters) assertFilter("tail", filter);
  const path = socketOf(options.config);
  const client = await SocketClient.connect(path);
  if (client === undefined) {
    throw new OperationError({
      operation: "tail",
      place: path,
      cause: "no agent answers",
      remedy: "start it first: systemctl start sensorlog-agent",
    });
  }
  try {
    const query = filters.map((filter) => `filter=${encodeURIComponent(filter)}`).join("&");
    const show = options.json ? safeJson : shownBy(terminal);
    for await (const lines of client.lines<Line>(`/tail?${query}`, terminal.stop)) {
      const shown: string[] = [];
      for (const line of lines) {
        if ("skipped" in line) {
          await terminal.err(`… ${countText(line.skipped)} readings passed by: too slow to show them all\n`);
        } else shown.push(show(line));
      }
      await outLines(terminal, shown);
    }
  } finally {
    client.close();
  }
  if (terminal.stop.aborted) return 0;
  await terminal.err("sensorlog-agent: the agent has ended\n");
  return 1;
}

/** How a reading is shown to people. */
function shownBy(terminal: Terminal): (line: ReadingJson) => string {
  if (!terminal.interactive) return plainLine;
  const lines = new TerminalLines(terminal.colour);
  return (line) => lines.line(line, terminal.size().columns, Date.now());
}

/** Throws a ConfigError when `filter` is no MQTT topic filter. */
export function assertFilter(operation: string, filter: string): void {
  const fault = topicFilterFault(filter);
  if (fault === undefined) return;
  throw new ConfigError({
    operation,
    place: JSON.stringify(filter),
    cause: `the topic filter ${fault}`,
    remedy: "+ stands for one level and # for all that follow: 'hall1/+/temperature', 'hall1/#'",
  });
}
