/** Which files of the machine a backup of the broker holds, and under which names. */
import { normalize } from "node:path";
import { OperationError } from "../../agent/base/errors.ts";
import { Look } from "../../agent/config/look.ts";
import { parseYaml } from "../../agent/config/yaml.ts";
import { withMqtt } from "../agent_yaml.ts";
import type { Machine } from "../machine.ts";
import { places } from "../plan.ts";
import { accountNameFault, aclText } from "./acl.ts";
import { dropInText, queuedBytesFor, settingsOf } from "./conf.ts";
import { confFiles, type FilesInForce } from "./in_force.ts";
import { parsePasswords } from "./passwords.ts";
import { brokerPlaces } from "./places.ts";
import { readPki } from "./pki_files.ts";

/** Names in a backup, and where each stands on a machine. What agent.yaml names is `config/NAME` beside them. */
export const backupNames = {
  "pki/ca.crt": brokerPlaces.caCertificate,
  "pki/ca.key": brokerPlaces.caKey,
  "pki/next-ca.key": brokerPlaces.nextCaKey,
  "broker/broker.crt": brokerPlaces.certificate,
  "broker/broker.key": brokerPlaces.key,
  "broker/passwords": brokerPlaces.passwords,
  "broker/acl": brokerPlaces.acl,
  "broker/sensorlog.conf": brokerPlaces.dropIn,
  "config/agent.yaml": places.config,
} as const;

export type BackupName = keyof typeof backupNames;

/** Without them there is no broker to be brought back. */
export const neededNames: BackupName[] = [
  "pki/ca.crt",
  "broker/broker.crt",
  "broker/broker.key",
  "broker/passwords",
  "broker/acl",
  "broker/sensorlog.conf",
  "config/agent.yaml",
];

/** In the folder of the configuration or in that of the certificates: a name that leads nowhere else. */
const safeName = /^(pki\/)?[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

export interface Collected {
  files: Map<string, Uint8Array>;
  /** What a person should know of it: what is not in it, and why. */
  notes: string[];
}

/**
 * Reads them; of an adopted installation as they would stand had `broker init` made it. Throws OperationError when a file is
 * missing without which the broker can't be brought back.
 */
export function collectFiles(machine: Machine): Collected {
  const { files: inForce } = readPki(machine);
  const notes: string[] = [];
  const made = inForce.isOurs ? {} : adoptedFiles(machine, inForce);
  if (!inForce.isOurs) {
    notes.push(`restored, Mosquitto has its settings in ${brokerPlaces.dropIn} and listens at the same port`);
  }
  const files = new Map<string, Uint8Array>();
  for (const [name, path] of Object.entries(backupNames)) {
    const text = made[name as BackupName];
    const bytes = text === undefined ? machine.read(path) : new TextEncoder().encode(text);
    if (bytes !== undefined) files.set(name, bytes);
    else if (neededNames.includes(name as BackupName)) {
      throw new OperationError({
        ...{ operation: "make a backup", place: path, cause: "it is not there" },
        remedy: "sudo sensorlog-agent broker init puts it there",
      });
    }
  }
  if (!files.has("pki/ca.key")) notes.push(`the CA's key is not on this machine, and not in the backup`);
  for (const named of namedFiles(files.get("config/agent.yaml")!)) {
    const name = configName(named);
    if (name === undefined) {
      notes.push(`${named}, which ${places.config} names, is elsewhere and not in the backup`);
      continue;
    }
    const path = `${places.configDir}/${name}`;
    if (Object.values<string>(backupNames).includes(path)) continue;
    const bytes = machine.read(path);
    if (bytes === undefined) notes.push(`${path}, which ${places.config} names, is not there`);
    else files.set(`config/${name}`, bytes);
  }
  return { files, notes };
}

/** The texts of an installation that was adopted as it was, each as it has to be in our places. */
function adoptedFiles(machine: Machine, inForce: FilesInForce): Partial<Record<BackupName, string>> {
  const read = (path: string) => {
    const bytes = machine.read(path);
    if (bytes !== undefined) return new TextDecoder().decode(bytes);
    throw new OperationError({ operation: "make a backup", place: path, cause: "it is not there" });
  };
  const settings = settingsOf(confFiles(machine));
  const value = (wanted: string) => settings.findLast(({ name }) => name === wanted)?.value;
  const passwords = read(inForce.passwords);
  const dropIn = dropInText({
    port: inForce.listener.port,
    queuedBytesMax: Number(value("max_queued_bytes")) || queuedBytesFor(Deno.systemMemoryInfo().total),
    keepQos: value("upgrade_outgoing_qos") !== "true",
    ...{ persistenceLocation: false, logFile: false }, // Debian's own file names both
  });
  const config = read(places.config);
  const byOldCa = inForce.cafile !== undefined && mqttKey(config, "ca_file") === inForce.cafile;
  return {
    "pki/ca.crt": read(inForce.trusted),
    "broker/broker.crt": read(inForce.certificate),
    "broker/broker.key": read(inForce.key),
    "broker/passwords": passwords,
    "broker/acl": inForce.acl === undefined ? aclForAll(passwords) : read(inForce.acl),
    "broker/sensorlog.conf": dropIn,
    "config/agent.yaml": byOldCa ? withMqtt(config, { ca_file: brokerPlaces.caCertificate }) : config,
  };
}

/** Without an access list, whoever has an account may do everything. */
function aclForAll(passwords: string): string {
  const names = [...parsePasswords(passwords).keys()];
  const odd = names.some((name) => accountNameFault(name) !== undefined);
  // names that a list of ours does not take are matched by what holds for all
  if (odd) return "pattern readwrite #\npattern read $SYS/#\n";
  return aclText(names.map((name) => ({ name, read: ["#", "$SYS/#"], write: ["#"] })));
}

function mqttKey(config: string, key: string): string | undefined {
  return new Look(parseYaml(new TextEncoder().encode(config)).value).text(["mqtt", key]);
}

/** Files that a configuration names: secrets and certificates, as it writes them, each once. */
export function namedFiles(config: Uint8Array): string[] {
  const look = new Look(parseYaml(config).value);
  const keys = ["ca_file", "cert_file", "key_file", "password_file", "api_key_file"];
  const sections = [["mqtt"], ...look.keys(["outputs"]).map((name) => ["outputs", name])];
  const named = sections.flatMap((section) => keys.map((key) => look.text([...section, key])));
  return [...new Set(named.filter((name) => name !== undefined))];
}

/** The file's name below the folder of the configuration; undefined when it stands elsewhere. */
export function configName(named: string): string | undefined {
  const path = normalize(named.startsWith("/") ? named : `${places.configDir}/${named}`);
  if (!path.startsWith(`${places.configDir}/`)) return undefined;
  const name = path.slice(places.configDir.length + 1);
  return safeName.test(name) ? name : undefined;
}

/** The texts of a backup that hold `config/NAME`: name below the folder of the configuration → bytes. */
export function configFiles(files: Map<string, Uint8Array>): Map<string, Uint8Array> {
  const own = Object.keys(backupNames);
  return new Map(
    [...files].filter(([name]) => name.startsWith("config/") && !own.includes(name))
      .map(([name, bytes]) => [name.slice("config/".length), bytes] as const)
      .filter(([name]) => configName(name) === name),
  );
}
