/** The sensors with their latest values, and, where there is room, the last readings on their way. */
import { durationText, safeText } from "../base/display.ts";
import type { NumberLine, Passing, TopicView } from "./board.ts";
import { columnsOf, padEnd, padStart } from "./columns.ts";
import type { Line } from "./lines.ts";
import type { Model } from "./model.ts";
import type { Paper } from "./screen.ts";

const valueColumns = 8;
const unitColumns = 5;
const ageColumns = 6;
const stateColumns = 6;
const labelMost = 34;
/** A narrower line of bars says nothing. */
const barsLeast = 6;
const barsMost = 120;
const gap = 2;
const timeColumns = "12:34:56.789".length;
const wayColumns = "disk ▶ acknowledged ▶ stored".length;

/** Widths that the window leaves. */
interface Widths {
  label: number;
  bars: number;
}

function widthsFor(model: Model, { columns }: Paper): Widths {
  const labels = model.board.topics.flatMap((view) =>
    view.numbers.map((one, at) => labelOf(view, one, at)).concat(safeText(view.topic))
  );
  const wanted = Math.min(labelMost, Math.max(14, ...labels.map(columnsOf)));
  const rest = columns - 1 - (valueColumns + 1 + unitColumns) - (ageColumns + gap + stateColumns) - 3 * gap;
  const label = Math.max(12, Math.min(wanted, rest - barsLeast));
  const bars = Math.min(barsMost, rest - label);
  return { label, bars: bars < barsLeast ? 0 : bars };
}

/** A line for each topic, or for each number of a JSON payload; a heading above when `heads`. */
export function topicLines(model: Model, paper: Paper, heads: boolean): Line[] {
  const widths = widthsFor(model, paper);
  const head = paper.line().add(padEnd("sensor", widths.label + gap), "faint").add(
    padStart("latest", valueColumns),
    "faint",
  )
    .to(1 + widths.label + gap + valueColumns + 1 + unitColumns + gap)
    .add(widths.bars === 0 ? "" : padEnd(`last ${widths.bars} s`, widths.bars + gap), "faint")
    .add(padStart("age", ageColumns), "faint").add("  state", "faint");
  const lines = model.board.topics.flatMap((view) => viewLines(view, model, paper, widths));
  return heads ? [head, ...lines] : lines;
}

function viewLines(view: TopicView, model: Model, paper: Paper, widths: Widths): Line[] {
  if (view.count === 0) {
    return [paper.line().add(padEnd(view.topic, widths.label + gap)).add("no reading yet", "faint")];
  }
  if (view.numbers.length === 0) return [textLine(view, model, paper, widths)];
  return view.numbers.map((one, at) => {
    const line = paper.line().add(padEnd(labelOf(view, one, at), widths.label + gap));
    const silent = view.isSilent(paper.nowMs);
    line.add(padStart(one.shown, valueColumns), silent ? "faint" : "bold").add(
      ` ${padEnd(one.unit, unitColumns)}`,
    ).add("  ");
    if (widths.bars > 0) {
      const bridgedMs = view.patienceMs ?? 1_000;
      line.add(one.line.text(widths.bars, paper.nowMs, bridgedMs), silent ? "faint" : "accent").add("  ");
    }
    return at === 0 ? endOf(line, view, model, paper) : line;
  });
}

function textLine(view: TopicView, model: Model, paper: Paper, widths: Widths): Line {
  const columns = valueColumns + 1 + unitColumns + (widths.bars > 0 ? gap + widths.bars : 0);
  const line = paper.line().add(padEnd(safeText(view.topic), widths.label + gap));
  return endOf(line.add(padEnd(safeText(view.text), columns), "bold").add("  "), view, model, paper);
}

/** How old the reading is, and how far it has come. */
function endOf(line: Line, view: TopicView, model: Model, { nowMs }: Paper): Line {
  line.add(padStart(ageText(nowMs - view.lastMs), ageColumns)).add("  ");
  if (view.isSilent(nowMs)) return line.add("silent", "warn");
  return view.sequence < model.settledBelow ? line.add("stored", "good") : line.add("disk", "accent");
}

function labelOf({ topic, numbers }: TopicView, { name }: NumberLine, at: number): string {
  if (name === "") return safeText(topic);
  if (at === 0) return `${safeText(topic)} ${safeText(name)}`;
  const before = numbers[0]!.name === name ? 0 : columnsOf(safeText(topic)) + 1;
  return `${" ".repeat(before)}${safeText(name)}`;
}

function ageText(ageMs: number): string {
  return ageMs < 9_950 ? `${(Math.max(0, ageMs) / 1_000).toFixed(1)} s` : durationText(ageMs);
}

/** The newest readings below each other, each with the way it has come; at most `rows` lines. */
export function recentLines(model: Model, paper: Paper, rows: number): Line[] {
  const shown = model.board.recent.slice(-(rows - 1));
  if (shown.length === 0) return [];
  const topics = Math.min(labelMost, Math.max(...shown.map(({ topic }) => columnsOf(safeText(topic)))));
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
  const columns = paper.columns - 1 - timeColumns - gap - topics - gap - gap - wayColumns;
  const time = new Date(arrivedMs);
  const line = paper.line().add(
    `${time.toTimeString().slice(0, 8)}.${time.toISOString().slice(20, 23)}`,
    "faint",
  )
    .add("  ").add(padEnd(safeText(topic), topics)).add("  ");
  if (columns >= 8) line.add(padEnd(safeText(text), columns)).add("  ");
  return line.add(way, stored ? "good" : "accent");
}
