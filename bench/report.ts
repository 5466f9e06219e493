/** The table that people read and the JSON that programs read; both show what was seen, nothing else. */
import { type Figure, type Measured, ours, type Scenario, type Side } from "./scenario.ts";
import { ratios, type Reached, reached, type Spread, spread } from "./statistics.ts";

/** One round of a scenario. */
export interface Round {
  /** Load average of the last minute when it began. */
  load: number;
  /** Share of all cores that other processes used just before, 0 to 1. */
  others: number;
  measured: Record<Side, Measured>;
  /** Why a side has no figures in this round. */
  failed: Record<Side, string>;
}

export interface Row {
  name: string;
  what: string;
  unit: Figure["unit"];
  ours: Spread;
  peerName?: string;
  peer?: Spread;
  /** Missing where the peer's figure is 0. */
  ratio?: Spread;
  /** Why there is no figure of the peer's. */
  absent?: string;
  aim?: string;
  reached?: Reached;
}

/** Figures of the rounds in which all of these sides have theirs, one list for each side. */
function sideBySide(rounds: Round[], sides: Side[], key: string): number[][] {
  const whole = rounds.filter(({ failed }) => sides.every((side) => failed[side] === undefined));
  return sides.map((side) => whole.flatMap(({ measured }) => measured[side]?.[key] ?? []));
}

/** "at most 1/5", "at least 1.2 times", "at most 90 MB". */
export function aimText({ aim, unit }: Figure): string {
  if (aim === undefined) return "";
  const times = aim.value < 1 ? `1/${+(1 / aim.value).toFixed(2)}` : `${aim.value} times`;
  return `${aim.kind} ${aim.of === "ratio" ? times : `${aim.value} ${unit}`}`;
}

function withAim(row: Row, figure: Figure): Row {
  if (figure.aim === undefined) return row;
  row.aim = aimText(figure);
  const seen = figure.aim.of === "ratio" ? row.ratio : row.ours;
  if (seen !== undefined) row.reached = reached(figure.aim, seen);
  return row;
}

/** The row of one figure beside one peer. */
function beside(figure: Figure, row: Row, rounds: Round[], peerName: string): Row {
  const [mine, peer] = sideBySide(rounds, [ours, peerName], figure.key) as [number[], number[]];
  Object.assign(row, { ours: spread(mine), peerName, peer: spread(peer) });
  if (mine.length !== peer.length || !peer.includes(0)) row.ratio = spread(ratios(mine, peer));
  return withAim(row, figure);
}

/**
 * One row per figure and peer. A round in which a side has no figure, and doesn't say why, is an error of the caller; so is
 * a scenario without a single round of ours. `absent`: why peers were not measured at all.
 */
export function rows(scenario: Scenario, rounds: Round[], absent: Record<Side, string> = {}): Row[] {
  return scenario.figures.flatMap((figure) => {
    const row = (): Row => ({
      name: `${scenario.name}.${figure.key}`,
      what: figure.what,
      unit: figure.unit,
      ours: spread(sideBySide(rounds, [ours], figure.key)[0]!),
    });
    if (scenario.peers.length === 0) return [withAim(row(), figure)];
    return scenario.peers.map((peerName) => {
      const never = rounds.every(({ failed }) => failed[peerName] !== undefined);
      const why = absent[peerName] ?? (never ? `failed: ${rounds[0]?.failed[peerName]}` : undefined);
      if (why === undefined) return beside(figure, row(), rounds, peerName);
      return withAim({ ...row(), peerName, absent: why }, figure);
    });
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

const unitText: Record<Figure["unit"], string> = {
  ...{ us: "µs", "per s": "/s", MB: "MB", ms: "ms", B: "B", readings: "readings" },
};

/** The table as lines of equal columns. */
export function table(all: Row[]): string {
  const cells = [["row", "what", "ours", "against", "peer", "ours / peer", "aim", "reached"]];
  for (const row of all) {
    cells.push([
      row.name,
      `${row.what}, ${unitText[row.unit]}`,
      spreadText(row.ours),
      row.peerName ?? "",
      row.absent ?? (row.peer === undefined ? "" : spreadText(row.peer)),
      row.ratio === undefined ? "" : spreadText(row.ratio),
      row.aim ?? "",
      row.reached ?? "",
    ]);
  }
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells.map((line) => line.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd())
    .join("\n");
}
