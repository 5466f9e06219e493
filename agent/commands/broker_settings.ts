/** The file with which a sensor is set up: where the broker is, how it is known, and the sensor's account. */
import { resolve } from "node:path";
import { readCertificate } from "../../installer/broker/pki.ts";
import { readPki } from "../../installer/broker/pki_files.ts";
import { confFiles, tlsListener } from "../../installer/broker/in_force.ts";
import { topicPrefix } from "../../installer/broker/users.ts";
import type { Machine } from "../../installer/machine.ts";
import { OperationError } from "../base/errors.ts";

/** JSON, with names as in agent.yaml. */
export interface SensorSettings {
  broker: string;
  port: number;
  /** What to trust, PEM; during a change of the CA both. */
  ca: string;
  /** Of the broker's certificate, and of its public key: for what can't check a CA. */
  fingerprint_sha1: string;
  key_pin_sha256: string;
  username: string;
  password: string;
  /** Filters that it may write, and what they have in common at the front of the first. */
  topics: string[];
  topic_prefix: string;
}

export interface SensorAccount {
  user: string;
  password: string;
  topics: string[];
  address: string | undefined;
}

const operation = "write a sensor's settings";
const notForOthers = /^(localhost|127\.|::1$|fe80:)/;

/** Throws OperationError for an address that the broker's certificate does not name: a sensor would refuse it. */
export function sensorSettings(
  machine: Machine,
  { user, password, topics, address }: SensorAccount,
): SensorSettings {
  const { certificate, trustedText } = readPki(machine);
  const { sha1, keyPin, names } = readCertificate(certificate);
  return {
    broker: addressOf(names, address),
    port: tlsListener(confFiles(machine)).port,
    ca: trustedText,
    ...{ fingerprint_sha1: sha1, key_pin_sha256: keyPin, username: user, password },
    ...{ topics, topic_prefix: topicPrefix(topics[0]!) },
  };
}

/** The one asked for, else an address of this machine that the certificate names, IPv4 first, else its name. */
function addressOf(names: string[], asked: string | undefined): string {
  const remedy = (name: string) => `sudo sensorlog-agent broker rotate --name ${name} makes one that does`;
  if (asked !== undefined) {
    if (names.includes(asked)) return asked;
    const cause = "the broker's certificate does not name it";
    throw new OperationError({ operation, place: `--address ${asked}`, cause, remedy: remedy(asked) });
  }
  const reachable = names.filter((name) => !notForOthers.test(name));
  const found = reachable.find((name) => /^\d+(\.\d+){3}$/.test(name)) ??
    reachable.find((name) => name.includes(":")) ??
    reachable.find((name) => name.includes(".")) ?? reachable[0];
  if (found !== undefined) return found;
  const cause = "it names nothing under which others reach this machine";
  throw new OperationError({
    operation,
    place: "the broker's certificate",
    cause,
    remedy: remedy("ADDRESS"),
  });
}

/** For root alone from the moment it exists. Throws OperationError when there is something of that name. */
export async function writeSettings(machine: Machine, file: string, settings: SensorSettings): Promise<void> {
  const path = resolve(file);
  if (machine.look(path) !== undefined) {
    throw new OperationError({
      ...{ operation, place: path, cause: "there is something of that name" },
      remedy: "name another file, or remove it; nothing was changed",
    });
  }
  const text = `${JSON.stringify(settings, null, 2)}\n`;
  await machine.write(path, new TextEncoder().encode(text), { mode: 0o600, uid: 0, gid: 0 });
}
