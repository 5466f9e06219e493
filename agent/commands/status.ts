/** `status`: what the running agent says of itself, once or again and again. */
import { safeJson } from "../base/display.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { renderStatus, sumHolds, wantsAttention } from "../status/render_status.ts";
import { SocketClient } from "../status/socket_client.ts";
import { socketOf } from "../config.ts";
import { pause } from "./pause.ts";
import type { CommonOptions, Host } from "./program.ts";
import { outLines, type Terminal } from "./terminal.ts";

const noAnswerCode = 3;
const watchIntervalMs = 1_000;

/** What was learned: a snapshot, or why there is none. */
type Answer = { snapshot: Snapshot } | { nobody: string };

/** 0: all is well; 1: something wants attention; 3: no agent answers. With `--watch` 0 when it is ended. */
export async function status(
  { terminal }: Host,
  options: CommonOptions & { watch?: boolean },
): Promise<number> {
  const path = socketOf(options.config);
  if (options.watch) return await watch(terminal, path, options.json ?? false);
  const answer = await ask(path);
  if ("nobody" in answer) {
    if (options.json) await terminal.out(safeJson({ error: answer.nobody }) + "\n");
    await terminal.err(`sensorlog-agent: ${answer.nobody}\n`);
    return noAnswerCode;
  }
  const { snapshot } = answer;
  if (options.json) await terminal.out(safeJson(withVerdict(snapshot), 2) + "\n");
  else await outLines(terminal, renderStatus(snapshot, look(terminal)));
  return wantsAttention(snapshot) ? 1 : 0;
}

async function ask(path: string): Promise<Answer> {
  let client: SocketClient | undefined;
  try {
    client = await SocketClient.connect(path);
    if (client !== undefined) return { snapshot: await client.get<Snapshot>("/status") };
    return { nobody: `no agent answers at ${path}; is it running? (systemctl status sensorlog-agent)` };
  } catch (error) {
    const remedy = error instanceof OperationError && error.remedy !== undefined ? `; ${error.remedy}` : "";
    return { nobody: `no agent answers at ${path}: ${reasonOf(error)}${remedy}` };
  } finally {
    client?.close();
  }
}

/** The snapshot with what a script would have to work out: whether it wants attention, whether the sums hold. */
function withVerdict(snapshot: Snapshot): unknown {
  const outputs = snapshot.outputs.map((output) => ({ ...output, sumHolds: sumHolds(output) }));
  return { attention: wantsAttention(snapshot), ...snapshot, outputs };
}

function look(terminal: Terminal): { columns: number; colour: boolean } {
  return { columns: terminal.size().columns, colour: terminal.colour };
}

/** Shows the status again every second; on a terminal in place, on a screen of its own that goes when it ends. */
async function watch(terminal: Terminal, path: string, json: boolean): Promise<number> {
  const inPlace = terminal.interactive && !json;
  if (inPlace) await terminal.out("\x1b[?1049h\x1b[?25l");
  try {
    while (!terminal.stop.aborted) {
      const answer = await ask(path);
      if (json) {
        const line = "nobody" in answer ? { error: answer.nobody } : withVerdict(answer.snapshot);
        await terminal.out(safeJson(line) + "\n");
      } else {
        const lines = "nobody" in answer ? [answer.nobody] : renderStatus(answer.snapshot, look(terminal));
        await (inPlace
          ? terminal.out(frame(lines, terminal.size().rows))
          : outLines(terminal, [...lines, ""]));
      }
      await pause(watchIntervalMs, terminal.stop);
    }
    return 0;
  } finally {
    if (inPlace) await terminal.out("\x1b[?25h\x1b[?1049l");
  }
}

/** Draws over what is there, line by line, in one write: nothing is cleared first, so nothing flickers. */
function frame(lines: string[], rows: number): string {
  const shown = lines.length > rows ? [...lines.slice(0, rows - 1), "…"] : lines;
  return `\x1b[?2026h\x1b[H${shown.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J\x1b[?2026l`;
}
