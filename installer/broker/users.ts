/** Accounts of sensors: who there is and what becomes of them. Pure but for reading; `plan_broker.ts` makes steps of it. */
import { OperationError } from "../../agent/base/errors.ts";
import { topicFilterFault } from "../../agent/base/topic_filter.ts";
import type { Machine } from "../machine.ts";
import type { Step } from "../plan.ts";
import { accountNameFault, type AccountTopics, aclFilterFault, agentAccount, parseAcl } from "./acl.ts";
import { hashPassword, parsePasswords, verifies } from "./passwords.ts";
import { filesInForce } from "./in_force.ts";
import { accountSteps } from "./plan_broker.ts";
import { brokerUnit } from "./places.ts";

/** What stands in the two files that Mosquitto works with. */
export interface Accounts {
  accounts: Map<string, string>;
  topics: AccountTopics[];
  /** Undefined: there is no access list, and every account may read and write everything. */
  aclPresent: string | undefined;
  files: { passwords: string; acl: string | undefined };
}

/** Reads them. Throws OperationError when this machine's broker has none. */
export function readAccounts(machine: Machine): Accounts {
  const { passwords, acl } = filesInForce(machine);
  const text = (path: string) => {
    const bytes = machine.read(path);
    if (bytes !== undefined) return new TextDecoder().decode(bytes);
    throw new OperationError({
      ...{ operation: "read the broker's accounts", place: path, cause: "it is not there" },
      remedy: "set the broker up first: sudo sensorlog-agent broker init",
    });
  };
  const accounts = parsePasswords(text(passwords));
  const aclPresent = acl === undefined ? undefined : text(acl);
  return { accounts, topics: parseAcl(aclPresent ?? ""), aclPresent, files: { passwords, acl } };
}

/** Why an account of this name can't be made or removed, as the rest of a sentence; or undefined. */
export function sensorNameFault(name: string): string | undefined {
  if (name === agentAccount) return "is the agent's own";
  return accountNameFault(name);
}

/** Why a sensor can't be allowed to write what a filter matches, as the rest of a sentence; or undefined. */
export function sensorFilterFault(filter: string): string | undefined {
  const fault = topicFilterFault(filter) ?? aclFilterFault(filter);
  if (fault !== undefined) return fault;
  return filter.startsWith("$") ? "begins with $, where the broker alone writes" : undefined;
}

/**
 * With an account that may write these topics and read nothing. The hash of one that is there stays when it is that of the
 * password, or when there is no password.
 */
export function withAccount(
  { accounts, topics, ...rest }: Accounts,
  name: string,
  filters: string[],
  password: string | undefined,
): Accounts {
  const present = accounts.get(name);
  const stays = present !== undefined && (password === undefined || verifies(present, password));
  const hashes = new Map(accounts);
  if (!stays) hashes.set(name, hashPassword(password!));
  const own: AccountTopics = { name, read: [], write: filters };
  const known = topics.some((one) => one.name === name);
  const next = known
    ? topics.map((one) => one.name === name ? { ...own, read: one.read } : one)
    : [...topics, own];
  return { accounts: hashes, topics: next, ...rest };
}

/** Without an account. */
export function withoutAccount({ accounts, topics, ...rest }: Accounts, name: string): Accounts {
  const hashes = new Map(accounts);
  hashes.delete(name);
  return { accounts: hashes, topics: topics.filter((one) => one.name !== name), ...rest };
}

/**
 * What brings the accounts about. A new account has its topics before it can come in, and one that goes loses them first:
 * whenever it is cut off, nobody has more than before, and nobody else has less.
 */
export function userSteps(wanted: Accounts, port: number): Step[] {
  const { passwords, acl } = wanted.files;
  const steps = accountSteps(wanted).flatMap((step): Step[] => {
    if (step.id === "broker-acl") return acl === undefined ? [] : [{ ...step, path: acl } as Step];
    return [{ ...step, path: passwords } as Step];
  });
  return [...steps, {
    ...{ kind: "service", id: "broker", what: "Mosquitto with these accounts", name: brokerUnit, port },
    ...{ startAgainAfter: [], reloadAfter: ["broker-acl", "broker-passwords"] },
  }];
}

/** The part of a filter before its first wildcard, as a prefix for topics. */
export function topicPrefix(filter: string): string {
  const levels = filter.split("/");
  const wild = levels.findIndex((level) => level === "+" || level === "#");
  return (wild < 0 ? levels : levels.slice(0, wild)).join("/");
}
