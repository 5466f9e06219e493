/** The way of the readings, place by place: how many have come to each, and how fast. */
import { countText } from "../base/display.ts";
import { padEnd, padStart } from "./columns.ts";
import type { Line } from "./lines.ts";
import type { Model, PlaceName, Stage } from "./model.ts";
import type { Paper } from "./screen.ts";

interface Station {
  place: PlaceName;
  name: string;
  remark: string;
}

const arrow = "─▶";
/** Narrower boxes are a list. */
const boxLeast = 17;
const boxMost = 34;
const nameColumns = 14;

function stations({ snapshot, acknowledgedAfterMs, output, board }: Model): Station[] {
  const clients = snapshot?.subscriber.clients ?? 0;
  const waiting = output?.waiting ?? 0;
  const { unacknowledged } = board;
  const after = acknowledgedAfterMs === undefined ? "PUBACK" : `after ${timeText(acknowledgedAfterMs)}`;
  return [
    { place: "received", name: "received", remark: `${clients} ${clients === 1 ? "client" : "clients"}` },
    { place: "onDisk", name: "on disk", remark: "fdatasync" },
    {
      place: "acknowledged",
      name: "acknowledged",
      remark: unacknowledged === 0 ? after : `${countText(unacknowledged)} at QoS 0`,
    },
    {
      place: "inStore",
      name: "in the store",
      remark: waiting === 0 ? "SQLite" : `${countText(waiting)} to come`,
    },
  ];
}

/** A box for each place, or, when the window is narrow, a line. */
export function wayLines(model: Model, paper: Paper): Line[] {
  const all = stations(model);
  const columns = Math.floor((paper.columns - 1 - arrow.length * (all.length - 1)) / all.length);
  if (columns < boxLeast) return all.map((station) => listLine(station, model.stages[station.place], paper));
  const width = Math.min(columns, boxMost);
  const [top, counts, remarks, bottom] = [paper.line(), paper.line(), paper.line(), paper.line()];
  for (const [at, { place, name, remark }] of all.entries()) {
    const { count, perS, moves } = model.stages[place];
    const before = at === 0 ? "" : arrow;
    const inner = width - 4;
    const rate = rateText(perS);
    top.to(1 + at * (width + arrow.length)).add("╭─ ", "faint").add(name, "bold")
      .add(` ${"─".repeat(Math.max(0, width - name.length - 5))}╮`, "faint");
    counts.add(before, moves ? "good" : "faint").add("│ ", "faint")
      .add(padEnd(countText(count), inner - rate.length), "goodBold").add(rate).add(" │", "faint");
    remarks.to(1 + at * (width + arrow.length)).add("│ ", "faint").add(padEnd(remark, inner), "faint").add(
      " │",
      "faint",
    );
    bottom.to(1 + at * (width + arrow.length)).add(`╰${"─".repeat(width - 2)}╯`, "faint");
  }
  return [top, counts, remarks, bottom];
}

function listLine({ name, remark }: Station, { count, perS }: Stage, paper: Paper): Line {
  return paper.line().add(padEnd(name, nameColumns), "bold").add(padStart(countText(count), 10), "goodBold")
    .add(padStart(rateText(perS), 11)).add(`   ${remark}`, "faint");
}

/** Without boxes, in as few lines as the window is wide. */
export function wayShort(model: Model, paper: Paper): Line[] {
  const lines = [paper.line()];
  for (const [at, { place, name }] of stations(model).entries()) {
    const { count, moves } = model.stages[place];
    const before = at === 0 ? "" : " ▶ ";
    const after = `${name} ${countText(count)}`;
    if (lines.at(-1)!.left < before.length + after.length) lines.push(paper.line());
    const tone = moves ? "good" : "faint";
    lines.at(-1)!.add(before, tone).add(`${name} `).add(countText(count), "goodBold");
  }
  return lines;
}

function rateText(perS: number): string {
  return perS < 1_000 ? `${perS.toFixed(1)}/s` : `${countText(perS)}/s`;
}

function timeText(timeMs: number): string {
  return timeMs < 1_000 ? `${Math.max(1, Math.round(timeMs))} ms` : `${(timeMs / 1_000).toFixed(1)} s`;
}
