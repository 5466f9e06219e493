/**
 * New certificates for a broker that runs: what `broker rotate` changes, as steps. Whatever these are cut off after, the
 * broker has a certificate that its clients trust, and the same command goes on.
 */
import { OperationError } from "../../agent/base/errors.ts";
import { sumOf } from "../kinds.ts";
import type { Access, Step } from "../plan.ts";
import { unitName } from "../units.ts";
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
  /** The agent is installed here and trusts ca.crt. */
  agent: boolean;
  /** At which the broker shows its certificate. */
  port: number;
}

const rootOnly: Access = { mode: 0o600, owner: "root", group: "root" };
/** Mosquitto reads them after it has given up root. */
const brokerOnly: Access = { mode: 0o600, owner: "mosquitto", group: "mosquitto" };
const forEverybody: Access = { mode: 0o644, owner: "root", group: "root" };

/** The broker's certificate and key. */
export function pairStep({ certificatePem, privateKeyPem }: Pair): Step {
  return {
    ...{ kind: "pair", id: "broker-certificate", what: "the broker's certificate and key" },
    certificate: { path: brokerPlaces.certificate, content: certificatePem, access: brokerOnly },
    key: { path: brokerPlaces.key, content: privateKeyPem, access: brokerOnly },
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
  return [pairStep(pair), reload(rotating)];
}

/** `rotate --ca PHASE`. A phase that is done already is planned as it stands, for what may be missing of it. */
export async function planCa(phase: CaPhase, rotating: Rotating): Promise<Step[]> {
  if (phase === "begin") return await planBegin(rotating);
  return phase === "switch" ? await planSwitch(rotating) : planFinish(rotating);
}

async function planBegin({ pki, phase, now, agent }: Rotating): Promise<Step[]> {
  if (phase === "switched") throw outOfOrder("the CA before this one is trusted still", "finish");
  if (phase === "switching") throw outOfOrder("another new CA is being switched to", "switch");
  const restart = agent ? [agentStep()] : [];
  if (phase === "begun") return [trustedStep(pki.trusted, pki.trustedText), ...restart];
  const next = await makeAuthority("sensorlog broker", now);
  return [
    // first, so that there is no moment in which a CA is trusted that nobody can use
    caKeyStep(next.privateKeyPem, brokerPlaces.nextCaKey),
    trustedStep([pki.trusted[0]!, next.certificatePem], pki.trustedText),
    ...restart,
  ];
}

async function planSwitch(rotating: Rotating): Promise<Step[]> {
  const { pki, phase, names, now } = rotating;
  if (phase === "steady") throw outOfOrder("no new CA has been made, so nobody trusts one", "begin");
  if (phase === "stranded") throw outOfOrder("the new CA's key is lost", "begin");
  if (phase === "switched") return [trustedStep(pki.trusted, pki.trustedText), reload(rotating)];
  const next = nextAuthority(pki)!;
  const others = pki.trusted.filter((pem) => pem !== next.certificatePem);
  // one that was issued before an interruption stays: its fingerprint may have been told already
  const isIssued = await isIssuedBy(pki.certificate, next.certificatePem);
  const pair = isIssued
    ? { certificatePem: pki.certificate, privateKeyPem: pki.key }
    : await issueBroker(next, names, { now, key: pki.key });
  return [
    pairStep(pair),
    reload(rotating),
    caKeyStep(next.privateKeyPem),
    trustedStep([next.certificatePem, ...others], pki.trustedText),
    removal(brokerPlaces.nextCaKey),
  ];
}

function planFinish({ pki, phase, agent }: Rotating): Step[] {
  if (phase === "begun") throw outOfOrder("the broker still shows a certificate of the old CA", "switch");
  if (phase === "stranded") throw outOfOrder("the new CA's key is lost", "begin");
  if (phase === "switching") throw outOfOrder("--ca switch was interrupted", "switch");
  return [trustedStep([pki.trusted[0]!], pki.trustedText), ...(agent ? [agentStep()] : [])];
}

/** Mosquitto takes a new certificate in when it is told to; whoever is connected stays so. */
function reload({ port }: Rotating): Step {
  return {
    ...{ kind: "service", id: "broker", name: brokerUnit, port, startAgainAfter: [] },
    ...{ what: "the broker, with its certificate", reloadAfter: ["broker-certificate"] },
  };
}

/** The agent reads what it trusts when it starts. What it has not shipped or acknowledged waits meanwhile. */
function agentStep(): Step {
  return {
    ...{ kind: "unit", id: "service", name: unitName, startAgainAfter: ["ca-certificate"] },
    what: "the agent, started again with what it is to trust",
  };
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
