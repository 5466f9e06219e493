/** `install`: the agent as a service of this machine, or of an image of one. */
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import { type Answers, fileNames } from "../../installer/config_text.ts";
import { assertInstallable, gatherFacts } from "../../installer/facts.ts";
import type { Machine } from "../../installer/machine.ts";
import { places, planInstall } from "../../installer/plan.ts";
import { InstallRecord } from "../../installer/record.ts";
import { sumOf } from "../../installer/kinds.ts";
import { ConfigError, reasonOf } from "../base/errors.ts";
import { type Answered, type AnswerFlags, askFor, fromFlags, hasAnswers } from "./install_answers.ts";
import { StepReport } from "./install_report.ts";
import { wishOf } from "./install_wish.ts";
import { installerMachine } from "./installer_machine.ts";
import type { CommonOptions, Host } from "./program.ts";
import { type Questions, questionsOf } from "./questions.ts";
import { status } from "./status.ts";

export interface InstallOptions extends CommonOptions, AnswerFlags {
  dryRun?: boolean;
  root?: string;
}

/** Ends with 0 when all is there and, on the running machine, the service is well. */
export async function install(
  host: Host,
  options: InstallOptions,
  questions: Questions | undefined = questionsOf(host.terminal),
): Promise<number> {
  const { terminal } = host;
  const { root, json = false, dryRun = false } = options;
  assertPlaces("install", options);
  const report = new StepReport(terminal, json, dryRun);
  const source = Deno.execPath();
  const machine = installerMachine(host, (line) => report.say(line), root);
  assertInstallable(await gatherFacts(machine, root, source));
  const record = InstallRecord.load(machine);
  const answered = await answersFor(machine, record, options, json ? undefined : questions);
  const steps = planInstall(wishOf(machine, record, source, answered));
  if (dryRun) {
    for (const examined of await examineAll(machine, steps)) await report.show(examined);
    const would = report.changed === 0 ? "nothing" : `${report.changed} of ${steps.length} steps`;
    await report.say(`install would do ${would}; nothing was changed`);
    return 0;
  }
  const running = { machine, signal: terminal.stop, onStep: (examined: Examined) => report.show(examined) };
  await apply(steps, running, answered && { ...answered.answers });
  if (report.changed === 0) await report.say("everything is there already");
  if (root !== undefined) {
    await report.say(`the image below ${root} starts the agent when it boots`);
    return 0;
  }
  if (!json) {
    await terminal.out("\n");
    await status(host, {}); // what wants attention there is no failure of the installation
  }
  return 0;
}

/** Undefined: the configuration that is there stays as it is. */
async function answersFor(
  machine: Machine,
  record: InstallRecord,
  options: InstallOptions,
  questions: Questions | undefined,
): Promise<Answered | undefined> {
  const present = machine.read(places.config);
  const earlier = record.answers as Answers;
  if (present === undefined && questions !== undefined) {
    const { secrets, ...flags } = await askFor(options, questions);
    const answered = await fromFlags(flags, earlier);
    for (const one of secrets) {
      answered.answers[one.name === fileNames.password ? "password" : "apiKey"] = true;
    }
    return { answers: answered.answers, files: [...answered.files, ...secrets] };
  }
  const isOwn = present === undefined || record.wrote(places.config, sumOf(present));
  return isOwn || hasAnswers(options) ? await fromFlags(options, earlier) : undefined;
}

/** Throws ConfigError for a place that is none of the service's, or of an image. */
export function assertPlaces(
  operation: string,
  { config, root }: { config?: string | undefined; root?: string | undefined },
): void {
  const wrong = (place: string, cause: string, remedy: string) => {
    throw new ConfigError({ operation, place, cause, remedy });
  };
  if (config !== undefined && config !== places.config) {
    wrong(
      `--config ${config}`,
      `the service uses ${places.config}`,
      "leave --config out, and edit that file afterwards",
    );
  }
  if (root === undefined) return;
  try {
    if (Deno.realPathSync(root) === "/") {
      wrong(`--root ${root}`, "this is the running system", "leave --root out");
    }
    if (!Deno.statSync(root).isDirectory) wrong(`--root ${root}`, "it is no folder", "name a folder");
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    wrong(
      `--root ${root}`,
      reasonOf(error),
      "name the folder in which the image's root file system is mounted",
    );
  }
}
