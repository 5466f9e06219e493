/** The sensors with their latest values, and, where there is room, the last readings on their way. */
import { durationText, safeText } from "../base/display.ts";
import type { NumberLine, Passing, TopicView } from "./board.ts";
import { columnsOf, fit, padEnd, padStart } from "./columns.ts";
import type { Line } from "./lines.ts";
import type { Model } from "./model.ts";
import type { Paper } from "./screen.ts";

const valueColumns = 8;
const unitColumns = 5;
const ageColumns = 6;
const stateColumns = 6;
const labelMost = 34;
const labelLeast = 14;
const nameCharsMost = 80;
/** A narrower line of bars says nothing. */
const barsLeast = 6;
const barsMost = 120;
/** In a narrower window gaps are of one column. */
const roomyColumns = 70;
/** Of a payload in the list of readings so much is shown. */
const payloadMost = 60;
const timeColumns = "12:34:56.789".length;
const wayColumns = "disk ▶ acknowledged ▶ stored".length;

/** Widths that the window leaves. */
interface Widths {
  label: number;
  bars: number;
  gap: string;
}

function widthsFor(model: Model, { columns }: Paper): Widths {
  const labels = model.board.topics.flatMap((view) =>
    view.numbers.map((one, at) => labelOf(view, one, at)).concat(shortName(view.topic))
  );
  const wanted = Math.min(labelMost, Math.max(labelLeast, ...labels.map(columnsOf)));
  const gap = columns < roomyColumns ? " " : "  ";
  const fixed = valueColumns + 1 + unitColumns + ageColumns + stateColumns;
  const rest = columns - 1 - fixed - 4 * gap.length;
  const label = Math.max(labelLeast, Math.min(wanted, rest - barsLeast));
  const bars = Math.min(barsMost, rest - label);
  return { label, bars: bars < barsLeast ? 0 : bars, gap };
}

/** A line for each topic, or for each number of a JSON payload; a heading above when `heads`. */
export function topicLines(model: Model, paper: Paper, heads: boolean): Line[] {
  const widths = widthsFor(model, paper);
  const lines = model.board.topics.flatMap((view) => viewLines(view, model, paper, widths));
  return heads ? [headLine(paper, widths), ...lines] : lines;
}

function headLine(paper: Paper, { label, bars, gap }: Widths): Line {
  const cells = [
    padEnd("sensor", label),
    `${padStart("latest", valueColumns)} ${" ".repeat(unitColumns)}`,
    ...(bars === 0 ? [] : [padEnd(`last ${bars} s`, bars)]),
    padStart("age", ageColumns),
    "state",
  ];
  return paper.line().add(cells.join(gap), "faint");
}

function viewLines(view: TopicView, model: Model, paper: Paper, widths: Widths): Line[] {
  const { label, bars, gap } = widths;
  const start = (text: string) => paper.line().add(`${padEnd(text, label)}${gap}`);
  const topic = shortName(view.topic);
  if (view.count === 0) return [start(topic).add("no reading yet", "faint")];
  const silent = view.isSilent(paper.nowMs);
  if (view.numbers.length === 0) {
    const columns = valueColumns + 1 + unitColumns + (bars > 0 ? gap.length + bars : 0);
    const line = start(topic).add(padEnd(safeText(view.text), columns), silent ? "faint" : "bold").add(gap);
    return [endOf(line, view, model, paper, gap)];
  }
  return view.numbers.map((one, at) => {
    const line = start(labelOf(view, one, at)).add(
      padStart(one.shown, valueColumns),
      silent ? "faint" : "bold",
    )
      .add(` ${padEnd(one.unit, unitColumns)}${gap}`);
    if (bars > 0) {
      const shape = one.line.text(bars, paper.nowMs, view.patienceMs ?? 1_000);
      line.add(shape, silent ? "faint" : "accent").add(gap);
    }
    return at === 0 ? endOf(line, view, model, paper, gap) : line;
  });
}

/** How old the reading is, and how far it has come. */
function endOf(line: Line, view: TopicView, model: Model, { nowMs }: Paper, gap: string): Line {
  line.add(`${padStart(ageText(nowMs - view.lastMs), ageColumns)}${gap}`);
  if (view.isSilent(nowMs)) return line.add("silent", "warn");
  return view.sequence < model.settledBelow ? line.add("stored", "good") : line.add("disk", "accent");
}

/** Topic and number's name; the second and later numbers stand below the first. */
function labelOf({ topic }: TopicView, { name }: NumberLine, at: number): string {
  const shown = shortName(topic);
  if (name === "") return shown;
  return `${at === 0 ? shown : " ".repeat(columnsOf(shown))} ${shortName(name)}`;
}

/** A topic has up to 65,535 bytes, of which no window shows more than a few. */
function shortName(text: string): string {
  return safeText(fit(text.slice(0, nameCharsMost), nameCharsMost));
}

function ageText(ageMs: number): string {
  return ageMs < 9_950 ? `${(Math.max(0, ageMs) / 1_000).toFixed(1)} s` : durationText(ageMs);
}

/** The newest readings below each other, each with the way it has come; at most `rows` lines. */
export function recentLines(model: Model, paper: Paper, rows: number): Line[] {
  const shown = model.board.recent.slice(-(rows - 1));
  if (shown.length === 0) return [];
  const topics = Math.min(labelMost, Math.max(...shown.map(({ topic }) => columnsOf(shortName(topic)))));
  return [
    paper.line().add("the last readings on their way", "faint"),
    ...shown.map((one) => recentLine(one, model, paper, topics)),
  ];
}

function recentLine(one: Passing, model: Model, paper: Paper, topics: number): Line {
  const { sequence, topic, text, qos, arrivedMs } = one;
  const stored = sequence < model.settledBelow;
  // who publishes at QoS 0 wants no acknowledgement
  const way = ["disk", ...(qos > 0 ? ["acknowledged"] : []), ...(stored ? ["stored"] : [])].join(" ▶ ");
  const columns = Math.min(payloadMost, paper.columns - 7 - timeColumns - topics - wayColumns);
  const time = new Date(arrivedMs);
  const line = paper.line()
    .add(`${time.toTimeString().slice(0, 8)}.${time.toISOString().slice(20, 23)}`, "faint")
    .add(`  ${padEnd(shortName(topic), topics)}  `);
  if (columns >= barsLeast) line.add(`${padEnd(safeText(text), columns)}  `);
  return line.add(way, stored ? "good" : "accent");
}
