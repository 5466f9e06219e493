/** What keys mean to each other: which go together, which exclude each other. */
import { resolve } from "node:path";
import { hostOf, isLoopback, listenAddress } from "./addresses.ts";
import type { Look, Report } from "./look.ts";
import { spoolDirDefault, storeDirDefault } from "./defaults.ts";
import { labelNameFault, outputKeys, outputNamePattern, outputTypes } from "./schema.ts";

/** A socket's path has 108 bytes, the last of them 0 (unix(7)). */
const socketPathBytesMax = 107;

/**
 * Reports what contradicts each other, also when other keys are wrong by themselves. `embedded`: without a broker the
 * agent's own is used.
 */
export function checkRelations(
  look: Look,
  report: Report,
  warn: Report,
  { socket, embedded }: { socket: string; embedded: boolean },
): void {
  checkLabels(look, report);
  if (look.has(["mqtt", "listen"])) checkOwnBroker(look, report);
  else checkBroker(look, report, warn, embedded);
  for (const name of look.keys(["outputs"])) checkOutput(name, look, report, warn);
  checkStores(look, report);
  if (new TextEncoder().encode(socket).length > socketPathBytesMax) {
    report(
      ["spool", "dir"],
      `the path is too long: the agent's socket in it would have more than ${socketPathBytesMax} bytes`,
    );
  }
}

function checkLabels(look: Look, report: Report): void {
  const pattern = look.text(["labels_from_topic"]) ?? "";
  const fromTopic = [...pattern.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1]!);
  for (const name of look.keys(["labels"])) {
    const fault = labelNameFault(name);
    if (fault !== undefined) report(["labels", name], fault);
    if (fromTopic.includes(name)) {
      report(["labels", name], "labels_from_topic gives the same label; keep one of the two");
    }
  }
}

/** Keys of a connection to a broker, which mean nothing to the agent's own. */
const connectionKeys = [
  "ca_file",
  "fingerprint_sha256",
  "client_id",
  "qos",
  "status_topic",
  "keep_alive",
];

/** `listen`: the account and the certificate beside it are what the agent's own broker asks for and shows. */
function checkOwnBroker(look: Look, report: Report): void {
  const key = (name: string) => ["mqtt", name];
  const has = (name: string) => look.has(key(name));
  if (has("url")) {
    report(
      key("listen"),
      "url stands beside it; keep url for a broker that runs already, listen for the agent's own",
    );
  }
  for (const name of connectionKeys.filter(has)) {
    report(
      key(name),
      "this belongs to a connection to mqtt.url, and listen opens the agent's own broker; remove one",
    );
  }
  checkPair(key("username"), key("password_file"), look, report);
  checkPair(key("cert_file"), key("key_file"), look, report);
  const host = listenAddress(look.text(key("listen")) ?? "")?.host;
  if (host === undefined || isLoopback(host)) return; // a wrong one was said by the schema
  const missing = ["username", "password_file", "cert_file", "key_file"].filter((name) => !has(name));
  if (missing.length > 0) {
    report(
      key("listen"),
      `the network reaches the broker at ${host}, which takes a password and TLS: ${
        missing.join(", ")
      } missing; ` +
        "write them, or listen on 127.0.0.1",
    );
  }
}

function checkBroker(look: Look, report: Report, warn: Report, embedded: boolean): void {
  const key = (name: string) => ["mqtt", name];
  const has = (name: string) => look.has(key(name));
  const address = hostOf(look.text(key("url")) ?? "");
  if (!has("url") && !embedded) {
    warn(["mqtt"], "url is missing: no broker is configured, so nothing will be received");
  }
  if (address?.scheme === "mqtt") {
    for (const name of ["ca_file", "fingerprint_sha256", "cert_file", "key_file"].filter(has)) {
      report(
        key(name),
        "this needs TLS, and the URL begins with mqtt://; write mqtts:// there, or remove this",
      );
    }
    if (has("password_file") && !isLoopback(address.host)) {
      warn(key("url"), "the password crosses the network in the clear; mqtts:// would protect it");
    }
  }
  if (has("ca_file") && has("fingerprint_sha256")) {
    report(
      key("fingerprint_sha256"),
      "ca_file stands beside it; keep the one that the broker is to be known by",
    );
  }
  checkPair(key("cert_file"), key("key_file"), look, report);
  if (has("password_file") && !has("username")) {
    report(key("password_file"), "username is missing; MQTT knows no password without one");
  }
}

function checkOutput(name: string, look: Look, report: Report, warn: Report): void {
  const here = ["outputs", name];
  const key = (part: string) => [...here, part];
  const has = (part: string) => look.has(key(part));
  if (!outputNamePattern.test(name)) {
    report(here, "an output's name has at most 63 of a-z, 0-9, _ and -, and begins with a letter or digit");
  }
  const section = look.at(here);
  if (typeof section !== "object" || section === null) return; // said by the schema
  if (!has("type")) report(here, `type is missing; allowed: ${outputTypes.join(", ")}`);
  const type = outputTypes.find((one) => one === (look.at(key("type")) ?? "elasticsearch"));
  if (type === undefined) return; // said by the schema
  for (const part of Object.entries(outputKeys).flatMap(([of, keys]) => of === type ? [] : keys)) {
    if (has(part)) report(key(part), `this belongs to another type of output than ${type}; remove it`);
  }
  if (type === "elasticsearch") checkElasticsearch(here, look, report, warn);
}

function checkElasticsearch(here: string[], look: Look, report: Report, warn: Report): void {
  const key = (part: string) => [...here, part];
  const has = (part: string) => look.has(key(part));
  if (!has("urls")) report(here, "urls is missing; allowed: a list such as [https://10.8.0.1:9200]");
  const addresses = look.texts(key("urls")).map(hostOf).filter((one) => one !== undefined);
  if (has("ca_file") && addresses.length > 0 && addresses.every((one) => one.scheme === "http")) {
    report(
      key("ca_file"),
      "this needs TLS, and no URL begins with https://; write https:// there, or remove this",
    );
  }
  for (const other of ["username", "password_file"].filter(has)) {
    if (has("api_key_file")) {
      report(key(other), "api_key_file stands beside it; keep the key, or user and password");
    }
  }
  checkPair(key("username"), key("password_file"), look, report);
  if (has("index") && has("data_stream")) {
    report(key("data_stream"), "index stands beside it; keep one of the two");
  }
  const secret = has("api_key_file") || has("password_file");
  const open = addresses.find((one) => one.scheme === "http" && !isLoopback(one.host));
  if (secret && open !== undefined) {
    warn(key("urls"), "the output's secret crosses the network in the clear; https:// would protect it");
  }
}

/** Each local output has a folder of its own, which is not the spool's either. */
function checkStores(look: Look, report: Report): void {
  const spoolDir = resolve(look.text(["spool", "dir"]) ?? spoolDirDefault);
  const owners = new Map<string, string>();
  for (const name of look.keys(["outputs"])) {
    if (look.at(["outputs", name, "type"]) !== "local") continue;
    const path = ["outputs", name, "dir"];
    const dir = resolve(look.text(path) ?? storeDirDefault);
    const other = owners.get(dir);
    if (other !== undefined) report(path, `the output ${other} has this folder already; give each its own`);
    if (dir === spoolDir || dir.startsWith(`${spoolDir}/`)) {
      report(path, "this is the spool's folder; give the store one of its own");
    }
    owners.set(dir, name);
  }
}

/** Two keys that need each other. */
function checkPair(one: string[], other: string[], look: Look, report: Report): void {
  for (const [has, lacks] of [[one, other], [other, one]] as const) {
    if (look.has(has) && !look.has(lacks)) report(has, `${lacks.at(-1)} is missing, which belongs to it`);
  }
}
