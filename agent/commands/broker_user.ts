/** `broker user add`, `remove` and `list`. */
import { dirname, resolve } from "node:path";
import { apply } from "../../installer/apply.ts";
import { agentAccount } from "../../installer/broker/acl.ts";
import { LastSeen, type Seen } from "../../installer/broker/last_seen.ts";
import { logFileOf, readLogLines } from "../../installer/broker/log_lines.ts";
import { makePassword, passwordFault } from "../../installer/broker/passwords.ts";
import { confFiles, tlsListener } from "../../installer/broker/in_force.ts";
import { shownSha256 } from "../../installer/broker/shown.ts";
import {
  type Accounts,
  readAccounts,
  sensorFilterFault,
  sensorNameFault,
  userSteps,
  withAccount,
  withoutAccount,
} from "../../installer/broker/users.ts";
import type { Machine } from "../../installer/machine.ts";
import { safeJson, safeText } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { type Lock, lockFile } from "../base/lock.ts";
import { sensorSettings, writeSettings } from "./broker_settings.ts";
import type { CommonOptions, Host } from "./describe.ts";
import { contentOf } from "./install_answers.ts";
import { installerMachine } from "./installer_machine.ts";
import { table } from "./table.ts";
import { outLines } from "./terminal.ts";

export interface AddUserOptions extends CommonOptions {
  topics?: string[];
  passwordFile?: string;
  settings?: string;
  address?: string;
}

/** Ends with 0 when the account is there and Mosquitto knows it. */
export async function addUser(host: Host, name: string, options: AddUserOptions): Promise<number> {
  const operation = "add an account";
  assertName(operation, name);
  assertFilters(operation, options.topics ?? []);
  const given = await passwordOf(operation, options.passwordFile);
  return await changing(host, operation, async (machine) => {
    const standing = readAccounts(machine);
    const present = standing.topics.find((one) => one.name === name);
    const isThere = standing.accounts.has(name);
    if (isThere) assertChange(operation, name, options);
    if (standing.aclPresent === undefined && options.topics !== undefined) throw noList(operation);
    const password = given ?? (isThere ? undefined : makePassword());
    const topics = options.topics ?? present?.write ?? [`${name}/#`];
    const settings = options.settings === undefined
      ? undefined
      : sensorSettings(machine, { user: name, password: password!, topics, address: options.address });
    // the account without its file would be of no use: what can go wrong does so before anything is changed
    if (settings !== undefined) await writeSettings(machine, options.settings!, settings);
    try {
      await bringAbout(host, machine, withAccount(standing, name, topics, password));
    } catch (error) {
      if (settings !== undefined) await machine.remove(resolve(options.settings!));
      throw error;
    }
    const isFree = standing.aclPresent === undefined;
    await tellAdded(host, { name, topics, isFree, password, given: given !== undefined, options });
    return 0;
  });
}

interface Added {
  name: string;
  topics: string[];
  /** There is no access list. */
  isFree: boolean;
  password: string | undefined;
  given: boolean;
  options: AddUserOptions;
}

async function tellAdded(
  { terminal }: Host,
  { name, topics, isFree, password, given, options }: Added,
): Promise<void> {
  const isNew = password !== undefined && !given;
  const { settings, json } = options;
  if (json) {
    await terminal.out(
      `${safeJson({ name, topics, ...(isNew ? { password } : {}), ...(settings ? { settings } : {}) })}\n`,
    );
    return;
  }
  const rights = isFree
    ? "may read and write everything, as every account of this broker: it has no access list"
    : `may write ${topics.map(safeText).join(", ")} and read nothing`;
  const lines = [`${name} ${rights}`];
  if (isNew) {
    lines.push(`password: ${password}`, "It is shown this once; the broker keeps a hash of it only.");
  }
  if (settings !== undefined) {
    lines.push(`what the sensor needs is in ${safeText(settings)}, its password too`);
  }
  await outLines(terminal, lines);
}

/** Ends with 0 when the account is gone and Mosquitto has been told. */
export async function removeUser(host: Host, name: string, options: CommonOptions): Promise<number> {
  const operation = "remove an account";
  assertName(operation, name);
  return await changing(host, operation, async (machine) => {
    const standing = readAccounts(machine);
    const isThere = standing.accounts.has(name) || standing.topics.some((one) => one.name === name);
    // also when it is gone already: the broker may not have been told
    await bringAbout(host, machine, withoutAccount(standing, name));
    if (!isThere) {
      throw new OperationError({
        ...{ operation, place: name, cause: "there is no such account" },
        remedy: "sudo sensorlog-agent broker user list shows them",
      });
    }
    await host.terminal.out(options.json ? `${safeJson({ name, removed: true })}\n` : `${name} is removed\n`);
    return 0;
  });
}

/** Lists the accounts, the agent's too. Always ends with 0. */
export async function listUsers({ terminal, version }: Host, options: CommonOptions): Promise<number> {
  assertRoot("list accounts");
  const machine = installerMachine({ terminal, version }, () => Promise.resolve());
  const { accounts, topics, aclPresent } = readAccounts(machine);
  const log = logFileOf(confFiles(machine));
  const seen = new LastSeen();
  if (log !== undefined) await readLogLines(log, (line) => seen.line(line));
  const rows = [...accounts.keys()].sort().map((name) => {
    const own = aclPresent === undefined ? everything : topics.find((one) => one.name === name);
    return { name, writes: own?.write ?? [], reads: own?.read ?? [], seen: seen.accounts.get(name) };
  });
  if (options.json) {
    await outLines(
      terminal,
      rows.map(({ seen, ...row }) =>
        safeJson({
          ...row,
          connected: seen?.connected ?? false,
          lastSeen: seen === undefined ? null : new Date(seen.lastMs).toISOString(),
        })
      ),
    );
    return 0;
  }
  const lines = rows.map((
    { name, writes, reads, seen },
  ) => [name, listed(writes), listed(reads), seenText(seen)]);
  await outLines(terminal, table([["account", "writes", "reads", "last seen"], ...lines]));
  return 0;
}

const everything = { read: ["#"], write: ["#"] };

const listed = (filters: string[]) => filters.length === 0 ? "-" : filters.map(safeText).join(", ");

function seenText(seen: Seen | undefined): string {
  if (seen === undefined) return "not in Mosquitto's log";
  const time = new Date(seen.lastMs).toISOString().replace(/\.\d+Z$/, "Z");
  return seen.connected ? `connected since ${time}` : time;
}

/** One change at a time: of two at once, one would be lost. */
async function changing(
  host: Host,
  operation: string,
  change: (machine: Machine) => Promise<number>,
): Promise<number> {
  assertRoot(operation);
  const machine = installerMachine(host, () => Promise.resolve());
  const { passwords } = readAccounts(machine).files;
  const lock = lockFile(dirname(passwords));
  if (lock === "taken" || lock === "impossible") throw busy(operation, passwords, lock);
  try {
    return await change(machine);
  } finally {
    lock.release();
  }
}

function noList(operation: string): ConfigError {
  return new ConfigError({
    ...{
      operation,
      place: "--topics",
      cause: "this broker has no access list: every account may do everything",
    },
    remedy: "leave it out, or give Mosquitto an acl_file first",
  });
}

function busy(
  operation: string,
  place: string,
  why: Exclude<ReturnType<typeof lockFile>, Lock>,
): OperationError {
  return new OperationError({
    ...{ operation, place, retryable: why === "taken" },
    cause: why === "taken"
      ? "another command is changing the accounts"
      : "the system offers no way to lock it",
    ...(why === "taken" ? { remedy: "wait a moment and try again" } : {}),
  });
}

async function bringAbout({ terminal }: Host, machine: Machine, wanted: Accounts): Promise<void> {
  const listener = tlsListener(confFiles(machine));
  const onStep = () => Promise.resolve();
  const running = { machine, signal: terminal.stop, command: "broker user", onStep };
  await apply(userSteps(wanted, listener.port), running);
  // A reload returns before Mosquitto has read anything. It does so between two rounds of its loop, and accepts a
  // connection in one and answers it in the next: who has been answered knows that it is done.
  await shownSha256(listener);
}

async function passwordOf(operation: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const password = (await contentOf("--password-file", file, true, operation)).slice(0, -1);
  const fault = passwordFault(password);
  if (fault === undefined) return password;
  throw new ConfigError({ operation, place: `--password-file ${file}`, cause: `the password ${fault}` });
}

/** A sensor in the field must not lose its password because somebody looked for another one. */
function assertChange(
  operation: string,
  name: string,
  { topics, passwordFile, settings }: AddUserOptions,
): void {
  const refuse = (cause: string, remedy: string) => {
    throw new ConfigError({ operation, place: name, cause, remedy });
  };
  if (settings !== undefined && passwordFile === undefined) {
    refuse("its password is not known any more, so it can't go into a file", "name it with --password-file");
  }
  if (topics === undefined && passwordFile === undefined) {
    const remedy = "--topics changes what it may write, --password-file its password; or remove it first";
    refuse("there is an account of that name", remedy);
  }
}

function assertName(operation: string, name: string): void {
  const fault = sensorNameFault(name);
  if (fault === undefined) return;
  const remedy = name === agentAccount ? "take another name" : "such as kitchen or hall-2.north";
  throw new ConfigError({ operation, place: JSON.stringify(name), cause: `the name ${fault}`, remedy });
}

function assertFilters(operation: string, filters: string[]): void {
  for (const filter of filters) {
    const fault = sensorFilterFault(filter);
    if (fault === undefined) continue;
    const remedy = "such as hall/s1/# or hall/+/t";
    throw new ConfigError({
      operation,
      place: `--topics ${JSON.stringify(filter)}`,
      cause: `it ${fault}`,
      remedy,
    });
  }
}

function assertRoot(operation: string): void {
  if (Deno.uid() === 0) return;
  throw new OperationError({
    ...{ operation, place: `user id ${Deno.uid()}`, cause: "only root may do that" },
    remedy: "sudo sensorlog-agent broker user …",
  });
}
