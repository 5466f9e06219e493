/** The certificates' part of `check`: how long those last that the agent depends on. */
import { lifetime } from "../base/certificate.ts";
import { type ProbePlace, shownCertificateEnd } from "../base/certificate_probe.ts";
import type { Settings } from "../settings.ts";
import type { Finding } from "../shipper/output.ts";
import { certificatesInFiles, renewShown } from "../status/certificates.ts";

/**
 * Looks at the certificate that the server at this address shows. Whether it can be trusted is found out elsewhere, by
 * the connection that the agent makes itself.
 */
export async function examineCertificate(place: ProbePlace, nowMs: number): Promise<Finding[]> {
  const endMs = await shownCertificateEnd(place);
  return endMs === undefined ? [] : [lifetimeFinding("its certificate", endMs, nowMs, renewShown)];
}

/** One finding for each certificate in a file that this output needs, or (undefined) the connection to the broker. */
export function examineCertificateFiles(
  settings: Settings,
  output: string | undefined,
  nowMs: number,
): Finding[] {
  return certificatesInFiles(settings).filter((one) => one.output === output).map(({ name, endMs, remedy }) =>
    lifetimeFinding(name, endMs, nowMs, remedy)
  );
}

function lifetimeFinding(name: string, endMs: number, nowMs: number, remedy: string): Finding {
  const { state, text } = lifetime(endMs, nowMs);
  const what = `${name} ${text}`;
  if (state === "lasts") return { level: "ok", what };
  return { level: state === "has ended" ? "failure" : "warning", what, remedy };
}
