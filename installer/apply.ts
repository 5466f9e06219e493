/**
 * Brings the steps of a plan about, in order, or takes them away again, backwards. Each step is looked at first and done
 * only where something is missing: a second run changes nothing, and one that was killed goes on where it stopped.
 */
import { OperationError, reasonOf } from "../agent/base/errors.ts";
import { bringAbout, examine, type Examined, examineUndo, sumOf, takeAway } from "./kinds.ts";
import type { Machine } from "./machine.ts";
import { afterChanges, reloadMark } from "./other_service.ts";
import { places, type Step } from "./plan.ts";
import { InstallRecord } from "./record.ts";

export type { Examined, Outcome } from "./kinds.ts";

export interface Running {
  machine: Machine;
  signal: AbortSignal;
  /** What an error names; default `install`. */
  command?: string;
  /** After each step. */
  onStep(examined: Examined): Promise<void>;
}

/** What each step would take, without changing anything. */
export async function examineAll(machine: Machine, steps: Step[]): Promise<Examined[]> {
  const record = InstallRecord.load(machine);
  const found: Examined[] = [];
  for (const step of steps) {
    const examined = await examine(machine, record, step);
    const changed = found.filter(({ outcome }) => outcome === "make" || outcome === "change");
    found.push(foreseen(examined, changed.map((one) => one.step.id)));
  }
  return found;
}

/** Does what is missing. Stops at the first failure with an OperationError that says how far it came. */
export async function apply(
  steps: Step[],
  running: Running,
  answers?: InstallRecord["answers"],
): Promise<void> {
  const { machine } = running;
  const record = InstallRecord.load(machine);
  if (answers !== undefined) record.setAnswers(answers);
  let done = 0;
  for (const step of steps) {
    try {
      assertGoingOn(running.signal);
      const examined = await examine(machine, record, step);
      if (examined.outcome !== "nothing") await perform(machine, record, steps, examined);
      await running.onStep(examined);
    } catch (error) {
      throw stopped(error, step, `${done} of ${steps.length} steps are done`, running.command ?? "install");
    }
    done++;
  }
  await record.save();
}

/** Takes away what the steps brought, the last first; with `purge` what is kept otherwise, too. */
export async function undo(steps: Step[], running: Running, purge: boolean): Promise<void> {
  const { machine } = running;
  const record = InstallRecord.load(machine);
  for (const step of steps.toReversed()) {
    try {
      assertGoingOn(running.signal);
      const examined = examineUndo(machine, step, purge);
      if (examined.outcome === "remove") {
        await takeAway(machine, step);
        if ("path" in step) record.forget(step.path);
        // the record goes with its folder
        if (machine.look(places.configDir) !== undefined) await record.save();
      }
      await running.onStep(examined);
    } catch (error) {
      throw stopped(error, step, "what came before it is removed", running.command ?? "uninstall");
    }
  }
  if (machine.live) await machine.run("systemctl", ["daemon-reload"]);
}

/** What taking away would do, the last step first. */
export function examineUndoAll(machine: Machine, steps: Step[], purge: boolean): Examined[] {
  return steps.toReversed().map((step) => examineUndo(machine, step, purge));
}

function assertGoingOn(signal: AbortSignal): void {
  if (signal.aborted) throw new Error("it was interrupted");
}

function stopped(error: unknown, step: Step, done: string, command: string): OperationError {
  const remedy = error instanceof OperationError && error.remedy !== undefined ? `${error.remedy}; ` : "";
  return new OperationError({
    operation: command,
    place: error instanceof OperationError ? `${step.what}: ${error.place}` : step.what,
    cause: reasonOf(error),
    remedy: `${remedy}${done}, and the same ${command} again goes on from there`,
    from: error,
  });
}

/** Notes what is about to happen, does it, and notes that it has. */
async function perform(
  machine: Machine,
  record: InstallRecord,
  steps: Step[],
  examined: Examined,
): Promise<void> {
  const { step, outcome } = examined;
  for (const other of steps) {
    if (outcome !== "beside" && startsAgain(other, [step.id])) record.setPending(other.name, true);
    if (outcome !== "beside" && reloads(other, [step.id])) record.setPending(reloadMark(other.name), true);
  }
  if (step.kind === "unit") record.setPending(step.name, machine.live);
  // what a person wrote stays a person's, with our lines in it
  const isOwn = step.kind === "file" && !step.secret && step.basedOn === undefined && outcome !== "beside";
  const own = isOwn ? step : undefined;
  if (own !== undefined) record.expect(own.path, sumOf(own.content));
  await record.save();
  await bringAbout(machine, examined);
  if (own !== undefined) record.settle(own.path, sumOf(own.content));
  if (step.kind === "unit" || step.kind === "service") record.setPending(step.name, false);
  if (step.kind === "service") record.setPending(reloadMark(step.name), false);
  await record.save();
}

/** What a unit or service will take once the steps before it have changed something. */
function foreseen(examined: Examined, changed: string[]): Examined {
  const { step, outcome } = examined;
  if (step.kind === "service") {
    return afterChanges(examined, startsAgain(step, changed), reloads(step, changed));
  }
  return outcome === "nothing" && startsAgain(step, changed) ? { ...examined, outcome: "change" } : examined;
}

function startsAgain(step: Step, changed: string[]): step is Extract<Step, { kind: "unit" | "service" }> {
  return (step.kind === "unit" || step.kind === "service") &&
    step.startAgainAfter.some((id) => changed.includes(id));
}

function reloads(step: Step, changed: string[]): step is Extract<Step, { kind: "service" }> {
  return step.kind === "service" && step.reloadAfter.some((id) => changed.includes(id));
}
