/** Whether every reading is accounted for, and what wants attention. */
import { countText, safeText } from "../base/display.ts";
import type { OutputStatus } from "../status/snapshot.ts";
import { wrap } from "../status/render_status.ts";
import type { Line } from "./lines.ts";
import type { Model } from "./model.ts";
import type { Paper } from "./screen.ts";

const alarmsShown = 2;
/** A space at which no line is broken. */
const together = "\u00a0";

/** Promise 4 as an equation: `12 stored = 10 confirmed + 2 waiting + …`. */
export function sumText(output: OutputStatus): string {
  const parts = (["confirmed", "waiting", "dead", "dropped", "damaged"] as const).map((name) =>
    `${countText(output[name])}${together}${name}`
  );
  return `${countText(output.stored)}${together}stored = ${parts.join(" + ")}`;
}

export function sumLines(model: Model, paper: Paper): Line[] {
  const { output } = model;
  if (output === undefined) return [];
  const mark = model.sumHolds ? "✓" : "✗ the numbers do not add up";
  const texts = wrap(
    `${sumText(output)}${together}${mark.replaceAll(" ", together)}`,
    Math.max(20, paper.columns - 2),
  );
  return texts.map((text, at) => {
    const last = at === texts.length - 1;
    const line = paper.line();
    return last
      ? line.add(text.slice(0, -mark.length)).add(mark, model.sumHolds ? "goodBold" : "bad")
      : line.add(text);
  });
}

export function alarmLines(model: Model, paper: Paper): Line[] {
  return (model.snapshot?.alarms ?? []).slice(0, alarmsShown).map(({ text, remedy }) =>
    paper.line().add("! ", "bad").add(safeText(remedy === undefined ? text : `${text}; ${remedy}`), "bad")
  );
}

/** What the log would have said. */
export function troubleLine(model: Model, paper: Paper): Line[] {
  const trouble = model.trouble(paper.nowMs);
  return trouble === undefined ? [] : [paper.line().add(`! ${safeText(trouble)}`, "warn")];
}
