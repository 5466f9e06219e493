/** `dead ls`, `show`, `replay` and `drop`: readings that an output refused for their own fault. */
import { countText, safeJson, safeText } from "../base/display.ts";
import { ConfigError, OperationError, reasonOf } from "../base/errors.ts";
import { type DeadLetter, letterToOutgoing } from "../shipper/dead_letter.ts";
import { readingJson } from "../status/reading_json.ts";
import { type DeadAccess, openDeadAccess } from "./dead_access.ts";
import type { CommonOptions, Host } from "./program.ts";
import { table } from "./table.ts";
import { outLines } from "./terminal.ts";

/** Rows that are printed at a time. */
const listedAtATime = 500;

async function withAccess(
  { terminal, version }: Host,
  options: CommonOptions,
  use: (access: DeadAccess) => Promise<number>,
): Promise<number> {
  const access = await openDeadAccess(options.config, version, terminal.stop);
  try {
    return await use(access);
  } finally {
    await access.close();
  }
}

/** Lists the dead letters of one output, or of all. */
export function list(host: Host, output: string | undefined, options: CommonOptions): Promise<number> {
  const { terminal } = host;
  return withAccess(host, options, async (access) => {
    const names = output === undefined ? await access.outputs() : [output];
    let count = 0;
    for (const name of names) {
      let letters: DeadLetter[] = [];
      const print = async () => {
        const lines = options.json
          ? letters.map(({ record: _, ...rest }) => safeJson({ output: name, ...rest }))
          : letters.map((letter) => letterLine(name, letter));
        await outLines(terminal, lines);
        letters = [];
      };
      for await (const letter of access.letters(name)) {
        count++;
        letters.push(letter);
        if (letters.length >= listedAtATime) await print();
      }
      await print();
    }
    if (!options.json) await terminal.out(`${countText(count)} dead letters\n`);
    return 0;
  });
}

function letterLine(output: string, letter: DeadLetter): string {
  const { id, atMs, topic, reason } = letter;
  return `${output} ${id} ${isoTime(atMs)} ${safeText(topic)}: ${safeText(reason)}`;
}

/** Shows one dead letter whole. */
export function show(host: Host, output: string, id: string, options: CommonOptions): Promise<number> {
  const { terminal } = host;
  return withAccess(host, options, async (access) => {
    const letter = await find(access, output, id);
    const reading = readingOf(letter);
    const { record: _, sequence: __, topic: ___, ...facts } = letter;
    if (options.json) await terminal.out(safeJson({ output, ...facts, reading }, 2) + "\n");
    else await outLines(terminal, letterLines(output, letter, reading));
    return 0;
  });
}

async function find(access: DeadAccess, output: string, id: string): Promise<DeadLetter> {
  for await (const letter of access.letters(output)) {
    if (letter.id === id) return letter;
  }
  throw new OperationError({
    operation: "show a dead letter",
    place: `${output} ${id}`,
    cause: "there is none with this id",
    remedy: "`sensorlog-agent dead ls` shows which there are",
  });
}

/** The reading in JSON, or why it can't be read any more. */
function readingOf(letter: DeadLetter): ReturnType<typeof readingJson> | { error: string } {
  try {
    return readingJson(letterToOutgoing(letter).reading);
  } catch (error) {
    return { error: reasonOf(error) };
  }
}

function letterLines(output: string, letter: DeadLetter, reading: ReturnType<typeof readingOf>): string[] {
  const shown: [string, string][] = [
    ["id", letter.id],
    ["output", output],
    ["refused", isoTime(letter.atMs)],
    ["reason", letter.reason],
    ["topic", letter.topic],
    ["arrived", `${isoTime(letter.arrivalMs)}, ${letter.mark}`],
    ["target", letter.target],
    ...Object.entries(reading)
      .filter(([name]) => !["id", "topic", "arrived"].includes(name))
      .map(([name, value]): [string, string] => [name, String(value)]),
  ];
  return table(shown.map(([name, value]) => [name, safeText(value)]));
}

/** Sends dead letters again. 1 when some were refused again or the output could not be asked. */
export function replay(host: Host, output: string, ids: string[], options: CommonOptions): Promise<number> {
  const { terminal } = host;
  return withAccess(host, options, async (access) => {
    const result = await access.replay(output, ids.length === 0 ? undefined : ids);
    const { replayed, refused, reason } = result;
    if (options.json) await terminal.out(safeJson(result) + "\n");
    else {
      const why = reason === undefined ? "" : `: ${safeText(reason)}`;
      await terminal.out(`${countText(replayed)} sent, ${countText(refused)} refused again${why}\n`);
    }
    return refused === 0 && reason === undefined ? 0 : 1;
  });
}

/** Gives dead letters up for good. Throws ConfigError when it is not said which. */
export function drop(
  host: Host,
  output: string,
  ids: string[],
  options: CommonOptions & { all?: boolean },
): Promise<number> {
  const { terminal } = host;
  if ((options.all ?? false) === ids.length > 0) {
    throw new ConfigError({
      operation: "dead drop",
      place: output,
      cause: ids.length > 0 ? "ids and --all exclude each other" : "it is not said which ones",
      remedy: "name their ids, or write --all",
    });
  }
  return withAccess(host, options, async (access) => {
    const dropped = await access.drop(output, options.all ? undefined : ids);
    await terminal.out(options.json ? safeJson({ dropped }) + "\n" : `${countText(dropped)} dropped\n`);
    return 0;
  });
}

function isoTime(timeMs: number): string {
  const time = new Date(timeMs);
  return Number.isNaN(time.getTime()) ? String(timeMs) : time.toISOString();
}
