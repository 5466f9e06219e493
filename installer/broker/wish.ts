/** What `broker init` is to bring about: what stands there already and is well stays, what is missing is made. */
import { OperationError } from "../../agent/base/errors.ts";
import { type Machine, textOf } from "../machine.ts";
import { places } from "../plan.ts";
import { type AccountTopics, agentAccount, agentTopics, parseAcl } from "./acl.ts";
import {
  dropInText,
  mainConf,
  parseConf,
  queuedBytesFor,
  type Setting,
  settingsInTheWay,
  settingsOf,
} from "./conf.ts";
import { hashPassword, makePassword, parsePasswords, verifies } from "./passwords.ts";
import {
  isIssuedBy,
  isKeyOf,
  issueBroker,
  makeAuthority,
  type Pair,
  readCertificate,
  splitPem,
} from "./pki.ts";
import { readPki, signingAuthority } from "./pki_files.ts";
import { brokerPlaces } from "./places.ts";
import { plannedFiles } from "./prove.ts";

export interface BrokerChoices {
  /** Names and addresses of the machine, for a certificate that is made. */
  names: string[];
  /** Those that the certificate must have. */
  namesAsked: string[];
  /** Undefined: as it is, and off where nothing is. */
  keepQos: boolean | undefined;
  /** What the agent may write below. */
  statusTopic: string;
  memoryBytes: number;
  now: Date;
}

/** Everything that is to stand there. */
export interface BrokerWish {
  port: number;
  dropIn: string;
  /** What clients trust, whole, and what stands there. */
  trusted: string;
  trustedPresent: string | undefined;
  /** Undefined: the CA's key is not on this machine, and nothing has to be signed. */
  caKey: string | undefined;
  pair: Pair;
  accounts: Map<string, string>;
  topics: AccountTopics[];
  aclPresent: string | undefined;
  /** The agent's own. */
  password: string;
  /** What a person should know. */
  notes: string[];
}

export const brokerPort = 8883;

/** Where the agent finds its password. */
export const agentPasswordPath = `${places.configDir}/mqtt-password`;

/** Throws OperationError when what stands there can't be gone on with. */
export async function wishForBroker(machine: Machine, choices: BrokerChoices): Promise<BrokerWish> {
  const text = (path: string) => textOf(machine, path);
  const accounts = parsePasswords(text(brokerPlaces.passwords) ?? "");
  const password = agentPassword(machine, accounts);
  const aclPresent = text(brokerPlaces.acl);
  const others = parseAcl(aclPresent ?? "").filter(({ name }) => name !== agentAccount);
  const certificates = await certificatesFor(machine, choices);
  return {
    ...{ port: brokerPort, dropIn: dropInFor(machine, choices), ...certificates },
    ...{ accounts, topics: [agentTopics(choices.statusTopic), ...others], aclPresent, password },
  };
}

/** Throws OperationError where Mosquitto was set up by hand, so that a drop-in would contradict it or not be read. */
export function assertOurs(machine: Machine): void {
  if (machine.look(mainConf) === undefined) return; // the package brings it
  const files = plannedFiles(machine, new Map([[brokerPlaces.dropIn, "# ours"]]));
  const [found] = settingsInTheWay(settingsOf(files));
  if (found !== undefined) {
    throw new OperationError({
      ...{ operation: "set the broker up", place: `${found.file}:${found.line}` },
      cause: `Mosquitto was set up by hand: it names ${found.name} there`,
      remedy: "sudo sensorlog-agent broker adopt takes it over with its accounts and certificates",
    });
  }
  const included = parseConf(mainConf, textOf(machine, mainConf) ?? "").some(isIncluded);
  if (included) return;
  throw new OperationError({
    ...{
      operation: "set the broker up",
      place: mainConf,
      cause: "it does not include /etc/mosquitto/conf.d",
    },
    remedy: "add the line `include_dir /etc/mosquitto/conf.d` at its end, as the package has it",
  });
}

function isIncluded({ name, value }: Setting): boolean {
  const dir = brokerPlaces.dropIn.slice(0, brokerPlaces.dropIn.lastIndexOf("/"));
  return name === "include_dir" && value.replace(/\/+$/, "") === dir;
}

function dropInFor(machine: Machine, { keepQos, memoryBytes }: BrokerChoices): string {
  const present = parseConf(brokerPlaces.dropIn, textOf(machine, brokerPlaces.dropIn) ?? "");
  const kept = present.some(({ name, value }) => name === "upgrade_outgoing_qos" && value === "false");
  const others = settingsOf(plannedFiles(machine, new Map())).filter(({ file }) =>
    file !== brokerPlaces.dropIn
  );
  const isNamed = (wanted: string) => others.some(({ name }) => name === wanted);
  const isPackaged = machine.look(mainConf) === undefined; // Debian's own names both
  return dropInText({
    ...{ port: brokerPort, queuedBytesMax: queuedBytesFor(memoryBytes), keepQos: keepQos ?? kept },
    persistenceLocation: !isPackaged && !isNamed("persistence_location"),
    logFile: !isPackaged && !isNamed("log_dest"),
  });
}

/** The one that stands there and opens the agent's account, else a new one, whose hash is put among the accounts. */
function agentPassword(machine: Machine, accounts: Map<string, string>): string {
  const present = textOf(machine, agentPasswordPath)?.replace(/\r?\n$/, "");
  const hash = accounts.get(agentAccount);
  if (present !== undefined && hash !== undefined && verifies(hash, present)) return present;
  const password = makePassword();
  accounts.set(agentAccount, hashPassword(password));
  return password;
}

type Certificates = Pick<BrokerWish, "trusted" | "trustedPresent" | "caKey" | "pair" | "notes">;

async function certificatesFor(machine: Machine, choices: BrokerChoices): Promise<Certificates> {
  const { names, namesAsked, now } = choices;
  const all = [...new Set([...namesAsked, ...names])];
  const trustedPresent = textOf(machine, brokerPlaces.caCertificate);
  const hasCertificate = machine.look(brokerPlaces.certificate) !== undefined;
  const key = textOf(machine, brokerPlaces.key);
  if (trustedPresent === undefined && !hasCertificate) {
    const authority = await makeAuthority("sensorlog broker", now);
    const pair = await issueBroker(authority, all, { now, ...(key === undefined ? {} : { key }) });
    const caKey = authority.privateKeyPem;
    return { trusted: authority.certificatePem, trustedPresent, caKey, pair, notes: [] };
  }
  if (!hasCertificate) { // it was interrupted before the broker's own
    const caKey = textOf(machine, brokerPlaces.caKey);
    const authority = signingAuthority({ trusted: splitPem(trustedPresent!), caKey });
    const pair = await issueBroker(authority, all, { now, ...(key === undefined ? {} : { key }) });
    return { trusted: trustedPresent!, trustedPresent, caKey, pair, notes: [] };
  }
  return await present(machine, choices);
}

/** Those that are there. A new certificate has another fingerprint, so one is made only when it must be. */
async function present(machine: Machine, { names, namesAsked, now }: BrokerChoices): Promise<Certificates> {
  const pki = readPki(machine);
  const { trustedText: trusted, caKey } = pki;
  const facts = readCertificate(pki.certificate);
  const has = new Set(facts.names);
  const isWell = facts.notAfter > now && isKeyOf(pki.key, pki.certificate) && await isIssued(pki);
  // without the key that stands beside it while the pair is being replaced
  const chain = splitPem(textOf(machine, brokerPlaces.certificate)!).join("");
  if (isWell && namesAsked.every((name) => has.has(name))) {
    const missing = names.filter((name) => !has.has(name));
    const notes = missing.length === 0 ? [] : [
      `the broker's certificate does not name ${
        missing.join(", ")
      }; sudo sensorlog-agent broker rotate makes one that does`,
    ];
    const pair = { certificatePem: chain, privateKeyPem: pki.key };
    return { trusted, trustedPresent: trusted, caKey, pair, notes };
  }
  const all = [...new Set([...namesAsked, ...facts.names, ...names])];
  const pair = await issueBroker(signingAuthority(pki), all, { now, key: pki.key });
  const notes = ["the broker's certificate is a new one with the same key; its SHA-1 and SHA-256 are new"];
  return { trusted, trustedPresent: trusted, caKey, pair, notes };
}

async function isIssued(
  { certificate, trusted }: { certificate: string; trusted: string[] },
): Promise<boolean> {
  for (const authority of trusted) if (await isIssuedBy(certificate, authority)) return true;
  return false;
}
