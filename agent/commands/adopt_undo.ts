/** `broker adopt --undo`: the old installation works again, as it was found. */
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import {
  absentStep,
  accountStep,
  type Adopted,
  adoptedPath,
  brokerStep,
  cronStartSteps,
  startSteps,
} from "../../installer/broker/adopt.ts";
import { withBrokerOf } from "../../installer/broker/adopt_config.ts";
import { settingsOf } from "../../installer/broker/conf.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { forgetSession, keptSettings } from "../../installer/broker/private_broker.ts";
import { confFiles } from "../../installer/broker/shown.ts";
import type { Machine } from "../../installer/machine.ts";
import { places, type Step } from "../../installer/plan.ts";
import { unitName } from "../../installer/units.ts";
import { loadSettings } from "../config.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { accessOf, knownAdoption, textOf } from "./adopt_find.ts";
import { installSteps, whileBrokerRests } from "./adopt_steps.ts";
import type { AdoptOptions } from "./broker_adopt.ts";
import type { StepReport } from "./install_report.ts";
import type { Host } from "./program.ts";
import type { Questions } from "./questions.ts";

export interface Undoing {
  host: Host;
  machine: Machine;
  report: StepReport;
  options: AdoptOptions;
  questions: Questions | undefined;
}

/** Ends with 0 when it works again, with 1 when the question was not answered with yes. */
export async function undoAdopt({ host, machine, report, options, questions }: Undoing): Promise<number> {
  const adopted = knownAdoption(machine);
  if (adopted === undefined) {
    throw new OperationError({
      ...{
        operation: "broker adopt --undo",
        place: adoptedPath,
        cause: "nothing was adopted on this machine",
      },
      remedy: "there is nothing to undo",
    });
  }
  const plan = planUndo(machine, adopted);
  if (options.dryRun) {
    for (const examined of await examineAll(machine, Object.values(plan).flat())) await report.show(examined);
    await report.say("nothing was changed");
    return 0;
  }
  if (!options.yes && !await isSure(questions)) {
    await report.say("nothing was changed");
    return 1;
  }
  const onStep = (examined: Examined) => report.show(examined);
  const running = { machine, signal: host.terminal.stop, command: "broker adopt --undo", onStep };
  await machine.run("systemctl", ["stop", unitName], 120_000);
  await whileBrokerRests(machine, adopted.listener.port, async () => {
    await forgetAgent(machine, adopted);
    await apply(plan.broker, running);
  });
  await apply([...plan.works, ...plan.agent, ...plan.rest], running);
  await report.say("the old installation works again");
  await report.say(
    "readings that the agent has are kept; those of message files may be shipped by Filebeat as well",
  );
  return 0;
}

function planUndo(machine: Machine, adopted: Adopted): Record<"broker" | "works" | "agent" | "rest", Step[]> {
  const passwords = textOf(machine, adopted.passwordFile);
  const configPresent = textOf(machine, places.config);
  const configAfter = isOnlyBroker(configPresent, adopted)
    ? adopted.configBefore
    : withBrokerOf(configPresent, adopted.configBefore);
  return {
    broker: [
      accountStep(adopted, passwords, undefined, accessOf(machine, adopted.passwordFile)),
      absentStep("drop-in-gone", "what the agent needed of the broker", brokerPlaces.dropIn),
    ],
    works: [brokerStep(adopted), ...startSteps(adopted), ...cronStartSteps(adopted)],
    agent: installSteps({ configPresent, configAfter }),
    rest: [
      absentStep("password-gone", "the agent's password", `${places.configDir}/${adopted.passwordName}`),
      absentStep("adopted-gone", "what was noted for --undo", adoptedPath),
    ],
  };
}

/** Whether nobody has changed anything else in the configuration since. */
function isOnlyBroker(present: string, { configBefore }: Adopted): boolean {
  return withBrokerOf(configBefore, present) === present;
}

/** Nobody would take the messages that are kept for it. */
async function forgetAgent(machine: Machine, adopted: Adopted): Promise<void> {
  const kept = keptSettings(settingsOf(confFiles(machine)));
  if (kept === undefined) return;
  const { clientId } = loadSettings(places.config, { credentialsDir: undefined }).mqtt;
  await forgetSession(kept, { clientId, username: adopted.account });
}

async function isSure(questions: Questions | undefined): Promise<boolean> {
  if (questions === undefined) {
    throw new ConfigError({
      ...{ operation: "broker adopt --undo", place: "--yes", cause: "nobody is there to be asked" },
      remedy: "look with --dry-run, then add --yes",
    });
  }
  return await questions.ask(
    "The agent lets go of the broker, and the old services run again. Type yes to go on:",
  ) === "yes";
}
