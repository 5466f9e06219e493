/**
 * The certificates of the broker: a CA of one's own, what it issues, and what a certificate says. Pure: text in, text out.
 *
 * A sensor's clock may stand at the time of its build, so a CA starts a day early and whatever it issues starts with it:
 * a certificate made years later is valid for whoever takes its CA as valid. A sensor's TLS library may compare DNS names
 * only (BearSSL does), so an address stands in a certificate as a DNS name as well.
 */
import "reflect-metadata"; // x509 finds nothing of its own without it
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import { OperationError, reasonOf } from "../../agent/base/errors.ts";
import { importSigningKey, keptKeys, newKeys, p256, publicKeyOf, readKey, sha256 } from "./private_key.ts";

/** A certificate and its private key, PEM; the key as PKCS#8. */
export interface Pair {
  certificatePem: string;
  privateKeyPem: string;
}

export interface CertificateFacts {
  /** As RFC 4514 writes it: `CN=sensorlog vigo 3f9a2c`. */
  subject: string;
  /** Of the subject's alternative names each once, addresses too; none when it has none. */
  names: string[];
  notBefore: Date;
  notAfter: Date;
  /** Of the certificate's DER form: upper-case pairs of hex digits with colons. */
  sha1: string;
  sha256: string;
  /** Base64 of SHA-256 of the public key (SubjectPublicKeyInfo), as RFC 7469 pins it. */
  keyPin: string;
  isAuthority: boolean;
}

const dayMs = 86_400_000;
const authorityYears = 20;
const brokerYears = 10;
/** X.520 allows a common name 64 characters. */
const commonNameMax = 64;

/**
 * A new CA for P-256 keys: starts a day before `now`, lasts 20 years, signs end certificates only. Its subject is the
 * name and six random digits: two CAs that are trusted at once are never mistaken for each other.
 */
export async function makeAuthority(name: string, now: Date): Promise<Pair> {
  const keys = await newKeys();
  const notBefore = wholeSecond(now.getTime() - dayMs);
  const subject = commonName(`${name.slice(0, commonNameMax - 7)} ${randomBytes(3).toString("hex")}`);
  const certificate = await x509.X509CertificateGenerator.create({
    ...{ serialNumber: newSerial(), subject, issuer: subject },
    ...{ notBefore, notAfter: yearsAfter(now, authorityYears) },
    ...{
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: { ...p256, hash: sha256 },
    },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: pemText(certificate), privateKeyPem: keys.privateKeyPem };
}

/**
 * A certificate for a server that is reached by `names` (host names and addresses, at least one). It starts with its CA
 * and lasts 10 years from `now`, at most as long as the CA. With `key` (PEM, P-256, P-384 or RSA) that key is kept.
 * Throws OperationError when a name is none, the CA is over, or a key can't be used or is not that of the CA.
 */
export async function issueBroker(
  authority: Pair,
  names: string[],
  options: { now: Date; key?: string },
): Promise<Pair> {
  const { now, key } = options;
  const unique = assertNames(names);
  const ca = parse(authority.certificatePem);
  const signing = await importSigningKey(authority.privateKeyPem, "the CA's key");
  assertAuthority(ca, signing.publicKeyDer, now);
  const keys = key === undefined ? await newKeys() : await keptKeys(key);
  const identifier = ca.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  const certificate = await x509.X509CertificateGenerator.create({
    ...{ serialNumber: newSerial(), subject: commonName(unique[0]!.slice(0, commonNameMax)) },
    ...{ issuer: ca.subjectName, notBefore: ca.notBefore },
    notAfter: new Date(Math.min(yearsAfter(now, brokerYears).getTime(), ca.notAfter.getTime())),
    ...{ publicKey: keys.publicKey, signingKey: signing.key, signingAlgorithm: signing.algorithm },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | (keys.isRsa ? x509.KeyUsageFlags.keyEncipherment : 0),
        true,
      ),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(unique.flatMap(alternativeNames)),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      // one that differs from the CA's own would make openssl look for another CA
      ...(identifier === undefined ? [] : [new x509.AuthorityKeyIdentifierExtension(identifier)]),
    ],
  });
  return { certificatePem: pemText(certificate), privateKeyPem: keys.privateKeyPem };
}

/** What a certificate says; the first one when there are several. Throws OperationError when it is none. */
export function readCertificate(pem: string): CertificateFacts {
  return reading(() => {
    const certificate = first(pem);
    const der = Buffer.from(certificate.rawData);
    const items = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
    const names = items.filter(({ type }) => type === "dns" || type === "ip").map(({ value }) => value);
    return {
      subject: certificate.subject,
      names: [...new Set(names)],
      notBefore: certificate.notBefore,
      notAfter: certificate.notAfter,
      sha1: fingerprint("sha1", der),
      sha256: fingerprint("sha256", der),
      keyPin: createHash("sha256").update(Buffer.from(certificate.publicKey.rawData)).digest("base64"),
      isAuthority: certificate.getExtension(x509.BasicConstraintsExtension)?.ca ?? false,
    };
  });
}

/** The certificates in a PEM text, each by itself with a line feed at its end; what stands around them is left out. */
export function splitPem(text: string): string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => `${block.replaceAll("\r", "")}\n`);
}

/** Whether the certificate says that `authority` issued it, and the signature of its key is right. */
export async function isIssuedBy(pem: string, authorityPem: string): Promise<boolean> {
  const [certificate, authority] = [parse(pem), parse(authorityPem)];
  if (certificate.issuer !== authority.subject) return false;
  return await certificate.verify({ publicKey: authority, signatureOnly: true }).catch(() => false);
}

/** Whether the private key (PEM) is that of the certificate. Throws OperationError when either can't be read. */
export function isKeyOf(privateKeyPem: string, certificatePem: string): boolean {
  const own = publicKeyOf(readKey(privateKeyPem, "the private key"));
  return own.equals(Buffer.from(parse(certificatePem).publicKey.rawData));
}

/** Throws OperationError unless each is a host name or an address. Returns each once. */
function assertNames(names: string[]): string[] {
  const wrong = names.find((name) =>
    isIP(name) === 0 &&
    !/^(?=.{1,253}$)(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i
      .test(name)
  ) ?? names.find((name) => name.includes("%"));
  if (names.length > 0 && wrong === undefined) return [...new Set(names)];
  throw new OperationError({
    ...{ operation: "issue a certificate", place: JSON.stringify(wrong ?? "") },
    cause: names.length === 0 ? "there is no name for it" : "it is neither a host name nor an address",
    remedy: "name the broker as its clients do, such as broker.example or 192.168.1.46",
  });
}

function alternativeNames(name: string): { type: "dns" | "ip"; value: string }[] {
  const dns = { type: "dns" as const, value: name };
  return isIP(name) === 0 ? [dns] : [{ type: "ip", value: name }, dns];
}

function assertAuthority(ca: x509.X509Certificate, publicKeyDer: Buffer, now: Date): void {
  const refuse = (cause: string, remedy: string) => {
    throw new OperationError({ operation: "issue a certificate", place: ca.subject, cause, remedy });
  };
  if (!publicKeyDer.equals(Buffer.from(ca.publicKey.rawData))) {
    refuse("the CA's key is not that of its certificate", "put the right pair back, from a backup");
  }
  if (now.getTime() >= ca.notAfter.getTime()) {
    refuse(
      `the CA is over since ${ca.notAfter.toISOString()}`,
      "change to a new one: broker rotate --ca begin",
    );
  }
}

function parse(pem: string): x509.X509Certificate {
  return reading(() => {
    const certificate = first(pem);
    // what is in it is looked at when it is asked for, and may then turn out to be damaged
    if (certificate.extensions.length > 0 && certificate.publicKey.rawData.byteLength === 0) {
      throw new Error("no key");
    }
    return certificate;
  });
}

function first(pem: string): x509.X509Certificate {
  const [text] = splitPem(pem);
  if (text === undefined) throw new Error("there is no certificate in it");
  return new x509.X509Certificate(text);
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new OperationError({
      ...{ operation: "read a certificate", place: "its PEM text", cause: reasonOf(error), from: error },
    });
  }
}

function commonName(text: string): x509.Name {
  return new x509.Name([{ CN: [{ utf8String: text }] }]);
}

const pemText = (certificate: x509.X509Certificate) => `${certificate.toString("pem").trim()}\n`;

/** 16 random bytes, positive and never shorter in DER (RFC 5280, 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = bytes[0]! & 0x7f | 0x40;
  return bytes.toString("hex");
}

/** Certificates know no fractions. */
const wholeSecond = (timeMs: number) => new Date(Math.floor(timeMs / 1_000) * 1_000);

function yearsAfter(date: Date, years: number): Date {
  const later = wholeSecond(date.getTime());
  later.setUTCFullYear(later.getUTCFullYear() + years);
  return later;
}

function fingerprint(algorithm: "sha1" | "sha256", der: Buffer): string {
  return createHash(algorithm).update(der).digest("hex").toUpperCase().match(/../g)!.join(":");
}
