/** What `broker adopt` finds on the machine, and what it makes of it. Changes nothing. */
import {
  accountName,
  type Adopted,
  adoptedPath,
  type AdoptedUnit,
  brokerKeys,
  parseAdopted,
} from "../../installer/broker/adopt.ts";
import { brokerKey, type BrokerKeys, withBrokerKeys } from "../../installer/broker/adopt_config.ts";
import { type ConfFiles, mainConf } from "../../installer/broker/conf.ts";
import { formatDefault, type LineFormat, lineFormat } from "../../installer/broker/line_format.ts";
import { machineNames } from "../../installer/broker/names.ts";
import { findOriginal, type Original } from "../../installer/broker/original.ts";
import { hashPassword, makePassword, parsePasswords, verifies } from "../../installer/broker/passwords.ts";
import { type CertificateFacts, readCertificate } from "../../installer/broker/pki.ts";
import type { Machine } from "../../installer/machine.ts";
import { type Access, places } from "../../installer/plan.ts";
import { loadSettings } from "../config.ts";
import { OperationError } from "../base/errors.ts";
import type { Settings } from "../settings.ts";

export interface AdoptFound {
  original: Original;
  adopted: Adopted;
  /** The old password file as it stands there, and whose it is. */
  passwords: string;
  passwordsAccess: Access;
  password: string;
  hash: string;
  keys: BrokerKeys;
  certificate: CertificateFacts | undefined;
  configPresent: string;
  configAfter: string;
  /** Of the present configuration: all but the broker holds on. */
  settings: Settings;
  format: LineFormat;
  seen: ConfFiles;
}

/** Larger files are neither scripts nor units. */
const textBytesMax = 256 * 1024;

/** Throws OperationError when there is nothing to adopt, or it can't be read. */
export async function findAdoptable(machine: Machine, format: string | undefined): Promise<AdoptFound> {
  const seen = seenBy(machine);
  const original = findOriginal(seen);
  if (original === undefined) {
    throw new OperationError({
      ...{
        operation: "broker adopt",
        place: mainConf,
        cause: "no accounts were set up there by hand (password_file)",
      },
      remedy: "sudo sensorlog-agent broker init sets a broker up",
    });
  }
  const settings = loadSettings(places.config, { credentialsDir: undefined });
  const configPresent = textOf(machine, places.config);
  const passwords = textOf(machine, original.passwordFile);
  const adopted = knownAdoption(machine) ?? await newAdoption(machine, original, passwords, configPresent);
  const { password, hash } = agentPassword(machine, adopted, passwords);
  const statusTopic = brokerKey(configPresent, "status_topic") ?? `sensorlog/${settings.plant}`;
  const certificate = certificateOf(machine, original);
  const keys = brokerKeys(original.listener, certificate, machineNames(), adopted, statusTopic);
  return {
    ...{ original, adopted, passwords, password, hash, keys, certificate, configPresent, settings, seen },
    passwordsAccess: accessOf(machine, original.passwordFile),
    configAfter: withBrokerKeys(configPresent, keys),
    format: lineFormat(format ?? adopted.format ?? formatDefault),
  };
}

/** What an earlier run has noted. */
export function knownAdoption(machine: Machine): Adopted | undefined {
  const bytes = machine.read(adoptedPath);
  if (bytes === undefined) return undefined;
  const adopted = parseAdopted(new TextDecoder().decode(bytes));
  if (adopted !== undefined) return adopted;
  throw new OperationError({
    ...{ operation: "broker adopt", place: adoptedPath, cause: "it is damaged" },
    remedy: "remove it; then --undo is not possible any more",
  });
}

async function newAdoption(
  machine: Machine,
  original: Original,
  passwords: string,
  configBefore: string,
): Promise<Adopted> {
  const account = accountName(passwords);
  if (account === undefined) {
    throw new OperationError({
      ...{
        operation: "broker adopt",
        place: original.passwordFile,
        cause: "all names for the agent's account are taken",
      },
      remedy: "rename the account sensorlog-agent there",
    });
  }
  const units: AdoptedUnit[] = [];
  for (const unit of original.units) {
    const enabled = (await machine.run("systemctl", ["is-enabled", unit.name])).code === 0;
    const shown = await machine.run("systemctl", ["show", "--property=ActiveState", "--value", unit.name]);
    units.push({ ...unit, enabled, active: !/^(inactive|failed)?$/.test(shown.stdout.trim()) });
  }
  const usual = "mqtt-password";
  const passwordName = machine.look(`${places.configDir}/${usual}`) === undefined ? usual : "broker-password";
  const { listener, passwordFile, format, filePatterns, registry, cronLines } = original;
  return {
    ...{ version: 1, listener, passwordFile, format, filePatterns, registry, cronLines, units },
    ...{ account, passwordName, configBefore },
  };
}

/** The one that is there already when the broker knows it, else a new one. */
function agentPassword(machine: Machine, { account, passwordName }: Adopted, passwords: string) {
  const bytes = machine.read(`${places.configDir}/${passwordName}`);
  const present = bytes === undefined ? undefined : new TextDecoder().decode(bytes).replace(/\n$/, "");
  const known = parsePasswords(passwords).get(account);
  if (present !== undefined && known !== undefined && verifies(known, present)) {
    return { password: present, hash: known };
  }
  // one that was noted and did not come into the broker's accounts is as good as a new one
  const password = present ?? makePassword();
  return { password, hash: hashPassword(password) };
}

function certificateOf(machine: Machine, { listener }: Original): CertificateFacts | undefined {
  return listener.certificateFile === undefined
    ? undefined
    : readCertificate(textOf(machine, listener.certificateFile));
}

/** Texts of the machine; whatever can't be one is not there. */
function seenBy(machine: Machine): ConfFiles {
  return {
    names: (dir) => machine.list(dir),
    text: (path) => {
      const found = machine.look(path);
      if (found === undefined || found.sizeBytes > textBytesMax || !["file", "link"].includes(found.type)) {
        return undefined;
      }
      try {
        const bytes = machine.read(path);
        return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
      } catch (error) {
        if (error instanceof OperationError) return undefined; // a link to a folder, such as those of units
        throw error;
      }
    },
  };
}

export function textOf(machine: Machine, path: string): string {
  const bytes = machine.read(path);
  if (bytes !== undefined) return new TextDecoder().decode(bytes);
  throw new OperationError({
    ...{ operation: "broker adopt", place: path, cause: "there is no such file" },
    remedy: "put it there, or take the line that names it out of the configuration",
  });
}

/** Names for the numbers of owner and group. */
export function accessOf(machine: Machine, path: string): Access {
  const found = machine.look(path)!;
  const name = (file: string, id: number) => {
    const lines = textOf(machine, `/etc/${file}`).split("\n").map((line) => line.split(":"));
    return lines.find((fields) => fields[2] === String(id))?.[0];
  };
  const [owner, group] = [name("passwd", found.uid), name("group", found.gid)];
  if (owner !== undefined && group !== undefined) return { mode: found.mode, owner, group };
  throw new OperationError({
    ...{ operation: "broker adopt", place: path, cause: "its owner or group has no name" },
    remedy: `sudo chown mosquitto: ${path}`,
  });
}
