/** The agent's own configuration when it is to be connected to the broker of this machine. */
import { hostname } from "node:os";
import { withMqtt } from "../../installer/agent_yaml.ts";
import { type Answers, fileNames, needsOf } from "../../installer/config_text.ts";
import { sumOf } from "../../installer/kinds.ts";
import type { Machine } from "../../installer/machine.ts";
import { type NamedFile, places, type Wish } from "../../installer/plan.ts";
import { InstallRecord, recordPath } from "../../installer/record.ts";
import { plantOf } from "../config/defaults.ts";
import { Look } from "../config/look.ts";
import { parseYaml } from "../config/yaml.ts";
import { assertValid, wishOf } from "./install_wish.ts";

/** How the agent is to reach the broker. */
export interface AtBroker {
  url: string;
  /** Path of the CA, and what will stand there. */
  caFile: string;
  caPem: string;
  username: string;
  password: string;
  statusTopic: string;
}

export interface AgentWish {
  wish: Wish;
  /** For the record; undefined when a person's configuration is changed and not made anew. */
  answers: Answers | undefined;
}

/** What the agent may publish below: what its configuration says, else `sensorlog/PLANT`. */
export function statusTopicFor(machine: Machine, record: InstallRecord): string {
  const present = machine.read(places.config);
  const own = present === undefined || record.wrote(places.config, sumOf(present));
  const earlier = record.answers as Answers;
  const look = new Look(present === undefined || own ? {} : parseYaml(present).value);
  const plant = look.text(["plant"]) ?? earlier.plant ?? plantOf(hostname());
  return look.text(["mqtt", "status_topic"]) ?? (own ? earlier.statusTopic : undefined) ??
    `sensorlog/${plant}`;
}

/**
 * The wish of `install` with the agent at this broker. A configuration that the installer made is made anew from what was
 * answered; one that a person wrote gets these keys and stays theirs. Throws ConfigError when it would not be valid.
 */
export function agentAtBroker(
  machine: Machine,
  record: InstallRecord,
  source: string,
  at: AtBroker,
): AgentWish {
  const secret: NamedFile = { name: fileNames.password, content: `${at.password}\n`, secret: true };
  const present = machine.read(places.config);
  if (present !== undefined && !record.wrote(places.config, sumOf(present))) {
    return { wish: editedWish(machine, source, present, at, secret), answers: undefined };
  }
  const { brokerCa: _old, ...earlier } = record.answers as Answers;
  const answers: Answers = {
    ...{ ...earlier, broker: at.url, brokerCaPath: at.caFile, username: at.username, password: true },
    statusTopic: at.statusTopic,
  };
  const coming = { [at.caFile]: at.caPem };
  return { wish: wishOf(machine, record, source, { answers, files: [secret], coming }), answers };
}

function editedWish(
  machine: Machine,
  source: string,
  present: Uint8Array,
  at: AtBroker,
  secret: NamedFile,
): Wish {
  const config = withMqtt(new TextDecoder().decode(present), {
    url: at.url,
    ca_file: at.caFile,
    fingerprint_sha256: undefined,
    username: at.username,
    password_file: secret.name,
    status_topic: at.statusTopic,
  });
  const others = filesBeside(machine).filter(({ name }) => name !== secret.name);
  const remedy = `put ${places.config} right, or move it away; nothing was changed`;
  assertValid(config, [...others, secret], { [at.caFile]: at.caPem }, remedy);
  const needs = needsOf(new TextEncoder().encode(config));
  return { source, config, configBasedOn: sumOf(present), files: [secret], ...needs };
}

/** What the configuration may name by its name alone: certificates as they are, of everything else that it is there. */
function filesBeside(machine: Machine): NamedFile[] {
  const known = [places.config, recordPath].map((path) => path.slice(places.configDir.length + 1));
  return (machine.list(places.configDir) ?? []).flatMap((name) => {
    const path = `${places.configDir}/${name}`;
    if (known.includes(name) || machine.look(path)?.type !== "file") return [];
    const content = new TextDecoder().decode(machine.read(path));
    return [{ name, content, secret: !content.includes("-----BEGIN CERTIFICATE-----") }];
  });
}
