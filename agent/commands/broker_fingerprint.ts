/** `broker fingerprint`: what a client may compare the broker's certificate with. */
import { readCertificate } from "../../installer/broker/pki.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { certificatePem } from "../../installer/broker/pki_files.ts";
import { realMachine } from "../../installer/machine.ts";
import { runProgram } from "../../installer/run_program.ts";
import { safeJson, safeText } from "../base/display.ts";
import { OperationError } from "../base/errors.ts";
import type { CommonOptions, Host } from "./describe.ts";
import { outLines } from "./terminal.ts";

/** Ends with 0. Throws OperationError when the broker has no certificate here, or it can't be read. */
export async function brokerFingerprint({ terminal }: Host, options: CommonOptions): Promise<number> {
  const { sha1, sha256, keyPin, names, notAfter, subject } = readCertificate(presentCertificate());
  if (options.json) {
    await terminal.out(
      safeJson({ sha1, sha256, keyPin, names, notAfter: notAfter.toISOString(), subject }) + "\n",
    );
    return 0;
  }
  await outLines(terminal, [
    `SHA-1    ${sha1}`,
    // the form of a sketch's `fingerprint`
    `         ${sha1.replaceAll(":", " ")}`,
    `SHA-256  ${sha256}`,
    `key pin  ${keyPin}`,
    `for      ${safeText(names.join(", "))}`,
    `until    ${notAfter.toISOString().slice(0, 10)}`,
  ]);
  return 0;
}

function presentCertificate(): string {
  try {
    return certificatePem(realMachine(undefined, { run: runProgram, start: () => Promise.resolve() }));
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new OperationError({
      ...{ operation: "read the broker's certificate", place: brokerPlaces.certificate },
      cause: `user id ${Deno.uid()} may not do that`,
      remedy: "sudo sensorlog-agent broker fingerprint",
      from: error,
    });
  }
}
