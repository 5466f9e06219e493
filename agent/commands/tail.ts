/** `tail`: readings as they are stored, live. */
import { countText, safeJson, safeText, sizeText } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { socketOf } from "../config.ts";
import type { ReadingJson } from "../status/reading_json.ts";
import { SocketClient } from "../status/socket_client.ts";
import { topicFilterFault } from "../subscriber/topic_filter.ts";
import type { CommonOptions, Host } from "./program.ts";
import { outLines } from "./terminal.ts";

/** Of a payload this many characters are shown; `--json` shows all. */
const payloadCharsMax = 400;

/** Ends with 0 on Ctrl-C, with 1 when the agent ends. */
export async function tail({ terminal }: Host, filter: string, options: CommonOptions): Promise<number> {
  const fault = topicFilterFault(filter);
  if (fault !== undefined) {
    throw new ConfigError({
      operation: "tail",
      place: JSON.stringify(filter),
      cause: `the topic filter ${fault}`,
      remedy: "+ stands for one level and # for all that follow: 'hall1/+/temperature', 'hall1/#'",
    });
  }
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
    const address = `/tail?filter=${encodeURIComponent(filter)}`;
    for await (const lines of client.lines<ReadingJson | { skipped: number }>(address, terminal.stop)) {
      const shown: string[] = [];
      for (const line of lines) {
        if ("skipped" in line) {
          await terminal.err(`… ${countText(line.skipped)} readings passed by: too slow to show them all\n`);
        } else shown.push(options.json ? safeJson(line) : readingLine(line, terminal.interactive));
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

/** Time, topic and payload on one line, harmless for a terminal. A terminal gets the local time of day. */
export function readingLine(line: ReadingJson, interactive: boolean): string {
  const time = interactive ? new Date(line.arrived).toTimeString().slice(0, 8) : line.arrived;
  const marks = [
    line.retain ? "retained" : "",
    line.queued ? "queued" : "",
    line.truncated ? "truncated" : "",
  ];
  const mark = marks.filter((one) => one !== "").map((one) => ` [${one}]`).join("");
  return `${time} ${safeText(line.topic)}${mark} ${payloadText(line)}`;
}

function payloadText({ payload, payload_base64: base64 }: ReadingJson): string {
  return payload === undefined ? `base64:${cut(base64 ?? "")}` : cut(payload);
}

function cut(text: string): string {
  if (text.length <= payloadCharsMax) return safeText(text);
  return `${safeText(text.slice(0, payloadCharsMax))}… (${sizeText(text.length)})`;
}
