/**
 * The demo on a terminal, as lines: the way of the readings, the sensors, the sum of promise 4, what to try next. Pure. A
 * low window loses first what is needed least, a narrow one what is widest.
 */
import { durationText } from "../base/display.ts";
import { Line } from "./lines.ts";
import type { Model } from "./model.ts";
import { alarmLines, sumLines, troubleLine } from "./screen_sum.ts";
import { recentLines, topicLines } from "./screen_topics.ts";
import { wayLines, wayShort } from "./screen_way.ts";
import type { Step } from "./steps.ts";

export interface View {
  columns: number;
  rows: number;
  colour: boolean;
  /** Since the demo began. */
  elapsedMs: number;
  /** The clock of the model. */
  nowMs: number;
  /** The demo was told to end and does. */
  ends: boolean;
  /** Of the broker; undefined: it does not listen yet. */
  url: string | undefined;
  steps: Step[];
}

/** The part of the view that pieces of the screen are drawn by. */
export interface Paper {
  columns: number;
  nowMs: number;
  line(): Line;
}

/** What is left out, one after the other, until the rest fits. */
interface Richness {
  intro: boolean;
  heads: boolean;
  blanks: boolean;
  boxes: boolean;
  /** How many of the steps, and of the sensors' lines. */
  steps: number;
  topics: number;
}

const margin = 1;
const indent = 1;
/** Fewer readings on their way than this are not worth a heading. */
const recentLeast = 3;

export function screen(model: Model, view: View): string[] {
  const columns = view.columns - 1; // some terminals break a line that is full
  const paper: Paper = { columns, nowMs: view.nowMs, line: () => new Line(columns, view.colour).to(margin) };
  const rich: Richness = {
    intro: true,
    heads: true,
    blanks: true,
    boxes: true,
    steps: view.steps.length,
    topics: Infinity,
  };
  const poorer: Partial<Richness>[] = [
    { intro: false },
    { heads: false },
    ...view.steps.slice(2).map((_, gone) => ({ steps: view.steps.length - 1 - gone })),
    { boxes: false },
    { blanks: false },
    { steps: 1 },
    { steps: 0 },
  ];
  let lines = compose(model, view, paper, rich);
  for (const less of poorer) {
    if (lines.length <= view.rows) break;
    Object.assign(rich, less);
    lines = compose(model, view, paper, rich);
  }
  if (lines.length > view.rows) {
    const topics = topicLines(model, paper, false).length;
    rich.topics = Math.max(1, topics - (lines.length - view.rows)); // the sum stays
    lines = compose(model, view, paper, rich);
  }
  return lines.slice(0, Math.max(1, view.rows)).map(String);
}

function compose(model: Model, view: View, paper: Paper, rich: Richness): Line[] {
  const blank = rich.blanks ? [new Line(0, false)] : [];
  const steps = stepLines(view, paper, rich.steps);
  const upper = [
    titleLine(view, paper),
    ...(rich.intro ? introLines(view, paper) : []),
    ...blank,
    ...(rich.boxes ? wayLines(model, paper) : wayShort(model, paper)),
    ...blank,
    ...topicLines(model, paper, rich.heads).slice(0, rich.topics),
  ];
  const lower = [
    ...blank,
    ...sumLines(model, paper),
    ...alarmLines(model, paper),
    ...troubleLine(model, paper),
    ...(steps.length > 0 ? blank : []),
    ...steps,
  ];
  const room = view.rows - upper.length - lower.length - 2;
  const recent = rich.intro && room >= recentLeast ? recentLines(model, paper, room) : [];
  return [...upper, ...(recent.length > 0 ? blank : []), ...recent, ...lower];
}

function titleLine({ elapsedMs, ends }: View, paper: Paper): Line {
  const right = ends
    ? "ending: what is on its way still arrives"
    : `${elapsedMs < 1_000 ? "0 s" : durationText(elapsedMs)} · q or Ctrl-C ends it`;
  const line = paper.line().add("sensorlog-agent demo", "bold");
  return line.to(Math.max(line.width + 2, paper.columns - right.length)).add(right, ends ? "warn" : "faint");
}

function introLines({ url }: View, paper: Paper): Line[] {
  const text = url === undefined
    ? "A whole plant in one process starts …"
    : `A whole plant in one process: four sensors, a broker at ${
      url.replace(/^mqtt:\/\//, "")
    }, agent and store.`;
  return [paper.line().add(text, "faint")];
}

function stepLines({ steps, url }: View, paper: Paper, count: number): Line[] {
  if (count === 0 || url === undefined) return [];
  const commands = steps.slice(0, count).flatMap(({ command, what }) => {
    const folded = fold(command, paper.columns - margin - indent);
    return folded.map((part, at) => {
      const line = paper.line().add(" ".repeat(indent)).add(part, "accent");
      const remark = `  # ${what}`;
      return at === folded.length - 1 && line.left >= remark.length ? line.add(remark, "faint") : line;
    });
  });
  const all = steps.slice(0, count).every(({ command }) => command.length <= paper.columns - margin - indent);
  const where = all
    ? "in a second terminal, in this folder:"
    : "in a second terminal, in this folder (with the \\):";
  return [paper.line().add("Try it ", "bold").add(where), ...commands];
}

/** A command that is too long for the window on several lines, which a shell takes as one. */
export function fold(command: string, columns: number): string[] {
  if (command.length <= columns) return [command];
  const parts: string[] = [];
  let line = "";
  for (const word of command.split(" ")) {
    const joined = line === "" ? word : `${line} ${word}`;
    if (line !== "" && joined.length > columns - 2) {
      parts.push(`${line} \\`);
      line = `  ${word}`;
    } else line = joined;
  }
  return [...parts, line];
}
