/** The table that people read and the JSON that programs read; both show what was seen, nothing else. */
import type { Figure, Measured, Scenario, Side } from "./scenario.ts";
import { ratios, type Reached, reached, type Spread, spread } from "./statistics.ts";

/** One round of a scenario. */
export interface Round {
  /** Load average of the last minute when it began. */
  load: number;
  /** Share of all cores that other processes used just before, 0 to 1. */
  others: number;
  measured: Partial<Record<Side, Measured>>;
}

export interface Row {
  name: string;
  what: string;
  unit: Figure["unit"];
  ours: Spread;
  peerName?: string;
  peer?: Spread;
  ratio?: Spread;
  aim?: string;
  reached?: Reached;
}

const side = (rounds: Round[], of: Side, key: string): number[] =>
  rounds.flatMap(({ measured }) => measured[of]?.[key] ?? []);

/** "at most 1/5", "at least 1.2 times", "at most 90 MB". */
export function aimText({ aim, unit }: Figure): string {
  if (aim === undefined) return "";
  const times = aim.value < 1 ? `1/${+(1 / aim.value).toFixed(2)}` : `${aim.value} times`;
  return `${aim.kind} ${aim.of === "ratio" ? times : `${aim.value} ${unit}`}`;
}

/** One row per figure of a scenario. Rounds in which a side is missing are an error of the caller. */
export function rows(scenario: Scenario, rounds: Round[]): Row[] {
  return scenario.figures.map((figure) => {
    const ours = side(rounds, "ours", figure.key);
    const row: Row = {
      name: `${scenario.name}.${figure.key}`,
      what: figure.what,
      unit: figure.unit,
      ours: spread(ours),
    };
    if (scenario.peer !== undefined) {
      const peer = side(rounds, "peer", figure.key);
      Object.assign(row, { peerName: scenario.peer, peer: spread(peer), ratio: spread(ratios(ours, peer)) });
    }
    if (figure.aim !== undefined) {
      row.aim = aimText(figure);
      row.reached = reached(figure.aim, figure.aim.of === "ratio" ? row.ratio! : row.ours);
    }
    return row;
  });
}

/** Three significant digits, thousands in groups: 0.123, 4.57, 38.2, 123,000. */
export function digits(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return rounded >= 1000 ? rounded.toLocaleString("en-US") : String(rounded);
}

/** Median and range: "4.57 (4.41–5.02)". */
export function spreadText({ median, min, max, rounds }: Spread): string {
  return rounds === 1 ? digits(median) : `${digits(median)} (${digits(min)}–${digits(max)})`;
}

const unitText: Record<Figure["unit"], string> = { us: "µs", "per s": "/s", MB: "MB", ms: "ms" };

/** The table as lines of equal columns: name, what, ours, peer, ratio, aim, reached. */
export function table(all: Row[]): string {
  const cells = [["row", "what", "ours", "peer", "ours / peer", "aim", "reached"]];
  for (const row of all) {
    cells.push([
      row.name,
      `${row.what}, ${unitText[row.unit]}`,
      spreadText(row.ours),
      row.peer === undefined ? "" : spreadText(row.peer),
      row.ratio === undefined ? "" : spreadText(row.ratio),
      row.aim ?? "",
      row.reached ?? "",
    ]);
  }
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells.map((line) => line.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd())
    .join("\n");
}
