/** Users and groups: by the system's own programs on the running machine, by the files they stand in for an image. */
import { OperationError } from "../agent/base/errors.ts";
import type { Machine, NumericAccess } from "./machine.ts";
import type { Access, Step } from "./plan.ts";

/** How the installer knows a user that it has made (passwd(5), comment). */
const mark = "sensorlog-agent";
const noLogin = "/usr/sbin/nologin";
/** Ids of system accounts on Debian, the highest first. */
const idsMax = 999;
const idsMin = 100;

type User = Extract<Step, { kind: "user" }>;

/** Numbers of owner and group, or undefined when the machine does not know one of them (yet). */
export function numericAccess(machine: Machine, { mode, owner, group }: Access): NumericAccess | undefined {
  const uid = numberOf(machine, "passwd", owner);
  const gid = numberOf(machine, "group", group);
  return uid === undefined || gid === undefined ? undefined : { mode, uid, gid };
}

/** Whether user and group are there. */
export function hasUser(machine: Machine, { name }: User): boolean {
  const files: AccountFile[] = machine.live ? ["passwd", "group"] : accountFiles(machine);
  return files.every((file) => lineOf(machine, file, name) !== undefined);
}

/** Whether they are there and were made here. */
export function hasOwnUser(machine: Machine, { name }: User): boolean {
  const user = lineOf(machine, "passwd", name);
  // killed between the two, uninstall finds a group without its user
  if (user === undefined) return lineOf(machine, "group", name) !== undefined;
  return user[4] === mark;
}

/** Makes group and user, or the one that is missing. */
export async function makeUser(machine: Machine, step: User): Promise<void> {
  const { name, home } = step;
  if (!machine.live) return await makeInImage(machine, step);
  if (lineOf(machine, "group", name) === undefined) {
    await succeed(machine, "groupadd", ["--system", name]);
  }
  if (lineOf(machine, "passwd", name) === undefined) {
    const options = ["--system", "--gid", name, "--home-dir", home, "--no-create-home"];
    await succeed(machine, "useradd", [...options, "--shell", noLogin, "--comment", mark, name]);
  }
}

/** Takes user and group away. */
export async function removeUser(machine: Machine, { name }: User): Promise<void> {
  if (!machine.live) {
    for (const file of accountFiles(machine).reverse()) {
      await edit(machine, file, (lines) => lines.filter((line) => line.split(":")[0] !== name));
    }
    return;
  }
  if (lineOf(machine, "passwd", name) !== undefined) await succeed(machine, "userdel", [name]);
  // userdel leaves it where somebody else is in it
  if (lineOf(machine, "group", name) !== undefined) await succeed(machine, "groupdel", [name]);
}

type AccountFile = "group" | "gshadow" | "passwd" | "shadow";

/** Those that the machine has, the group first: a user without a group would be worse than a group without a user. */
function accountFiles(machine: Machine): AccountFile[] {
  const all: AccountFile[] = ["group", "gshadow", "passwd", "shadow"];
  return all.filter((file) =>
    file === "group" || file === "passwd" || machine.look(`/etc/${file}`) !== undefined
  );
}

async function makeInImage(machine: Machine, { name, home }: User): Promise<void> {
  const own = numberOf(machine, "passwd", name) ?? numberOf(machine, "group", name);
  const gid = numberOf(machine, "group", name) ?? own ?? freeId(machine);
  const uid = numberOf(machine, "passwd", name) ?? (own === undefined ? gid : freeId(machine, gid));
  const lines: Record<AccountFile, string> = {
    group: `${name}:x:${gid}:`,
    gshadow: `${name}:!::`,
    passwd: `${name}:x:${uid}:${gid}:${mark}:${home}:${noLogin}`,
    shadow: `${name}:!:::::::`,
  };
  for (const file of accountFiles(machine)) {
    if (lineOf(machine, file, name) !== undefined) continue;
    await edit(machine, file, (present) => [...present, lines[file]]);
  }
}

/** One that neither a user nor a group has; `wanted` when no user has it. */
function freeId(machine: Machine, wanted?: number): number {
  const used = (file: AccountFile) => linesOf(machine, file).map((line) => Number(line.split(":")[2]));
  const users = new Set(used("passwd"));
  if (wanted !== undefined && !users.has(wanted)) return wanted;
  const groups = new Set(used("group"));
  for (let id = idsMax; id >= idsMin; id--) if (!users.has(id) && !groups.has(id)) return id;
  throw new OperationError({
    ...{ operation: "make a user", place: "/etc/passwd", cause: "all ids of system accounts are in use" },
    remedy: "remove accounts that nobody needs",
  });
}

function linesOf(machine: Machine, file: AccountFile): string[] {
  const content = machine.read(`/etc/${file}`);
  if (content === undefined) return [];
  return new TextDecoder().decode(content).split("\n").filter((line) => line !== "");
}

function lineOf(machine: Machine, file: AccountFile, name: string): string[] | undefined {
  return linesOf(machine, file).map((line) => line.split(":")).find(([first]) => first === name);
}

function numberOf(machine: Machine, file: "passwd" | "group", name: string): number | undefined {
  if (name === "root") return 0;
  const id = lineOf(machine, file, name)?.[2];
  return id === undefined ? undefined : Number(id);
}

/** Replaces one of the files when `change` does change it. */
async function edit(
  machine: Machine,
  file: AccountFile,
  change: (lines: string[]) => string[],
): Promise<void> {
  const path = `/etc/${file}`;
  const before = linesOf(machine, file);
  const after = change(before);
  if (after.length === before.length) return;
  const { mode, uid, gid } = machine.look(path) ?? { mode: 0o644, uid: 0, gid: 0 };
  const text = after.map((line) => `${line}\n`).join("");
  await machine.write(path, new TextEncoder().encode(text), { mode, uid, gid });
}

async function succeed(machine: Machine, program: string, args: string[]): Promise<void> {
  const { code, stderr } = await machine.run(program, args);
  if (code === 0) return;
  throw new OperationError({
    ...{ operation: `run ${program}`, place: args.at(-1)! },
    cause: stderr.trim() || `it ended with ${code}`,
  });
}
