/** The demo as lines of text: for a terminal of any size, and for a pipe. Pure. */
import { countText, durationText, safeText } from "../base/display.ts";
import type { Counts, Model, Row } from "./model.ts";

export interface View {
  columns: number;
  rows: number;
  colour: boolean;
  /** Since the demo began. */
  elapsedMs: number;
  nowMs: number;
  url: string;
  /** What can be typed in another terminal: command and what it does. */
  nextSteps: [string, string][];
}

const bars = [..."▁▂▃▄▅▆▇█"];
const [dim, bold, green, yellow, cyan, red] = ["2", "1", "32", "33", "36", "31"];
const valueColumns = 30;

/** Numbers as bars, the last `columns` of them, from their least to their greatest. */
export function sparkline(values: number[], columns: number): string {
  const shown = values.slice(-columns);
  const [least, greatest] = [Math.min(...shown), Math.max(...shown)];
  const range = greatest - least;
  return shown.map((value) => {
    const share = range === 0 ? 0.4 : (value - least) / range;
    return bars[Math.min(bars.length - 1, Math.floor(share * bars.length))]!;
  }).join("").padStart(columns);
}

/** A line, put together from pieces with and without colour, that is never wider than the window. */
class Line {
  #text = "";
  #width = 0;

  constructor(private readonly columns: number, private readonly colour: boolean) {}

  add(text: string, escape?: string): this {
    const left = this.columns - this.#width;
    const shown = [...text].slice(0, Math.max(0, left)).join("");
    this.#width += [...shown].length;
    this.#text += this.colour && escape !== undefined && shown !== ""
      ? `\x1b[${escape}m${shown}\x1b[0m`
      : shown;
    return this;
  }

  /** Goes on at a column from the left. */
  to(column: number): this {
    return this.add(" ".repeat(Math.max(1, column - this.#width)));
  }

  toString(): string {
    return this.#text;
  }
}

/** The whole screen. What is least needed goes first when the window is low. */
export function screen(model: Model, view: View): string[] {
  const line = () => new Line(view.columns - 1, view.colour);
  const head = line().add(" sensorlog-agent", bold).add(" demo");
  const time = `${durationText(view.elapsedMs)}, Ctrl-C ends it`;
  head.to(Math.max(view.columns - 2 - time.length, 24)).add(time, dim);
  const alarms = model.alarms.slice(0, 2).map((text) => line().add(` ! ${safeText(text)}`, yellow));
  const steps = [
    line().add(" In another terminal:", bold),
    ...view.nextSteps.flatMap(([command, what]) => [
      line().add(`   # ${what}`, dim),
      ...folded(command, view.columns - 5).map((part) => line().add(`   ${part}`, cyan)),
    ]),
  ];
  const top = [
    head,
    line(),
    ...way(model.counts, view.url, line),
    line(),
    ...model.rows.map((row) => sensorLine(row, view, line())),
    line(),
    sumLine(model.counts, line()),
    ...alarms,
  ];
  const room = view.rows - top.length - 1;
  const shown = room >= steps.length ? [...top, line(), ...steps] : top.slice(0, Math.max(1, view.rows));
  return shown.map(String);
}

/** A command that is too long for the window on two lines, which a shell takes as one. */
function folded(command: string, columns: number): string[] {
  const at = command.indexOf(" --config");
  return command.length <= columns || at < 0
    ? [command]
    : [`${command.slice(0, at)} \\`, `  ${command.slice(at + 1)}`];
}

/** The way of a message, and how many have come to each place. */
function way(counts: Counts, url: string, line: () => Line): Line[] {
  const places: [string, string][] = [
    ["sensors", `${counts.ratePerS.toFixed(1)}/s`],
    ["broker", countText(counts.acknowledged)],
    ["spool", countText(counts.onDisk)],
    ["store", countText(counts.stored)],
  ];
  const notes = ["publish", "acknowledged", "on disk", "in SQLite"];
  const width = 18;
  const names = line();
  const numbers = line();
  const words = line();
  for (const [at, [name, number]] of places.entries()) {
    const column = 1 + at * width;
    names.to(column).add(name, bold);
    if (at < places.length - 1) names.add(` ${"─".repeat(width - name.length - 4)}▶`, dim);
    numbers.to(column).add(number, green);
    words.to(column).add(notes[at]!, dim);
  }
  return [names, numbers, words, line().add(` ${url}`, dim)];
}

function sensorLine(row: Row, view: View, line: Line): Line {
  const { columns, nowMs } = view;
  const topicColumns = Math.min(26, Math.max(12, columns - valueColumns - 20));
  const bars = Math.min(40, columns - topicColumns - valueColumns - 4);
  const topic = safeText(row.topic);
  line.add(
    ` ${topic.length > topicColumns ? `${topic.slice(0, topicColumns - 1)}…` : topic.padEnd(topicColumns)} `,
  );
  if (bars >= 8) line.add(sparkline(row.values, bars), cyan).add(" ");
  if (row.lastMs === undefined || row.last === undefined) {
    return line.add("waiting for its first reading", dim);
  }
  const ageMs = nowMs - row.lastMs;
  if (ageMs > row.patienceMs) return line.add(`silent for ${durationText(ageMs)}`, yellow);
  return line.add(shortValue(row), bold);
}

/** A number with its unit; of anything else the beginning. */
function shortValue({ last, unit, values }: Row): string {
  const text = safeText(last!.replace(/\s+/g, " "));
  if (unit === "" || !text.startsWith("{")) return unit === "" ? text : `${text} ${unit}`;
  return `${values.at(-1) ?? "?"} ${unit}  ${text}`;
}

function sumLine({ onDisk, stored, waiting, dead, dropped, damaged, sumHolds }: Counts, line: Line): Line {
  const text =
    ` ${countText(onDisk)} on disk = ${countText(stored)} stored + ${waiting} waiting + ${dead} dead + ` +
    `${dropped} dropped + ${damaged} damaged `;
  return line.add(text).add(sumHolds ? "✓" : "✗ the sum does not hold", sumHolds ? green : red);
}

/** One line for a pipe: what has happened so far, and the last values. */
export function plainLine(model: Model, elapsedMs: number): string {
  const { acknowledged, onDisk, stored, waiting, sumHolds } = model.counts;
  const values = model.rows.filter((row) => row.last !== undefined).map((row) =>
    `${safeText(row.topic)}=${safeText(row.last!)}`
  );
  return `${
    Math.round(elapsedMs / 1_000)
  } s: ${acknowledged} acknowledged, ${onDisk} on disk, ${stored} stored, ` +
    `${waiting} waiting${sumHolds ? "" : ", THE SUM DOES NOT HOLD"}; ${values.join(" ")}`;
}
