/** `broker restore`: the broker and the agent of a backup, as the same steps that `broker init` and `install` take. */
import { OperationError } from "../../agent/base/errors.ts";
import { Look } from "../../agent/config/look.ts";
import { parseYaml } from "../../agent/config/yaml.ts";
import { needsOf } from "../config_text.ts";
import { sumOf } from "../kinds.ts";
import { type Machine, textOf } from "../machine.ts";
import { type NamedFile, planInstall, type Step } from "../plan.ts";
import type { Backup } from "./backup.ts";
import { type BackupName, backupNames, configFiles, neededNames } from "./backup_files.ts";
import { parseConf } from "./conf.ts";
import { parsePasswords } from "./passwords.ts";
import { phaseOf, privateKeyIn } from "./pki_files.ts";
import { isKeyOf, readCertificate, splitPem } from "./pki.ts";
import { brokerPlaces } from "./places.ts";
import { planBroker, withBroker } from "./plan_broker.ts";
import type { Proof } from "./prove.ts";
import { caKeyStep } from "./rotate.ts";
import { assertOurs } from "./wish.ts";

export interface Restoring {
  backup: Backup;
  /** The file, for errors. */
  place: string;
  /** The binary to install. */
  source: string;
  /** What stands there of another broker, or was edited, gives way. */
  replace: boolean;
}

export interface Restoration {
  steps: Step[];
  /** What a copy of Mosquitto is tried with before; undefined when the backup has no account to try. */
  proof: Proof | undefined;
  /** Names and addresses that the broker's certificate is for. */
  names: string[];
}

/** Throws OperationError when the backup lacks something, or another CA stands on the machine without `replace`. */
export async function planRestore(machine: Machine, restoring: Restoring): Promise<Restoration> {
  const { backup, place, source, replace } = restoring;
  const texts = textsOf(backup, place);
  const trusted = splitPem(texts["pki/ca.crt"]!);
  const [certificate] = splitPem(texts["broker/broker.crt"]!);
  const key = privateKeyIn(texts["broker/broker.key"]!);
  if (trusted.length === 0 || certificate === undefined || key === undefined || !isKeyOf(key, certificate)) {
    throw unusable(place, "its CA, its certificate or its key is none, or they don't belong together");
  }
  await assertPhase(texts, place);
  assertOurs(machine);
  if (!replace) assertSameAuthority(machine, trusted);
  const port = portOf(texts["broker/sensorlog.conf"]!, place);
  const broker = planBroker({
    ...{ port, dropIn: texts["broker/sensorlog.conf"]! },
    ...{ trusted: texts["pki/ca.crt"]!, trustedPresent: textOf(machine, brokerPlaces.caCertificate) },
    caKey: texts["pki/ca.key"],
    pair: {
      certificatePem: texts["broker/broker.crt"]!.replace(key.trim(), "").trim() + "\n",
      privateKeyPem: key,
    },
    accounts: parsePasswords(texts["broker/passwords"]!),
    topics: [], // the list is put there as it is
    aclPresent: textOf(machine, brokerPlaces.acl),
    ...{ password: "", notes: [] },
  }).map((step) => step.id === "broker-acl" ? { ...step, content: texts["broker/acl"]! } as Step : step);
  const nextCaKey = texts["pki/next-ca.key"];
  const next = nextCaKey === undefined ? [] : [caKeyStep(nextCaKey, brokerPlaces.nextCaKey)];
  const config = texts["config/agent.yaml"]!;
  const files = namedFilesOf(backup);
  const wish = { source, config, files, ...needsOf(new TextEncoder().encode(config)) };
  const steps = withBroker(planInstall(wish), [...broker, ...next]);
  return {
    steps: replace ? steps.map((step) => replacing(machine, step)) : steps,
    proof: proofOf(broker, config, files, port, trusted, certificate),
    names: readCertificate(certificate).names,
  };
}

type Texts = Partial<Record<BackupName, string>>;

function textsOf({ files }: Backup, place: string): Texts {
  const missing = neededNames.find((name) => !files.has(name));
  if (missing !== undefined) throw unusable(place, `it does not hold ${missing}`);
  const texts: Texts = {};
  for (const name of Object.keys(backupNames) as BackupName[]) {
    const bytes = files.get(name);
    if (bytes !== undefined) texts[name] = new TextDecoder().decode(bytes);
  }
  return texts;
}

/** What could not be rotated afterwards is not put there. */
async function assertPhase(texts: Texts, place: string): Promise<void> {
  const pki = {
    ...{ trusted: splitPem(texts["pki/ca.crt"]!), trustedText: texts["pki/ca.crt"]! },
    ...{ caKey: texts["pki/ca.key"], nextCaKey: texts["pki/next-ca.key"] },
    ...{ certificate: splitPem(texts["broker/broker.crt"]!)[0]!, key: texts["broker/broker.key"]! },
  };
  await phaseOf(pki).catch((error) => {
    if (error instanceof OperationError) throw unusable(place, error.reason);
    throw error;
  });
}

/** Sensors trust the CA that stands there: to overwrite it would lock out those of another broker. */
function assertSameAuthority(machine: Machine, trusted: string[]): void {
  const sums = (pems: string[]) => pems.map((pem) => readCertificate(pem).sha256);
  const present = sums(splitPem(textOf(machine, brokerPlaces.caCertificate) ?? ""));
  const restored = sums(trusted);
  if (present.length === 0 || present.some((sum) => restored.includes(sum))) return;
  throw new OperationError({
    ...{ operation: "restore the broker", place: brokerPlaces.caCertificate },
    cause: "this machine has a broker with another CA, which its sensors trust",
    remedy:
      "sudo sensorlog-agent broker backup FILE keeps it; then --replace puts the one of the backup there",
  });
}

/** Where the broker of the drop-in listens. */
function portOf(dropIn: string, place: string): number {
  const listener = parseConf("sensorlog.conf", dropIn).find(({ name }) =>
    name === "listener" || name === "port"
  );
  const port = Number(listener?.value.split(/\s+/)[0]);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw unusable(place, "the configuration of Mosquitto in it names no listener");
}

/** Beside agent.yaml. What systemd hands to the service is for root only. */
function namedFilesOf({ files }: Backup): NamedFile[] {
  const config = files.get("config/agent.yaml")!;
  const secrets = new Set(needsOf(config).credentials.map(({ name }) => name));
  return [...configFiles(files)].map(([name, bytes]) => {
    return { name, content: new TextDecoder().decode(bytes), secret: secrets.has(name) };
  });
}

/** Also where a person has edited what stands there. */
function replacing(machine: Machine, step: Step): Step {
  if (step.kind !== "file" || step.secret) return step;
  const bytes = machine.read(step.path);
  return bytes === undefined ? step : { ...step, basedOn: sumOf(bytes) };
}

function proofOf(
  broker: Step[],
  config: string,
  files: NamedFile[],
  port: number,
  trusted: string[],
  certificate: string,
): Proof | undefined {
  const look = new Look(parseYaml(new TextEncoder().encode(config)).value);
  const name = look.text(["mqtt", "username"]);
  const passwordFile = look.text(["mqtt", "password_file"]);
  const password = files.find((one) => one.name === passwordFile)?.content.replace(/\r?\n$/, "");
  if (name === undefined || password === undefined) return undefined;
  const planned = new Map<string, string>();
  for (const step of broker) {
    if (step.kind === "pair") {
      for (const { path, content } of [step.certificate, step.key]) planned.set(path, content);
    }
    if (step.kind === "file" && step.path.startsWith("/etc/mosquitto/")) planned.set(step.path, step.content);
  }
  const [host] = readCertificate(certificate).names;
  const trust = host === undefined
    ? { sha256: readCertificate(certificate).sha256 }
    : { caPem: trusted.join(""), name: host };
  return { planned, port, trust, account: { name, password } };
}

function unusable(place: string, cause: string): OperationError {
  return new OperationError({
    ...{ operation: "restore the broker", place, cause },
    remedy: "use another backup; nothing was changed",
  });
}
