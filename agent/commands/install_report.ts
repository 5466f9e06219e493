/** What `install` and `uninstall` show of their steps: a line each, and for a file what changes in it. */
import type { Examined, Outcome } from "../../installer/apply.ts";
import { shortDiff } from "../../installer/line_diff.ts";
import type { Step } from "../../installer/plan.ts";
import { safeJson, safeText } from "../base/display.ts";
import type { Terminal } from "./terminal.ts";

const signs: Record<Outcome, string> = {
  ...{ nothing: "=", make: "+", change: "~", beside: "!", remove: "-", keep: "=" },
};
const colours: Record<Outcome, string> = {
  ...{ nothing: "2", make: "32", change: "33", beside: "33", remove: "31", keep: "2" },
};
const words: Record<Outcome, string> = {
  nothing: "nothing to do",
  make: "new",
  change: "changed",
  beside: "not overwritten",
  remove: "removed",
  keep: "kept",
};

export class StepReport {
  changed = 0;

  constructor(
    private readonly terminal: Terminal,
    private readonly json: boolean,
    /** Shows in files what changes. */
    private readonly diffs: boolean,
  ) {}

  async show(examined: Examined): Promise<void> {
    const { step, outcome, note } = examined;
    if (outcome !== "nothing" && outcome !== "keep") this.changed++;
    const diff = this.diffs && outcome !== "nothing" ? diffOf(examined) : undefined;
    if (this.json) {
      const { id, kind, what } = step;
      const place = placeOf(step);
      await this.terminal.out(safeJson({ id, kind, what, place, outcome, note, diff }) + "\n");
      return;
    }
    const sign = this.terminal.colour ? `\x1b[${colours[outcome]}m${signs[outcome]}\x1b[0m` : signs[outcome];
    const place = placeOf(step);
    const where = place === undefined ? "" : ` (${place})`;
    const lines = [`${sign} ${step.what}${where}: ${words[outcome]}`];
    if (note !== undefined) lines.push(`    ${note}`);
    for (const line of diff ?? []) lines.push(`    ${line}`);
    await this.terminal.out(lines.map((line) => `${this.#safe(line, sign)}\n`).join(""));
  }

  /** A line for people; with `--json` on standard error. */
  async say(line: string): Promise<void> {
    await (this.json ? this.terminal.err(`${line}\n`) : this.terminal.out(`${line}\n`));
  }

  #safe(line: string, sign: string): string {
    return line.startsWith(sign) ? sign + safeText(line.slice(sign.length)) : safeText(line);
  }
}

function diffOf({ before, after }: Examined): string[] | undefined {
  return before === undefined || after === undefined || before === after
    ? undefined
    : shortDiff(before, after);
}

function placeOf(step: Step): string | undefined {
  if ("path" in step) return step.path;
  if (step.kind === "pair") return step.certificate.path;
  return step.kind === "unit" || step.kind === "service" ? step.name : undefined;
}
