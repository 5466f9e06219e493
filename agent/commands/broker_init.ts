/** `broker init`: Mosquitto on this machine with TLS and accounts, and the agent connected to it. */
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import { assertPlausibleClock } from "../../installer/broker/clock.ts";
import { machineNames } from "../../installer/broker/names.ts";
import { brokerPackage, brokerPlaces, planBroker, withBroker } from "../../installer/broker/plan_broker.ts";
import { proveBroker } from "../../installer/broker/prove.ts";
import { agentAccount } from "../../installer/broker/acl.ts";
import { passwordsText } from "../../installer/broker/passwords.ts";
import { aclText } from "../../installer/broker/acl.ts";
import { assertOurs, type BrokerWish, wishForBroker } from "../../installer/broker/wish.ts";
import type { Answers } from "../../installer/config_text.ts";
import { assertInstallable, gatherFacts } from "../../installer/facts.ts";
import type { Machine } from "../../installer/machine.ts";
import { planInstall, type Step } from "../../installer/plan.ts";
import { InstallRecord } from "../../installer/record.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { agentAtBroker, statusTopicFor } from "./broker_agent.ts";
import type { CommonOptions, Host } from "./describe.ts";
import { assertPlaces } from "./install.ts";
import { StepReport } from "./install_report.ts";
import { installerMachine } from "./installer_machine.ts";
import { type Questions, questionsOf } from "./questions.ts";
import { status } from "./status.ts";

export interface BrokerInitOptions extends CommonOptions {
  name?: string[];
  keepQos?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

const operation = "set the broker up";
/** The agent reaches the broker here, whatever else the machine is called. */
const agentHost = "127.0.0.1";

/** Ends with 0 when all is there, Mosquitto listens and the agent is well, and with 1 when nobody agreed. */
export async function brokerInit(
  host: Host,
  options: BrokerInitOptions,
  questions: Questions | undefined = questionsOf(host.terminal),
): Promise<number> {
  const { terminal } = host;
  const { json = false, dryRun = false } = options;
  assertPlaces(operation, options);
  assertRoot();
  await assertPlausibleClock(operation);
  const report = new StepReport(terminal, json, dryRun);
  const source = Deno.execPath();
  const machine = installerMachine(host, (line) => report.say(line));
  assertInstallable(await gatherFacts(machine, undefined, source));
  assertOurs(machine);
  const onStep = (examined: Examined) => report.show(examined);
  const running = { machine, signal: terminal.stop, command: "broker init", onStep };
  if (!dryRun && await isMissing(machine)) {
    if (!options.yes && !await agrees(json ? undefined : questions)) {
      await report.say("nothing was changed");
      return 1;
    }
    await apply([brokerPackage], running);
  }
  const { steps, wish, answers } = await planOf(machine, options, source);
  const examined = await examineAll(machine, steps);
  if (dryRun) {
    for (const one of examined) await report.show(one);
    for (const note of wish.notes) await report.say(note);
    await report.say("nothing was changed");
    return 0;
  }
  await prove(machine, wish, examined, (line) => report.say(line));
  await apply(steps, running, answers);
  await tellRest(host, report, wish, json);
  return 0;
}

/** Steps of the broker and of the agent, and what they come from. */
async function planOf(
  machine: Machine,
  { name = [], keepQos }: BrokerInitOptions,
  source: string,
): Promise<{ steps: Step[]; wish: BrokerWish; answers: { [name: string]: unknown } | undefined }> {
  const record = InstallRecord.load(machine);
  const statusTopic = statusTopicFor(machine, record);
  const wish = await wishForBroker(machine, {
    ...{ names: machineNames(), namesAsked: [agentHost, ...name], keepQos, statusTopic },
    ...{ memoryBytes: Deno.systemMemoryInfo().total, now: new Date() },
  });
  const { wish: agent, answers } = agentAtBroker(machine, record, source, {
    url: `mqtts://${agentHost}:${wish.port}`,
    ...{ caFile: brokerPlaces.caCertificate, caPem: wish.trusted },
    ...{ username: agentAccount, password: wish.password, statusTopic },
  });
  const steps = withBroker(planInstall(agent), planBroker(wish));
  const known: Answers | undefined = answers;
  return { steps, wish, answers: known && { ...known } };
}

/** Only where something of the broker's changes: a second run is to be quick. */
async function prove(
  machine: Machine,
  wish: BrokerWish,
  examined: Examined[],
  say: (line: string) => Promise<void>,
): Promise<void> {
  const changed = examined.filter(({ step, outcome }) =>
    step.id.startsWith("broker") && step.kind !== "service" && outcome !== "nothing"
  );
  if (changed.length === 0) return;
  await say("  a copy of Mosquitto is tried with the new configuration");
  const planned = new Map([
    [brokerPlaces.dropIn, wish.dropIn],
    [brokerPlaces.passwords, passwordsText(wish.accounts)],
    [brokerPlaces.acl, aclText(wish.topics)],
    [brokerPlaces.certificate, wish.pair.certificatePem],
    [brokerPlaces.key, wish.pair.privateKeyPem],
  ]);
  // one that a person has edited stays as it is
  const beside = changed.some(({ step, outcome }) =>
    step.id === "broker-configuration" && outcome === "beside"
  );
  if (beside) planned.set(brokerPlaces.dropIn, new TextDecoder().decode(machine.read(brokerPlaces.dropIn)));
  await proveBroker(machine, {
    ...{ planned, port: wish.port, trust: { caPem: wish.trusted, name: agentHost } },
    account: { name: agentAccount, password: wish.password },
  });
}

async function tellRest(host: Host, report: StepReport, wish: BrokerWish, json: boolean): Promise<void> {
  if (report.changed === 0) await report.say("everything is there already");
  for (const note of wish.notes) await report.say(note);
  if (json) return;
  await report.say("an account for a sensor: sudo sensorlog-agent broker user add NAME");
  await host.terminal.out("\n");
  await status(host, {}); // what wants attention there is no failure of the broker's
}

async function isMissing(machine: Machine): Promise<boolean> {
  const [examined] = await examineAll(machine, [brokerPackage]);
  return examined!.outcome !== "nothing";
}

/** Throws ConfigError when nobody can be asked. */
async function agrees(questions: Questions | undefined): Promise<boolean> {
  if (questions === undefined) {
    throw new ConfigError({
      ...{
        operation,
        place: "the package mosquitto",
        cause: "it is not installed, and nobody is there to be asked",
      },
      remedy: "add --yes to have it installed, or install it: sudo apt install mosquitto",
    });
  }
  const answer = await questions.ask("The package mosquitto is not installed. Install it? [Y/n]");
  return /^(y|yes|)$/i.test(answer);
}

function assertRoot(): void {
  if (Deno.uid() === 0) return;
  throw new OperationError({
    ...{ operation, place: `user id ${Deno.uid()}`, cause: "only root may do that" },
    remedy: "sudo sensorlog-agent broker init",
  });
}
