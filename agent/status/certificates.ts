/** Which certificates in files the agent depends on, and what to say of those that end soon. */
import { certificateEnds, lifetime } from "../base/certificate.ts";
import type { Settings } from "../settings.ts";

/** A certificate that something stops working without. */
export interface UsedCertificate {
  /** The output that needs it; undefined: the connection to the broker, or the agent's own broker. */
  output: string | undefined;
  /** Such as `the CA in mqtt.ca_file`. */
  name: string;
  endMs: number;
  remedy: string;
}

/** What a person does about the certificate that the broker shows. */
export const renewShown = "renew it before it ends: nothing is delivered from then on";
const renewFile = "put a new one into that file before it ends, then restart the agent";

/**
 * Those in the files that the configuration names. Of a CA file the one that lasts longest counts, for each of them can be
 * trusted by itself and a file may hold an old and a new one; of a client's chain the one that ends first.
 */
export function certificatesInFiles(
  { mqtt, outputs }: Pick<Settings, "mqtt" | "outputs">,
): UsedCertificate[] {
  const found: UsedCertificate[] = [];
  const add = (output: string | undefined, name: string, endMs: number) => {
    if (Number.isFinite(endMs)) found.push({ output, name, endMs, remedy: renewFile });
  };
  const lastOf = (pem: string) => Math.max(...certificateEnds(pem));
  // with a pin nothing is checked against the CA
  if (mqtt.caPem !== undefined && mqtt.fingerprintSha256 === undefined) {
    add(undefined, "the CA in mqtt.ca_file", lastOf(mqtt.caPem));
  }
  if (mqtt.certificatePem !== undefined) {
    const end = Math.min(...certificateEnds(mqtt.certificatePem));
    add(undefined, "the certificate in mqtt.cert_file", end);
  }
  for (const one of outputs) {
    if (one.type !== "elasticsearch" || one.caPem === undefined) continue;
    add(one.name, `the CA in ca_file of the output ${one.name}`, lastOf(one.caPem));
  }
  return found;
}

/** One text for all that end soon or have ended, and what to do; undefined: none does. */
export function endingText(
  certificates: UsedCertificate[],
  nowMs: number,
): { text: string; remedy: string } | undefined {
  const ending = certificates.map((one) => ({ ...one, life: lifetime(one.endMs, nowMs) }))
    .filter(({ life }) => life.state !== "lasts");
  if (ending.length === 0) return undefined;
  const text = ending.map(({ name, life }) => `${name} ${life.text}`).join("; ");
  return { text, remedy: [...new Set(ending.map(({ remedy }) => remedy))].join("; ") };
}
