/** What `broker rotate` says before and behind a change: what must have happened at the clients, and what has to. */
import type { CertificateFacts } from "../../installer/broker/pki.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { safeText } from "../base/display.ts";

/** A phase of `--ca`, or what is new without one. */
export type Change = "certificate" | "key" | "begin" | "switch" | "finish";

/** A node that compares the certificate itself is the one that notices every change. */
const fingerprints =
  "Clients that compare the certificate's fingerprint, as the original sketch does, have to be " +
  "programmed with the new one, and don't connect until then.";

const befores: Record<Change, string[]> = {
  certificate: [
    "The broker gets a new certificate with the key that it has. Clients that trust the CA, or pin the key, go on.",
    fingerprints,
  ],
  key: [
    "The broker gets a new certificate with a new key. Clients that trust the CA go on.",
    "Clients that pin the key have to be given the new pin, and don't connect until then.",
    fingerprints,
  ],
  begin: [
    "1 of 3: a new CA is made, and clients may trust both. The broker goes on with its certificate of the old one.",
  ],
  switch: [
    "2 of 3: the broker gets a certificate of the new CA, with the key that it has. Before that, every client that " +
    "trusts the CA must have been given the new one:",
    ...handOut(),
    fingerprints,
  ],
  finish: [
    "3 of 3: the old CA is trusted no more. Before that, every client must have connected with the new one: those " +
    "that don't trust it do not connect since --ca switch.",
  ],
};

/** To be read before it happens. */
export function before(change: Change): string[] {
  return befores[change];
}

/** What has happened, and what comes next. */
export function behind(change: Change, facts: CertificateFacts): string[] {
  const certificate = [
    `The broker shows its certificate, which ends on ${facts.notAfter.toISOString().slice(0, 10)}, for ${
      safeText(facts.names.join(", "))
    }.`,
    `  SHA-1    ${facts.sha1}`,
    `  SHA-256  ${facts.sha256}`,
    `  key pin  ${facts.keyPin}`,
    "A backup that was made before holds the old one: sensorlog-agent broker backup FILE",
  ];
  switch (change) {
    case "certificate":
    case "key":
      return certificate;
    case "begin":
      return [
        "Both CAs are trusted from now on. What comes next, before --ca switch:",
        ...handOut(),
        "Then: sudo sensorlog-agent broker rotate --ca switch",
      ];
    case "switch":
      return [
        ...certificate,
        "When all clients have connected (sensorlog-agent broker user list shows when each was last seen):",
        "  sudo sensorlog-agent broker rotate --ca finish",
      ];
    case "finish":
      return [
        `One CA is trusted, that in ${brokerPlaces.caCertificate}. Clients may drop the old one.`,
        "A backup that was made before holds the old one: sensorlog-agent broker backup FILE",
      ];
  }
}

function handOut(): string[] {
  return [
    `  - clients with a file of trusted CAs: give them ${brokerPlaces.caCertificate}, in which both stand`,
    "  - sensors: program them with the new CA as well",
    "  - sensors without network time take the time of their build for now. The new CA starts a day before it was " +
    "made, so they must be flashed with a program that was built after --ca begin",
    "  - clients that pin the broker's key: nothing, it stays",
  ];
}
