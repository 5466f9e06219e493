/** The demo in a pipe, as lines without escape sequences; and the sum at its end. Pure. */
import { countText, durationText, safeText } from "../base/display.ts";
import type { TopicView } from "./board.ts";
import { fit } from "./columns.ts";
import type { Model } from "./model.ts";
import { sumText } from "./screen_sum.ts";
import type { Step } from "./steps.ts";

const textColumns = 40;

export function introduction(url: string, steps: Step[]): string[] {
  const width = Math.max(...steps.map(({ command }) => command.length));
  return [
    `sensorlog-agent demo: four sensors, a broker at ${url}, agent and store in one process`,
    "to try in a second terminal, in this folder:",
    ...steps.map(({ command, what }) => `  ${command.padEnd(width)}  # ${what}`),
  ];
}

/** What has come to each place so far, and the latest values. */
export function plainLine(model: Model, elapsedMs: number, nowMs: number): string {
  const { received, onDisk, acknowledged, inStore } = model.stages;
  const counts = `${countText(received.count)} received, ${countText(onDisk.count)} on disk, ` +
    `${countText(acknowledged.count)} acknowledged, ${countText(inStore.count)} in the store`;
  const alarms = (model.snapshot?.alarms ?? []).map(({ text }) => `! ${safeText(text)}`);
  const trouble = model.trouble(nowMs);
  const troubles = trouble === undefined ? [] : [`! ${safeText(trouble)}`];
  const values = model.board.topics.filter(({ count }) => count > 0).map((view) => valueText(view, nowMs));
  return [`${Math.round(elapsedMs / 1_000)} s: ${counts}`, ...alarms, ...troubles, ...values].join("; ");
}

function valueText(view: TopicView, nowMs: number): string {
  const numbers = view.numbers.map(({ name, shown, unit }) =>
    [safeText(name), shown, unit].filter((part) => part !== "").join(" ")
  );
  const text = numbers.length === 0 ? fit(safeText(view.text), textColumns) : numbers.join(" ");
  const silent = view.isSilent(nowMs) ? ` (silent for ${durationText(nowMs - view.lastMs)})` : "";
  return `${safeText(view.topic)} ${text}${silent}`;
}

/** Whether every reading that came has been stored and confirmed. */
export function isComplete(model: Model): boolean {
  const { output, stages } = model;
  const lost = model.snapshot?.subscriber.qos0Lost ?? 0;
  return output !== undefined && model.sumHolds && lost === 0 && output.stored === output.confirmed &&
    stages.onDisk.count === output.stored;
}

/** What the demo was, for the time after it. */
export function summary(model: Model, elapsedMs: number, readme: string): string[] {
  const { output } = model;
  if (output === undefined) return [];
  const stored = countText(output.stored);
  const fate = isComplete(model) ? "every one is accounted for:" : "not all of them arrived:";
  return [
    `The demo ran for ${durationText(elapsedMs)} and took ${stored} ${
      output.stored === 1 ? "reading" : "readings"
    }; ${fate}`,
    `  ${sumText(output).replaceAll("\u00a0", " ")}${model.sumHolds ? "" : " (the numbers do not add up)"}`,
    `Nothing is left behind. Next: ${readme}`,
  ];
}
