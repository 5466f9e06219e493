/**
 * Mosquitto's access list (mosquitto.conf(5), acl_file): for each account the topic filters that it may read and write.
 * Pure. Whoever has an account and stands in no line may do nothing.
 */
import { OperationError } from "../../agent/base/errors.ts";
import { topicFilterFault } from "../../agent/base/topic_filter.ts";

/** What an account may do, as topic filters. */
export interface AccountTopics {
  name: string;
  read: string[];
  write: string[];
}

/** The account of the agent itself. */
export const agentAccount = "agent";

/** Why a text can't be the name of an account, as the rest of a sentence; or undefined. */
export function accountNameFault(name: string): string | undefined {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) return "has to be 1 to 64 letters, digits, points, _ or -";
  return undefined;
}

/** Why a filter can't stand in the list, as the rest of a sentence; or undefined. */
export function aclFilterFault(filter: string): string | undefined {
  const fault = topicFilterFault(filter);
  if (fault !== undefined) return fault;
  if (/\p{Cc}/u.test(filter)) return "holds a control character";
  // Mosquitto takes blanks off both ends of a line, and what begins with $share is no filter of an access list
  if (filter.trim() !== filter) return "begins or ends with a blank";
  if (filter.startsWith("$share/")) return "is a shared subscription";
  return undefined;
}

/** What the agent may: read all, `$SYS/#` too, which `#` does not match, and write what stands under its status topic. */
export function agentTopics(statusTopic: string): AccountTopics {
  return { name: agentAccount, read: ["#", "$SYS/#"], write: [`${statusTopic}/#`] };
}

/** The list as Mosquitto reads it. Throws OperationError for a name or filter that would change its meaning. */
export function aclText(accounts: AccountTopics[]): string {
  const lines = ["# Made by sensorlog-agent. To change it: sensorlog-agent broker user add, remove"];
  const seen = new Set<string>();
  for (const { name, read, write } of accounts) {
    assertNot(accountNameFault(name), `account ${JSON.stringify(name)}`);
    assertNot(seen.has(name) ? "stands there twice" : undefined, `account ${name}`);
    seen.add(name);
    for (const filter of [...read, ...write]) {
      assertNot(aclFilterFault(filter), `filter ${JSON.stringify(filter)} of ${name}`);
    }
    lines.push("", `user ${name}`);
    for (const filter of read) lines.push(`topic read ${filter}`);
    for (const filter of write) lines.push(`topic write ${filter}`);
  }
  return lines.join("\n") + "\n";
}

/**
 * Reads such a list: accounts in their order, each once. Throws OperationError for lines that mean more than
 * AccountTopics can say (`pattern`, `deny`, rights for all), so that no right is lost when it is written again.
 */
export function parseAcl(text: string): AccountTopics[] {
  const accounts = new Map<string, AccountTopics>();
  let current: AccountTopics | undefined;
  for (const [at, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, word, rest] = /^(\S+) +(.+)$/.exec(line) ?? [];
    if (word === "user") {
      current = accounts.get(rest!) ?? { name: rest!, read: [], write: [] };
      assertLine(accountNameFault(rest!), at);
      accounts.set(rest!, current);
    } else if (word === "topic" && current !== undefined) addTopic(current, rest!, at);
    else assertLine(word === "topic" ? "gives a right to everybody" : "is of another kind", at);
  }
  return [...accounts.values()];
}

function addTopic(account: AccountTopics, rest: string, at: number): void {
  const [, access, filter] = /^(?:(read|write|readwrite|deny) +)?(.*)$/.exec(rest)!;
  assertLine(access === "deny" ? "takes a right away" : aclFilterFault(filter!), at);
  const both = access === undefined || access === "readwrite";
  if (both || access === "read") addOnce(account.read, filter!);
  if (both || access === "write") addOnce(account.write, filter!);
}

function addOnce(filters: string[], filter: string): void {
  if (!filters.includes(filter)) filters.push(filter);
}

function assertLine(fault: string | undefined, at: number): void {
  if (fault === undefined) return;
  throw new OperationError({
    ...{ operation: "read the broker's access list", place: `line ${at + 1}`, cause: `it ${fault}` },
    remedy: "such a line was not written by this program: remove it, or change the list by hand from now on",
  });
}

function assertNot(fault: string | undefined, place: string): void {
  if (fault === undefined) return;
  throw new OperationError({ operation: "write the broker's access list", place, cause: `it ${fault}` });
}
