/** What each kind of step means: how to see whether it is done, how to do it, how to take it away again. */
import { createHash } from "node:crypto";
import { OperationError } from "../agent/base/errors.ts";
import { hasOwnUser, hasUser, makeUser, numericAccess, removeUser } from "./accounts.ts";
import type { Machine } from "./machine.ts";
import { bringAboutService, examineService } from "./other_service.ts";
import { pairIs, replacePair } from "./pair.ts";
import { places, type Step, wantsDir } from "./plan.ts";
import type { InstallRecord } from "./record.ts";

/**
 * What a step takes: nothing; something that is not there; a change of what is there; for a file that a person has
 * edited, a new one beside it; and `removed` or `kept` when things are taken away.
 */
export type Outcome = "nothing" | "make" | "change" | "beside" | "remove" | "keep";

export interface Examined {
  step: Step;
  outcome: Outcome;
  /** What a person should know of it. */
  note?: string;
  /** Of a file that is not secret: what is there now, and what is to be. */
  before?: string;
  after?: string;
  /** Of a service: reading its files again is enough. */
  reloadOnly?: true;
}

type FileStep = Extract<Step, { kind: "file" }>;
type UnitStep = Extract<Step, { kind: "unit" }>;

/** Looks whether a step is done, and what it takes when it is not. */
export async function examine(machine: Machine, record: InstallRecord, step: Step): Promise<Examined> {
  const of = (outcome: Outcome): Examined => ({ step, outcome });
  switch (step.kind) {
    case "user":
      return of(hasUser(machine, step) ? "nothing" : "make");
    case "folder": {
      const found = machine.look(step.path);
      if (found === undefined) return of("make");
      if (found.type === "folder") return of(accessIs(machine, step) ? "nothing" : "change");
      throw new OperationError({
        ...{ operation: "make a folder", place: step.path, cause: `there is a ${found.type} of that name` },
        remedy: "move it away",
      });
    }
    case "file":
      return examineFile(machine, record, step);
    case "pair":
      if (pairIs(machine, step)) return of("nothing");
      return of(machine.look(step.certificate.path) === undefined ? "make" : "change");
    case "binary": {
      if (machine.look(step.path) === undefined) return of("make");
      const same = await machine.isCopy(step.path, step.source) && accessIs(machine, step);
      return of(same ? "nothing" : "change");
    }
    case "unit":
      return await examineUnit(machine, record, step);
    case "service":
      return await examineService(machine, record, step);
    case "package":
      return of(await hasPackage(machine, step.name) ? "nothing" : "make");
    case "command": {
      if (!machine.live) return { ...of("nothing"), note: "left out: nothing is run for an image" };
      const { code } = await machine.run(step.done.program, step.done.args);
      return of(code === 0 ? "nothing" : "make");
    }
  }
}

function examineFile(machine: Machine, record: InstallRecord, step: FileStep): Examined {
  const bytes = machine.read(step.path);
  const shown = step.secret ? {} : { before: bytes === undefined ? "" : textOf(bytes), after: step.content };
  if (bytes === undefined) return { step, outcome: "make", ...shown };
  if (sumOf(bytes) === sumOf(step.content)) {
    return { step, outcome: accessIs(machine, step) ? "nothing" : "change", ...shown };
  }
  if (step.secret) return { step, outcome: "change", note: "another secret takes the place of the old one" };
  if (record.wrote(step.path, sumOf(bytes)) || step.basedOn === sumOf(bytes)) {
    return { step, outcome: "change", ...shown };
  }
  const beside = machine.read(`${step.path}.new`);
  const there = beside !== undefined && sumOf(beside) === sumOf(step.content);
  const note =
    `${step.path} is not as the installer wrote it and stays as it is; the new one is ${step.path}.new`;
  return { step, outcome: there ? "nothing" : "beside", note, ...shown };
}

async function examineUnit(machine: Machine, record: InstallRecord, step: UnitStep): Promise<Examined> {
  if (machine.linkTarget(`${wantsDir}/${step.name}`) !== `${places.units}/${step.name}`) {
    return { step, outcome: "make" };
  }
  if (!machine.live) return { step, outcome: "nothing" };
  const shown = await machine.run("systemctl", [
    "show",
    step.name,
    "--property=ActiveState,NeedDaemonReload",
  ]);
  const well = /^ActiveState=active$/m.test(shown.stdout) && /^NeedDaemonReload=no$/m.test(shown.stdout);
  return { step, outcome: well && !record.isPending(step.name) ? "nothing" : "change" };
}

/** Does what `examine` has found to be missing. */
export async function bringAbout(machine: Machine, { step, outcome, reloadOnly }: Examined): Promise<void> {
  switch (step.kind) {
    case "user":
      return await makeUser(machine, step);
    case "folder":
      if (outcome === "make") return await machine.makeFolder(step.path, accessOf(machine, step));
      return await machine.setAccess(step.path, accessOf(machine, step));
    case "file": {
      const path = outcome === "beside" ? `${step.path}.new` : step.path;
      return await machine.write(path, new TextEncoder().encode(step.content), accessOf(machine, step));
    }
    case "pair":
      return await replacePair(machine, step);
    case "binary":
      return await machine.copy(step.source, step.path, accessOf(machine, step));
    case "unit":
      await machine.link(`${wantsDir}/${step.name}`, `${places.units}/${step.name}`);
      if (!machine.live) return;
      await machine.run("systemctl", ["daemon-reload"]);
      return await machine.start(step.name);
    case "service":
      return await bringAboutService(machine, step, reloadOnly ?? false);
    case "package":
      return await installPackage(machine, step.name);
    case "command":
      return await succeed(machine, step.run.program, step.run.args);
  }
}

/** Looks whether there is something to take away, and whether it may be. */
export function examineUndo(machine: Machine, step: Step, purge: boolean): Examined {
  const isThere = () => {
    switch (step.kind) {
      case "user":
        return hasUser(machine, step) || hasOwnUser(machine, step);
      case "folder":
      case "file":
      case "binary":
        return machine.look(step.path) !== undefined;
      case "pair":
        return machine.look(step.certificate.path) !== undefined || machine.look(step.key.path) !== undefined;
      case "unit":
        return machine.look(`${wantsDir}/${step.name}`) !== undefined ||
          machine.look(`${places.units}/${step.name}`) !== undefined;
      case "package":
      case "service":
        return true;
      case "command":
        return step.undo !== undefined && machine.live;
    }
  };
  if (!isThere()) return { step, outcome: "nothing" };
  if (step.keep && !purge) return { step, outcome: "keep" };
  if (step.kind === "package") {
    return { step, outcome: "keep", note: `apt-get purge ${step.name} removes it` };
  }
  if (step.kind === "service") return { step, outcome: "keep", note: "it is of another package" };
  if (step.kind === "user" && !hasOwnUser(machine, step)) {
    return { step, outcome: "keep", note: "the installer did not make this user" };
  }
  return { step, outcome: "remove" };
}

/** Undoes a step. */
export async function takeAway(machine: Machine, step: Step): Promise<void> {
  switch (step.kind) {
    case "user":
      return await removeUser(machine, step);
    case "folder":
      return await machine.remove(step.path);
    case "file":
    case "binary":
      for (const suffix of [".new", ".previous", ""]) await machine.remove(`${step.path}${suffix}`);
      return;
    case "pair":
      for (const { path } of [step.certificate, step.key]) await machine.remove(path);
      return;
    case "unit":
      if (machine.live) await stopUnit(machine, step.name);
      await machine.remove(`${wantsDir}/${step.name}`);
      return await machine.removeEmpty(wantsDir);
    case "command":
      return await succeed(machine, step.undo!.program, step.undo!.args);
    case "package":
    case "service":
      return;
  }
}

async function stopUnit(machine: Machine, name: string): Promise<void> {
  const { code, stderr } = await machine.run("systemctl", ["stop", name], 120_000);
  // a unit that systemd does not know is one that does not run
  if (code !== 0 && code !== 5) {
    throw new OperationError({
      ...{
        operation: "stop the service",
        place: name,
        cause: stderr.trim() || `systemctl ended with ${code}`,
      },
      remedy: `systemctl status ${name}`,
    });
  }
  await machine.run("systemctl", ["reset-failed", name]);
}

async function hasPackage(machine: Machine, name: string): Promise<boolean> {
  if (!machine.live) return machine.look(`/var/lib/dpkg/info/${name}.list`) !== undefined;
  const { stdout } = await machine.run("dpkg-query", ["-W", "-f", "${db:Status-Status}", name]);
  return stdout === "installed";
}

async function installPackage(machine: Machine, name: string): Promise<void> {
  if (machine.live) {
    return await succeed(
      machine,
      "apt-get",
      ["install", "--yes", "--no-install-recommends", name],
      1_800_000,
    );
  }
  throw new OperationError({
    ...{ operation: "install a package", place: name, cause: "nothing is run for an image" },
    remedy: "put the package into the image first",
  });
}

async function succeed(machine: Machine, program: string, args: string[], timeoutMs?: number): Promise<void> {
  const { code, stderr } = await machine.run(program, args, timeoutMs);
  if (code === 0) return;
  const cause = stderr.trim() || `it ended with ${code}`;
  throw new OperationError({ operation: `run ${program}`, place: args.join(" "), cause });
}

function accessOf(machine: Machine, step: Extract<Step, { access: unknown }>) {
  const access = numericAccess(machine, step.access);
  if (access !== undefined) return access;
  throw new Error(`there is no user ${step.access.owner}, or no group ${step.access.group}`);
}

/** Whether owner and mode of what is there are as they should be. */
function accessIs(machine: Machine, step: Extract<Step, { access: unknown }>): boolean {
  const wanted = numericAccess(machine, step.access);
  const found = machine.look(step.path);
  return wanted !== undefined && found !== undefined && found.mode === wanted.mode &&
    found.uid === wanted.uid && found.gid === wanted.gid;
}

/** SHA-256 in hexadecimal. */
export const sumOf = (content: Uint8Array | string) => createHash("sha256").update(content).digest("hex");
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
