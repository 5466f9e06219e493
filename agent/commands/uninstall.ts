/** `uninstall`: takes away what `install` brought. */
import { examineUndoAll, undo } from "../../installer/apply.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { needsOf } from "../../installer/config_text.ts";
import { type Machine, realMachine } from "../../installer/machine.ts";
import { places, planUninstall } from "../../installer/plan.ts";
import { runProgram } from "../../installer/run_program.ts";
import { countText } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { assertPlaces } from "./install.ts";
import { StepReport } from "./install_report.ts";
import type { CommonOptions, Host } from "./program.ts";
import { type Questions, questionsOf } from "./questions.ts";
import { serviceOf } from "./installed_service.ts";

export interface UninstallOptions extends CommonOptions {
  dryRun?: boolean;
  root?: string;
  purge?: boolean;
  yes?: boolean;
}

/** Ends with 0 when it is gone, and with 1 when the question was not answered with yes. */
export async function uninstall(
  { terminal }: Host,
  options: UninstallOptions,
  questions: Questions | undefined = questionsOf(terminal),
): Promise<number> {
  const { root, purge = false, dryRun = false, json = false } = options;
  assertPlaces("uninstall", options);
  assertPossible(root);
  const machine = realMachine(root, { run: runProgram, start: () => Promise.resolve() });
  const report = new StepReport(terminal, json, false);
  const steps = planUninstall(hasBroker(machine));
  const elsewhere = dirsElsewhere(machine);
  if (dryRun) {
    for (const examined of examineUndoAll(machine, steps, purge)) await report.show(examined);
    await report.say("nothing was changed");
    return 0;
  }
  if (purge && !options.yes && !await isSure(machine, questions)) {
    await report.say("nothing was changed");
    return 1;
  }
  await undo(steps, { machine, signal: terminal.stop, onStep: (examined) => report.show(examined) }, purge);
  if (report.changed === 0) await report.say("there was nothing to remove");
  if (!purge && machine.look(places.configDir) !== undefined) {
    await report.say(`configuration, secrets and readings are kept; uninstall --purge removes them, too`);
  }
  for (const dir of elsewhere) await report.say(`${dir}, where readings stand, is left as it is`);
  return 0;
}

function assertPossible(root: string | undefined): void {
  const refuse = (place: string, cause: string, remedy: string) => {
    throw new OperationError({ operation: "uninstall", place, cause, remedy });
  };
  if (Deno.uid() !== 0) {
    refuse(`user id ${Deno.uid()}`, "only root may do that", "sudo sensorlog-agent uninstall");
  }
  if (root !== undefined) return;
  try {
    Deno.lstatSync("/run/systemd/system");
  } catch {
    refuse("/run/systemd/system", "this machine does not run systemd", "remove the files by hand");
  }
}

function hasBroker(machine: Machine): boolean {
  return [brokerPlaces.dropIn, brokerPlaces.dir].some((path) => machine.look(path) !== undefined);
}

/** Folders of spool and stores that the configuration puts elsewhere: what is there may be somebody's only copy. */
function dirsElsewhere(machine: Machine): string[] {
  const config = machine.read(places.config);
  return config === undefined ? [] : needsOf(config).writableDirs;
}

/** Throws ConfigError when nobody can be asked. */
async function isSure(machine: Machine, questions: Questions | undefined): Promise<boolean> {
  if (questions === undefined) {
    throw new ConfigError({
      ...{ operation: "uninstall", place: "--purge", cause: "nobody is there to be asked" },
      remedy: "add --yes to remove configuration, secrets and readings",
    });
  }
  const waiting = machine.live ? (await serviceOf(undefined).ask())?.waiting : undefined;
  const lost = waiting === undefined || waiting === 0
    ? "all readings on this machine"
    : `all readings on this machine (${countText(waiting)} have not arrived anywhere yet)`;
  const broker = hasBroker(machine)
    ? " The broker's CA and accounts go as well: every sensor has to be set up anew."
    : "";
  const what = `This removes configuration, secrets and ${lost}.${broker}`;
  const answer = await questions.ask(`${what} Type yes to go on:`);
  return answer === "yes";
}
