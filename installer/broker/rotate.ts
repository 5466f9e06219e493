/**
 * New certificates for a broker that runs: what `broker rotate` changes, as steps. Whatever these are cut off after, the
 * broker has a certificate that its clients trust, and the same command goes on.
 */
import { OperationError } from "../../agent/base/errors.ts";
import { Look } from "../../agent/config/look.ts";
import { parseYaml } from "../../agent/config/yaml.ts";
import { withMqtt } from "../agent_yaml.ts";
import { sumOf } from "../kinds.ts";
import { type Access, places, type Step } from "../plan.ts";
import { unitName, userName } from "../units.ts";
import { type BrokerPki, nextAuthority, type Phase, signingAuthority } from "./pki_files.ts";
import { isIssuedBy, issueBroker, makeAuthority, type Pair } from "./pki.ts";
import { brokerPlaces, brokerUnit } from "./places.ts";

export type CaPhase = "begin" | "switch" | "finish";

export interface Rotating {
  pki: BrokerPki;
  phase: Phase;
  /** What the new certificate is for. */
  names: string[];
  now: Date;
  /** agent.yaml, where the agent is installed. */
  agent: string | undefined;
}

const rootOnly: Access = { mode: 0o600, owner: "root", group: "root" };
/** Mosquitto reads them after it has given up root. */
export const brokerOnly: Access = { mode: 0o600, owner: "mosquitto", group: "mosquitto" };
const forEverybody: Access = { mode: 0o644, owner: "root", group: "root" };

/** An adopted installation has none. */
const folder: Step = {
  ...{ kind: "folder", id: "broker-pki-folder", what: "the folder of the broker's CA" },
  ...{ path: brokerPlaces.pkiDir, access: { mode: 0o750, owner: "root", group: userName } },
};

/** The broker's certificate and key. */
export function pairStep(
  { certificatePem, privateKeyPem }: Pair,
  files: { certificate: string; key: string } = brokerPlaces,
): Step {
  return {
    ...{ kind: "pair", id: "broker-certificate", what: "the broker's certificate and key" },
    certificate: { path: files.certificate, content: certificatePem, access: brokerOnly },
    key: { path: files.key, content: privateKeyPem, access: brokerOnly },
  };
}

/** The key of a CA, for root only. */
export function caKeyStep(key: string, path: string = brokerPlaces.caKey): Step {
  const next = path === brokerPlaces.nextCaKey;
  return {
    ...{ kind: "file", id: next ? "next-ca-key" : "ca-key", what: `the key of the ${next ? "new " : ""}CA` },
    ...{ path, content: key, access: rootOnly, secret: true },
  };
}

/** What clients trust: one CA or two. `present`: what stands there and is replaced. */
export function trustedStep(trusted: string[], present?: string): Step {
  return {
    ...{ kind: "file", id: "ca-certificate", path: brokerPlaces.caCertificate, access: forEverybody },
    what: trusted.length === 1 ? "the CA that clients trust" : "both CAs, for clients to trust",
    content: trusted.join(""),
    ...(present === undefined ? {} : { basedOn: sumOf(present) }),
  };
}

/** `rotate`: a new certificate with the old key, or with `newKey` with another one. */
export async function planRotate(rotating: Rotating, newKey: boolean): Promise<Step[]> {
  const { pki, phase, names, now } = rotating;
  if (phase === "switching") throw outOfOrder("--ca switch was interrupted", "switch");
  const pair = await issueBroker(signingAuthority(pki), names, { now, ...(newKey ? {} : { key: pki.key }) });
  return [pairStep(pair, pki.files), reload(rotating), ...agentSteps(rotating, true)];
}

/** `rotate --ca PHASE`. A phase that is done already is planned as it stands, for what may be missing of it. */
export async function planCa(phase: CaPhase, rotating: Rotating): Promise<Step[]> {
  if (phase === "begin") return await planBegin(rotating);
  return phase === "switch" ? await planSwitch(rotating) : planFinish(rotating);
}

async function planBegin(rotating: Rotating): Promise<Step[]> {
  const { pki, phase, now } = rotating;
  if (phase === "switched") throw outOfOrder("the CA before this one is trusted still", "finish");
  if (phase === "switching") throw outOfOrder("another new CA is being switched to", "switch");
  const { trusted, trustedText } = pki;
  if (phase === "begun") return [folder, trustedStep(trusted, trustedText), ...agentSteps(rotating, false)];
  const next = await makeAuthority("sensorlog broker", now);
  return [
    folder,
    // first, so that there is no moment in which a CA is trusted that nobody can use
    caKeyStep(next.privateKeyPem, brokerPlaces.nextCaKey),
    trustedStep([trusted[0]!, next.certificatePem], trustedText),
    ...agentSteps(rotating, false),
  ];
}

async function planSwitch(rotating: Rotating): Promise<Step[]> {
  const { pki, phase, names, now } = rotating;
  if (phase === "steady") throw outOfOrder("no new CA has been made, so nobody trusts one", "begin");
  if (phase === "stranded") throw outOfOrder("the new CA's key is lost", "begin");
  if (phase === "switched") return [reload(rotating), ...agentSteps(rotating, true)];
  const next = nextAuthority(pki)!;
  const others = pki.trusted.filter((pem) => pem !== next.certificatePem);
  // one that was issued before an interruption stays: its fingerprint may have been told already
  const isIssued = await isIssuedBy(pki.certificate, next.certificatePem);
  const pair = isIssued
    ? { certificatePem: pki.certificate, privateKeyPem: pki.key }
    : await issueBroker(next, names, { now, key: pki.key });
  const trusted = [next.certificatePem, ...others];
  return [
    pairStep(pair, pki.files),
    reload(rotating),
    caKeyStep(next.privateKeyPem),
    trustedStep(trusted, pki.trustedText),
    removal(brokerPlaces.nextCaKey),
    ...agentSteps({ ...rotating, pki: { ...pki, trusted } }, true),
  ];
}

function planFinish(rotating: Rotating): Step[] {
  const { pki, phase } = rotating;
  if (phase === "begun") throw outOfOrder("the broker still shows a certificate of the old CA", "switch");
  if (phase === "stranded") throw outOfOrder("the new CA's key is lost", "begin");
  if (phase === "switching") throw outOfOrder("--ca switch was interrupted", "switch");
  return [folder, trustedStep([pki.trusted[0]!], pki.trustedText), ...agentSteps(rotating, false)];
}

/** Mosquitto takes a new certificate in when it is told to; whoever is connected stays so. */
function reload({ pki }: Rotating): Step {
  return {
    ...{
      kind: "service",
      id: "broker",
      name: brokerUnit,
      port: pki.files.listener.port,
      startAgainAfter: [],
    },
    ...{ what: "the broker, with its certificate", reloadAfter: ["broker-certificate"] },
  };
}

/**
 * The agent reads what it trusts when it starts; what it has not shipped or acknowledged waits meanwhile. Where it knows
 * the certificate by its fingerprint, or the CA by a file that does not change with it, it goes over to our file.
 */
function agentSteps(rotating: Rotating, issued: boolean): Step[] {
  const { agent, pki } = rotating;
  if (agent === undefined) return [];
  const config = movedConfig(rotating, agent, issued);
  const moves: Step[] = config === agent ? [] : [
    ...(issued ? [folder, trustedStep(pki.trusted, pki.trustedText)] : []),
    {
      ...{ kind: "file", id: "configuration", what: "the configuration, with the CA", keep: true },
      ...{ path: places.config, content: config, basedOn: sumOf(agent) },
      access: { mode: 0o640, owner: "root", group: userName },
    },
  ];
  return [...moves, {
    ...{ kind: "unit", id: "service", name: unitName, startAgainAfter: ["ca-certificate", "configuration"] },
    what: "the agent, with what it trusts",
  }];
}

function movedConfig({ pki, names }: Rotating, text: string, issued: boolean): string {
  const key = (name: string) =>
    new Look(parseYaml(new TextEncoder().encode(text)).value).text(["mqtt", name]);
  const url = URL.parse(key("url") ?? "");
  const host = url?.hostname.replace(/^\[|\]$/g, "");
  if (url?.protocol !== "mqtts:" || Number(url.port) !== pki.files.listener.port || !names.includes(host!)) {
    return text;
  }
  const ours = { fingerprint_sha256: undefined, ca_file: brokerPlaces.caCertificate };
  const isPinned = key("fingerprint_sha256") !== undefined;
  const isOld = pki.files.cafile !== undefined && key("ca_file") === pki.files.cafile;
  return (isPinned && issued) || (isOld && !isPinned) ? withMqtt(text, ours) : text;
}

function removal(path: string): Step {
  return {
    ...{ kind: "command", id: "no-next-ca-key", what: "the new CA's key in its place only" },
    run: { program: "rm", args: ["-f", path] },
    done: { program: "test", args: ["!", "-e", path] },
  };
}

function outOfOrder(cause: string, first: CaPhase): OperationError {
  return new OperationError({
    ...{ operation: "change certificates", place: brokerPlaces.caCertificate, cause },
    remedy: `sudo sensorlog-agent broker rotate --ca ${first} comes first; nothing was changed`,
  });
}
