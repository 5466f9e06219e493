/**
 * What is done to an original installation, as steps: our drop-in beside its configuration, an account for the agent in its
 * password file, its services and its cron line out of work. Certificates, accounts and port stay as they are. Pure.
 */
import type { Access, Call, Step } from "../plan.ts";
import { places } from "../plan.ts";
import { sumOf } from "../kinds.ts";
import type { BrokerKeys } from "./adopt_config.ts";
import type { OldListener, OldUnit, Original } from "./original.ts";
import { parsePasswords } from "./passwords.ts";
import { autosaveS, inFlightMax, queuedMessagesFor } from "./conf.ts";
import { brokerPlaces, brokerUnit } from "./places.ts";

/** What was found at first: what --undo brings back. Holds no secret. */
export const adoptedPath = `${places.configDir}/adopted.json`;

export interface AdoptedUnit extends OldUnit {
  enabled: boolean;
  active: boolean;
}

export interface Adopted extends Omit<Original, "named" | "units" | "included"> {
  version: 1;
  units: AdoptedUnit[];
  /** The agent's account in the old password file. */
  account: string;
  /** The file of its password beside agent.yaml. */
  passwordName: string;
  /** agent.yaml as it was. */
  configBefore: string;
}

/** The file as it was written, or undefined when it is none. */
export function parseAdopted(text: string): Adopted | undefined {
  try {
    const adopted = JSON.parse(text) as Adopted;
    const sound = adopted.version === 1 && Array.isArray(adopted.units) && Array.isArray(adopted.cronLines) &&
      typeof adopted.passwordFile === "string" && typeof adopted.account === "string" &&
      typeof adopted.configBefore === "string";
    return sound ? adopted : undefined;
  } catch {
    return undefined;
  }
}

const rootOnly: Access = { mode: 0o600, owner: "root", group: "root" };
const forEverybody: Access = { mode: 0o644, owner: "root", group: "root" };
const encode = (value: unknown) => JSON.stringify(value, null, 2) + "\n";

/** Notes what was found before anything is changed. */
export function notesStep(adopted: Adopted): Step {
  return {
    ...{ kind: "file", id: "adopted", what: "what was found, for broker adopt --undo", path: adoptedPath },
    ...{ content: encode(adopted), access: rootOnly },
  };
}

/** The agent's password, as systemd hands it to the service. */
export function passwordStep({ passwordName }: Adopted, password: string): Step {
  return {
    ...{ kind: "file", id: "password", what: "the agent's password at the broker", secret: true },
    ...{ path: `${places.configDir}/${passwordName}`, content: `${password}\n`, access: rootOnly },
  };
}

/** The old password file with the agent's account, or, with `hash` undefined, without it. Every other line stays. */
export function accountStep(adopted: Adopted, text: string, hash: string | undefined, access: Access): Step {
  const lines = text.split("\n").filter((line) => !line.startsWith(`${adopted.account}:`));
  if (lines.at(-1) === "") lines.pop();
  if (hash !== undefined) lines.push(`${adopted.account}:${hash}`);
  return {
    ...{ kind: "file", id: "account", path: adopted.passwordFile, access, secret: true, keep: true },
    what: hash === undefined
      ? `the broker's accounts without that of the agent (${adopted.account})`
      : `the broker's accounts and one for the agent (${adopted.account})`,
    content: lines.map((line) => `${line}\n`).join(""),
  };
}

/** A name that nobody has. Undefined when all that we would take are taken. */
export function accountName(passwords: string): string | undefined {
  const taken = parsePasswords(passwords);
  return ["agent", "sensorlog-agent"].find((name) => !taken.has(name));
}

/** What the agent needs of a broker that keeps messages for it while it is away. */
const wanted: [name: string, value: (queuedBytesMax: number) => string][] = [
  ["persistence", () => "true"],
  ["persistence_location", () => "/var/lib/mosquitto/"],
  ["autosave_interval", () => String(autosaveS)],
  ["max_queued_messages", (queuedBytesMax) => String(queuedMessagesFor(queuedBytesMax))],
  ["max_queued_bytes", String],
  ["max_inflight_messages", () => String(inFlightMax)],
  ["upgrade_outgoing_qos", () => "true"],
  ["connection_messages", () => "true"],
];

/**
 * Only what holds for the whole broker, and nothing that another file names: named twice, some settings stop Mosquitto. A
 * `listener` here would take the settings that follow the include in the old file to itself.
 */
export function dropInStep(named: ReadonlySet<string>, queuedBytesMax: number): Step {
  const lines = wanted.filter(([name]) => !named.has(name)).map(([name, value]) => {
    return `${name} ${value(queuedBytesMax)}`;
  });
  return {
    ...{ kind: "file", id: "drop-in", what: "what the agent needs of the broker", path: brokerPlaces.dropIn },
    access: forEverybody,
    content: [
      "# Made by sensorlog-agent broker adopt, beside the settings that were there.",
      "# Messages for the agent are kept while it is away, whatever their QoS.",
      ...lines,
      "",
    ].join("\n"),
  };
}

/** Mosquitto with all of it. */
export function brokerStep({ listener }: Adopted): Step {
  return {
    ...{
      kind: "service",
      id: "broker",
      what: "Mosquitto, at its old port",
      name: brokerUnit,
      port: listener.port,
    },
    ...{ startAgainAfter: ["drop-in"], reloadAfter: ["account"] },
  };
}

const state = `"$(systemctl show --property=ActiveState --value "$1")"`;
const shell = (script: string, ...args: string[]): Call => ({
  program: "sh",
  args: ["-c", script, "sh", ...args],
});

/** The old services that are to rest. That of the VPN is none of them: it carries readings until there is another way. */
export function stopSteps({ units }: Pick<Adopted, "units">): Step[] {
  return units.filter(({ role }) => role !== "vpn").map(({ name }) => ({
    ...{
      kind: "command",
      id: `stop-${name}`,
      what: `${name} is stopped, and not started at boot (kept for --undo)`,
    },
    run: { program: "systemctl", args: ["disable", "--now", name] },
    done: shell(
      `case ${state} in inactive|failed) ! systemctl --quiet is-enabled "$1" ;; *) false ;; esac`,
      name,
    ),
  }));
}

/** The same services as they were. */
export function startSteps({ units }: Pick<Adopted, "units">): Step[] {
  return units.filter(({ role }) => role !== "vpn").flatMap(({ name, enabled, active }): Step[] => [
    ...(enabled
      ? [{
        ...{ kind: "command" as const, id: `enable-${name}`, what: `${name} is started at boot again` },
        run: { program: "systemctl", args: ["enable", name] },
        done: { program: "systemctl", args: ["--quiet", "is-enabled", name] },
      }]
      : []),
    ...(active
      ? [{
        ...{ kind: "command" as const, id: `start-${name}`, what: `${name} runs again` },
        run: { program: "systemctl", args: ["start", name] },
        done: { program: "systemctl", args: ["--quiet", "is-active", name] },
      }]
      : []),
  ]);
}

const hasLine = 'crontab -l 2>/dev/null | grep -qxF -e "$1"';

/** Root's crontab without the lines that remove message files. */
export function cronStopSteps({ cronLines }: Pick<Adopted, "cronLines">): Step[] {
  return cronLines.map((line, at) => ({
    ...{ kind: "command", id: `cron-${at + 1}`, what: `root's crontab without: ${line} (kept for --undo)` },
    run: shell('all=$(crontab -l) && printf "%s\\n" "$all" | grep -vxF -e "$1" | crontab -', line),
    done: shell(`! ${hasLine}`, line),
  }));
}

/** The same lines back, behind the others. */
export function cronStartSteps({ cronLines }: Pick<Adopted, "cronLines">): Step[] {
  return cronLines.map((line, at) => ({
    ...{ kind: "command", id: `cron-${at + 1}`, what: `root's crontab with: ${line}` },
    run: shell('{ crontab -l 2>/dev/null; printf "%s\\n" "$1"; } | crontab -', line),
    done: shell(hasLine, line),
  }));
}

/** A file that is not to be there. */
export function absentStep(id: string, what: string, path: string): Step {
  return {
    ...{ kind: "command", id, what: `${what} (${path}) is gone` },
    run: { program: "rm", args: ["-f", "--", path] },
    done: { program: "test", args: ["!", "-e", path] },
  };
}

/** agent.yaml as it is to be, whoever wrote what stands there. */
export function configStep(present: string, text: string): Step {
  return {
    ...{ kind: "file", id: "configuration", what: "the configuration", keep: true, path: places.config },
    ...{ content: text, access: { mode: 0o640, owner: "root", group: "sensorlog" }, basedOn: sumOf(present) },
  };
}

/** What a certificate says of the names under which it may be used. */
export interface ListenerCertificate {
  names: string[];
  sha256: string;
}

/**
 * How the agent reaches the listener. By the CA where the certificate names this machine; those of the original name
 * nothing, and are known by their fingerprint.
 */
export function brokerKeys(
  listener: OldListener,
  certificate: ListenerCertificate | undefined,
  ownNames: string[],
  account: Pick<Adopted, "account" | "passwordName">,
  statusTopic: string,
): BrokerKeys {
  const name = certificate?.names.find((one) => ownNames.includes(one));
  const byCa = name !== undefined && listener.caFile !== undefined;
  const host = byCa ? name : listener.host;
  const scheme = certificate === undefined ? "mqtt" : "mqtts";
  return {
    url: `${scheme}://${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    ca_file: byCa ? listener.caFile : undefined,
    fingerprint_sha256: byCa ? undefined : certificate?.sha256,
    username: account.account,
    password_file: account.passwordName,
    status_topic: statusTopic,
  };
}
