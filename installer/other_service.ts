/** A service of another package, such as Mosquitto: there at every boot, well when it listens, told of new files. */
import { OperationError } from "../agent/base/errors.ts";
import type { Examined } from "./kinds.ts";
import type { Machine } from "./machine.ts";
import { type Step, wantsDir } from "./plan.ts";
import type { InstallRecord } from "./record.ts";

type ServiceStep = Extract<Step, { kind: "service" }>;

const restartMs = 120_000;
const listensMs = 30_000;
const pollMs = 100;

/** In the record of what is to be started again: this one has to be reloaded only. */
export const reloadMark = (name: string) => `${name} (reload)`;

const reloadNote = "it reads its files again; no client loses its connection";
const restartNote = "it is started again; clients connect again";

/** Looks whether it is there at every boot, runs, listens, and has taken what was changed. */
export async function examineService(
  machine: Machine,
  record: InstallRecord,
  step: ServiceStep,
): Promise<Examined> {
  const { name, port } = step;
  if (!machine.live) return { step, outcome: "nothing", note: "left out: nothing is started for an image" };
  if (machine.look(`${wantsDir}/${name}`) === undefined) return { step, outcome: "make" };
  if (record.isPending(name) || !machine.listens(port) || !await isActive(machine, name)) {
    return { step, outcome: "change", note: restartNote };
  }
  if (!record.isPending(reloadMark(name))) return { step, outcome: "nothing" };
  return { step, outcome: "change", reloadOnly: true, note: reloadNote };
}

/** The same when the steps before it will have changed what it must be started again for, or reloaded. */
export function afterChanges(examined: Examined, again: boolean, reload: boolean): Examined {
  if (examined.outcome === "make") return examined;
  const { step } = examined;
  if (again || (examined.outcome === "change" && !examined.reloadOnly)) {
    return { step, outcome: "change", note: restartNote };
  }
  return reload ? { step, outcome: "change", reloadOnly: true, note: reloadNote } : examined;
}

/** Enables it, starts it again or reloads it, and waits until it listens. Throws OperationError when it does not. */
export async function bringAboutService(
  machine: Machine,
  { name, port }: ServiceStep,
  reloadOnly: boolean,
): Promise<void> {
  if (reloadOnly) await succeed(machine, name, ["reload", name]);
  else {
    await succeed(machine, name, ["enable", name]);
    await succeed(machine, name, ["restart", name]);
  }
  const endMs = performance.now() + listensMs;
  while (!machine.listens(port)) {
    if (performance.now() > endMs) throw await notWell(machine, name, `it does not listen at port ${port}`);
    await new Promise((done) => setTimeout(done, pollMs));
  }
  if (!await isActive(machine, name)) throw await notWell(machine, name, "it has ended");
}

async function isActive(machine: Machine, name: string): Promise<boolean> {
  const { stdout } = await machine.run("systemctl", ["show", name, "--property=ActiveState"]);
  return /^ActiveState=active$/m.test(stdout);
}

async function succeed(machine: Machine, name: string, args: string[]): Promise<void> {
  const { code, stderr } = await machine.run("systemctl", args, restartMs);
  if (code !== 0) throw await notWell(machine, name, stderr.trim() || `systemctl ended with ${code}`);
}

/** With the last lines of its log, which say more than systemd can. */
async function notWell(machine: Machine, name: string, why: string): Promise<OperationError> {
  const args = ["--no-pager", "--output=cat", "--lines=5", "--unit", name];
  const log = (await machine.run("journalctl", args)).stdout.trim();
  return new OperationError({
    ...{ operation: "start the service", place: name, cause: log === "" ? why : `${why}; it logged: ${log}` },
    remedy: `systemctl status ${name}, and its log, show more`,
  });
}
