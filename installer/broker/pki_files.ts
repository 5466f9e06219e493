/** The certificates and keys that stand on the machine, and how far a change of the CA has come. */
import { OperationError } from "../../agent/base/errors.ts";
import { type Machine, textOf } from "../machine.ts";
import { isIssuedBy, isKeyOf, type Pair, readCertificate, splitPem } from "./pki.ts";
import { type FilesInForce, filesInForce } from "./in_force.ts";
import { brokerPlaces } from "./places.ts";

/** PEM texts; undefined for what is not there. */
export interface BrokerPki {
  files: FilesInForce;
  /** What clients trust: the CA that signs first; during a change of the CA two. */
  trusted: string[];
  /** The file that they stand in, as it is. */
  trustedText: string;
  caKey: string | undefined;
  nextCaKey: string | undefined;
  /** The broker's certificate, without the chain that may follow it. */
  certificate: string;
  key: string;
}

/**
 * `steady`: one CA. `begun`: clients may trust both, the old one signs. `switching`: a switch that was interrupted.
 * `switched`: the new one signs, the old one is trusted still. `stranded`: begun, but the new one's key is lost.
 */
export type Phase = "steady" | "begun" | "switching" | "switched" | "stranded";

/** Reads them. Throws OperationError when the broker has none, or one can't be read. */
export function readPki(machine: Machine): BrokerPki {
  const files = filesInForce(machine);
  const certificates = splitPem(textOf(machine, files.certificate) ?? "");
  const key = privateKeyIn(textOf(machine, files.key) ?? "");
  const trustedText = textOf(machine, files.trusted) ?? "";
  const trusted = splitPem(trustedText);
  const missing = [
    ...(certificates.length === 0 ? [files.certificate] : []),
    ...(key === undefined ? [files.key] : []),
    ...(trusted.length === 0 ? [files.trusted] : []),
  ];
  if (missing.length > 0) {
    throw new OperationError({
      ...{ operation: "read the broker's certificates", place: missing[0]! },
      cause: missing.length === 3 ? "this machine has no broker with certificates" : "it is missing or empty",
      remedy: missing.length === 3
        ? "set one up: sudo sensorlog-agent broker init"
        : "bring it back: sudo sensorlog-agent broker restore FILE",
    });
  }
  return {
    ...{ files, trusted, trustedText, certificate: certificates[0]!, key: key! },
    caKey: textOf(machine, brokerPlaces.caKey),
    nextCaKey: textOf(machine, brokerPlaces.nextCaKey),
  };
}

/** The broker's certificate alone, which everybody may see. Throws OperationError when there is none. */
export function certificatePem(machine: Machine): string {
  const { certificate } = filesInForce(machine);
  const [first] = splitPem(textOf(machine, certificate) ?? "");
  if (first !== undefined) return first;
  throw new OperationError({
    ...{ operation: "read the broker's certificate", place: certificate },
    cause: "it is missing or empty",
    remedy: "set the broker up: sudo sensorlog-agent broker init",
  });
}

/**
 * How far a change of the CA has come. It follows from what stands there and nothing else, so that a phase that was
 * interrupted is seen as what it is. Throws OperationError for what no phase leaves behind.
 */
export async function phaseOf(pki: Omit<BrokerPki, "files">): Promise<Phase> {
  const { trusted, certificate } = pki;
  const next = nextAuthority(pki);
  if (trusted.length === 1 && next === undefined) return "steady";
  if (trusted.length === 2 && next !== undefined) {
    const signs = await isIssuedBy(certificate, next.certificatePem) ||
      (pki.caKey !== undefined && isKeyOf(pki.caKey, next.certificatePem));
    return signs ? "switching" : "begun";
  }
  if (trusted.length === 2 && await isIssuedBy(certificate, trusted[0]!)) {
    const [first, second] = trusted.map((pem) => readCertificate(pem).notBefore.getTime());
    return first! >= second! ? "switched" : "stranded";
  }
  throw new OperationError({
    ...{ operation: "look how far a change of the CA has come", place: brokerPlaces.caCertificate },
    cause: `${trusted.length} certificates stand in it, and the first is not what issued that of the broker`,
    remedy: "bring the certificates back as they were: sudo sensorlog-agent broker restore FILE",
  });
}

/** The CA of `next-ca.key`; undefined when there is no such key, or no certificate for it. */
export function nextAuthority(
  { trusted, nextCaKey }: Pick<BrokerPki, "trusted" | "nextCaKey">,
): Pair | undefined {
  if (nextCaKey === undefined) return undefined;
  const certificatePem = trusted.find((pem) => isKeyOf(nextCaKey, pem));
  return certificatePem === undefined ? undefined : { certificatePem, privateKeyPem: nextCaKey };
}

/** The CA that signs now. Throws OperationError when its key is not on this machine. */
export function signingAuthority({ trusted, caKey }: Pick<BrokerPki, "trusted" | "caKey">): Pair {
  const certificatePem = caKey === undefined ? undefined : trusted.find((pem) => isKeyOf(caKey, pem));
  if (certificatePem !== undefined) return { certificatePem, privateKeyPem: caKey! };
  throw new OperationError({
    ...{ operation: "sign a certificate", place: brokerPlaces.caKey },
    cause: caKey === undefined ? "the CA's key is not on this machine" : "it is the key of another CA",
    remedy:
      "put the CA's key there, owned by root with mode 0600 and without a passphrase, or change to a new CA: " +
      "sudo sensorlog-agent broker rotate --ca begin",
  });
}

/** The first private key of a text that may hold certificates, too. */
export function privateKeyIn(text: string): string | undefined {
  return /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^]*?-----END \1-----/.exec(text)?.[0].concat("\n");
}
