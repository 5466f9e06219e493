/** The steps of `broker adopt` for what was found, and the moment in which the broker changes hands. */
import { accountStep, brokerStep, configStep, dropInStep, stopSteps } from "../../installer/broker/adopt.ts";
import { queuedBytesFor, settingsOf } from "../../installer/broker/conf.ts";
import { brokerPlaces, brokerUnit } from "../../installer/broker/places.ts";
import { keptSettings, makeSession } from "../../installer/broker/private_broker.ts";
import { proveBroker } from "../../installer/broker/prove.ts";
import { needsOf } from "../../installer/config_text.ts";
import type { Machine } from "../../installer/machine.ts";
import { places, planInstall, type Step } from "../../installer/plan.ts";
import { loadSettings } from "../config.ts";
import { ConfigError, OperationError, reasonOf } from "../base/errors.ts";
import type { AdoptFound } from "./adopt_find.ts";

const listensMs = 30_000;
const pollMs = 100;
/** What mosquitto_sub has received and rotatelogs not yet written. */
const drainMs = 500;

/** The old services, at rest. */
export function stopped({ adopted }: AdoptFound): Step[] {
  return stopSteps(adopted);
}

/** The broker with an account for the agent and room for what waits for it. */
export function brokerSteps({ adopted, original, passwords, passwordsAccess, hash }: AdoptFound): Step[] {
  const dropIn = dropInStep(original.named, queuedBytesFor(Deno.systemMemoryInfo().total));
  return [
    accountStep(adopted, passwords, hash, passwordsAccess),
    ...(original.included ? [dropIn] : []),
    brokerStep(adopted),
  ];
}

/** The agent with this broker in its configuration, running. */
export function installSteps(
  { configPresent, configAfter }: Pick<AdoptFound, "configPresent" | "configAfter">,
): Step[] {
  const needs = needsOf(new TextEncoder().encode(configAfter));
  const steps = planInstall({ source: places.binary, config: undefined, files: [], ...needs });
  const service = steps.at(-1)! as Extract<Step, { kind: "unit" }>;
  const startAgainAfter = [...service.startAgainAfter, "configuration"];
  return [...steps.slice(0, -2), configStep(configPresent, configAfter), steps.at(-2)!, {
    ...service,
    startAgainAfter,
  }];
}

/** Loads the new configuration as the agent will. Its secret is there by now. Throws ConfigError. */
export function assertValidConfig({ configAfter }: Pick<AdoptFound, "configAfter">): void {
  const path = Deno.makeTempFileSync({ dir: places.configDir, prefix: ".agent-", suffix: ".yaml" });
  try {
    Deno.writeTextFileSync(path, configAfter);
    loadSettings(path, { credentialsDir: undefined });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const cause = error.message.replaceAll(path, places.config);
    throw new ConfigError({
      ...{ operation: "broker adopt", place: "the configuration with this broker", cause },
      remedy: "put it right; the broker was not touched",
    });
  } finally {
    Deno.removeSync(path);
  }
}

/** A copy of Mosquitto is tried with what is added, as far as its configuration lets it have a port of its own. */
export async function proveSteps(machine: Machine, found: AdoptFound, steps: Step[]): Promise<void> {
  const { adopted, keys, password, seen } = found;
  const ownPort = settingsOf(seen).some(({ name }) => name === "listener" || name === "port");
  if (!ownPort || found.certificate === undefined) return;
  const files = steps.flatMap((step): [string, string][] =>
    step.kind === "file" ? [[step.path, step.content]] : []
  );
  await proveBroker(machine, {
    ...{ planned: new Map(files), port: adopted.listener.port, trust: { sha256: found.certificate.sha256 } },
    account: { name: keys.username!, password },
  });
}

/**
 * The broker rests while the old services end and a session for the agent is made in it: every message goes to the old
 * services or to the agent, none to both and none to neither. Sensors connect again by themselves.
 */
export async function switchOver(
  machine: Machine,
  { adopted, settings, seen }: AdoptFound,
  run: (steps: Step[]) => Promise<void>,
): Promise<void> {
  const kept = keptSettings(settingsOf(seen));
  await whileBrokerRests(machine, adopted.listener.port, async () => {
    await new Promise((done) => setTimeout(done, drainMs));
    await run(stopSteps(adopted));
    if (kept === undefined) return;
    const { clientId, topics, qos } = settings.mqtt;
    await makeSession(
      kept,
      { clientId, username: adopted.account },
      topics.map((filter) => ({ filter, qos })),
    );
  });
}

/** Stops the broker, works, and starts it again whatever came of it. */
export async function whileBrokerRests(
  machine: Machine,
  port: number,
  work: () => Promise<void>,
): Promise<void> {
  const { code, stderr } = await machine.run("systemctl", ["stop", brokerUnit], 120_000);
  if (code !== 0) throw brokerError("stop the broker", stderr.trim() || `systemctl ended with ${code}`);
  let failure: unknown;
  try {
    await work();
  } catch (error) {
    failure = error;
  }
  await startBroker(machine, port);
  if (failure !== undefined) throw failure;
}

/** A broker that does not start with our drop-in starts without it. */
async function startBroker(machine: Machine, port: number): Promise<void> {
  if (await starts(machine, port)) return;
  const log =
    (await machine.run("journalctl", ["--no-pager", "--output=cat", "--lines=5", "--unit", brokerUnit]))
      .stdout;
  const cause = `it does not listen at port ${port}; it logged: ${log.trim()}`;
  if (machine.look(brokerPlaces.dropIn) !== undefined) {
    await machine.remove(brokerPlaces.dropIn);
    if (await starts(machine, port)) {
      throw brokerError("start the broker with our settings", cause, "it runs without them");
    }
  }
  throw brokerError("start the broker", cause);
}

async function starts(machine: Machine, port: number): Promise<boolean> {
  await machine.run("systemctl", ["reset-failed", brokerUnit]);
  await machine.run("systemctl", ["start", brokerUnit], 120_000);
  for (const endMs = performance.now() + listensMs; performance.now() < endMs;) {
    if (machine.listens(port)) return true;
    const state = await machine.run("systemctl", ["show", "--property=ActiveState", "--value", brokerUnit]);
    if (/^failed/.test(state.stdout)) return false;
    await new Promise((done) => setTimeout(done, pollMs));
  }
  return false;
}

function brokerError(operation: string, cause: string, more?: string): OperationError {
  const way =
    `sudo sensorlog-agent broker adopt --undo brings the old services back; systemctl status ${brokerUnit}`;
  const remedy = more === undefined ? way : `${more}; ${way}`;
  return new OperationError({ operation, place: brokerUnit, cause: reasonOf(cause), remedy });
}
