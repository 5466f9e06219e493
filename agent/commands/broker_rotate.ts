/** `broker rotate`: a new certificate for the broker, with its key or another one, or of another CA. */
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import { assertPlausibleClock } from "../../installer/broker/clock.ts";
import { machineNames } from "../../installer/broker/names.ts";
import { readCertificate } from "../../installer/broker/pki.ts";
import { type Phase, phaseOf, readPki } from "../../installer/broker/pki_files.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { type CaPhase, planCa, planRotate } from "../../installer/broker/rotate.ts";
import { type Listener, untilShown } from "../../installer/broker/shown.ts";
import type { Machine } from "../../installer/machine.ts";
import { places, type Step, unitPath } from "../../installer/plan.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { before, behind, type Change } from "./broker_rotate_words.ts";
import type { CommonOptions, Host } from "./describe.ts";
import { StepReport } from "./install_report.ts";
import { installerMachine } from "./installer_machine.ts";
import { type Questions, questionsOf } from "./questions.ts";

export interface RotateOptions extends CommonOptions {
  key?: boolean;
  ca?: CaPhase;
  name?: string[];
  dryRun?: boolean;
  yes?: boolean;
}

/** Ends with 0 when the broker shows what it is to show, and with 1 when the question was not answered with yes. */
export async function brokerRotate(
  host: Host,
  options: RotateOptions,
  questions: Questions | undefined = questionsOf(host.terminal),
): Promise<number> {
  const { terminal } = host;
  const { json = false, dryRun = false } = options;
  assertPossible(options);
  await assertPlausibleClock("change certificates");
  const report = new StepReport(terminal, json, false);
  const machine = installerMachine(host, (line) => report.say(line));
  const change: Change = options.ca ?? (options.key ? "key" : "certificate");
  const { steps, phase, listener } = await planOf(machine, options);
  const examined = await examineAll(machine, steps);
  const isDone = examined.every(({ outcome }) => outcome === "nothing");
  if (isDone && change === "finish" && phase === "steady") throw neverBegun();
  for (const line of isDone ? ["this phase is done already"] : before(change)) await report.say(line);
  if (dryRun) {
    for (const one of examined) await report.show(one);
    await report.say("nothing was changed");
    return 0;
  }
  if (!isDone && change !== "begin" && !options.yes && !await isSure(json ? undefined : questions)) {
    await report.say("nothing was changed");
    return 1;
  }
  const onStep = (examined: Examined) => report.show(examined);
  await apply(steps, { machine, signal: terminal.stop, command: "broker rotate", onStep });
  const facts = readCertificate(readPki(machine).certificate);
  // the other phases leave the broker's certificate as it is
  if (change !== "begin" && change !== "finish") await untilShown(listener, facts.sha256, terminal.stop);
  for (const line of behind(change, facts)) await report.say(line);
  return 0;
}

async function planOf(
  machine: Machine,
  options: RotateOptions,
): Promise<{ steps: Step[]; phase: Phase; listener: Listener }> {
  const pki = readPki(machine);
  const { listener } = pki.files;
  const present = readCertificate(pki.certificate).names;
  const names = [...new Set([...present, ...options.name ?? [], ...machineNames()])];
  const phase = await phaseOf(pki);
  const rotating = { pki, phase, names, now: new Date(), agent: agentConfig(machine) };
  const steps = options.ca === undefined
    ? await planRotate(rotating, options.key ?? false)
    : await planCa(options.ca, rotating);
  return { steps, phase, listener };
}

/** Undefined where the agent is not installed. */
function agentConfig(machine: Machine): string | undefined {
  const bytes = machine.look(unitPath) === undefined ? undefined : machine.read(places.config);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** Nothing tells a change that has come to its end from one that was never begun. */
function neverBegun(): OperationError {
  return new OperationError({
    ...{ operation: "change certificates", place: brokerPlaces.caCertificate },
    cause: "one CA is trusted: no change of the CA is under way, or it has come to its end",
    remedy: "sudo sensorlog-agent broker rotate --ca begin begins one; nothing was changed",
  });
}

function assertPossible(options: RotateOptions): void {
  const refuse = (place: string, cause: string, remedy: string) => {
    throw new ConfigError({ operation: "change certificates", place, cause, remedy });
  };
  if (options.ca !== undefined && options.key) {
    refuse("--key", "a change of the CA keeps the key", "do one after the other");
  }
  if (options.name !== undefined && (options.ca === "begin" || options.ca === "finish")) {
    refuse("--name", `--ca ${options.ca} issues no certificate`, "leave it out, and use it with --ca switch");
  }
  if (Deno.uid() === 0) return;
  throw new OperationError({
    ...{ operation: "change certificates", place: `user id ${Deno.uid()}`, cause: "only root may do that" },
    remedy: "sudo sensorlog-agent broker rotate",
  });
}

/** Throws ConfigError when nobody can be asked. */
async function isSure(questions: Questions | undefined): Promise<boolean> {
  if (questions === undefined) {
    throw new ConfigError({
      ...{ operation: "change certificates", place: "standard input", cause: "nobody is there to be asked" },
      remedy: "add --yes when that has happened; nothing was changed",
    });
  }
  return await questions.ask("Type yes to go on:") === "yes";
}
