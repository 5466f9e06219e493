/** Private keys of CA and broker: new ones, and those that stand there in whatever form of PEM. Pure. */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { OperationError, reasonOf } from "../../agent/base/errors.ts";

/** Of new keys. */
export const p256 = { name: "ECDSA", namedCurve: "P-256" };
export const sha256 = "SHA-256";

/** The public half for a certificate, and the private one as PKCS#8 in PEM. */
export interface Keys {
  publicKey: CryptoKey;
  privateKeyPem: string;
  isRsa: boolean;
}

/** A new key on P-256. */
export async function newKeys(): Promise<Keys & { privateKey: CryptoKey }> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(p256, true, ["sign", "verify"]);
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", privateKey));
  const privateKeyPem = createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    .export({ type: "pkcs8", format: "pem" }) as string;
  return { publicKey, privateKey, privateKeyPem, isRsa: false };
}

/** The key as it is, and its public half for a new certificate. Throws OperationError when it can't be used. */
export async function keptKeys(pem: string): Promise<Keys> {
  const key = readKey(pem, "the broker's key");
  const algorithm = importAlgorithm(key, "the broker's key");
  const publicKey = await crypto.subtle.importKey("spki", new Uint8Array(publicKeyOf(key)), algorithm, true, [
    "verify",
  ]);
  const privateKeyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
  return { publicKey, privateKeyPem, isRsa: key.asymmetricKeyType === "rsa" };
}

/** The key of a CA, to sign with. `what` names it in errors. Throws OperationError when it can't be used. */
export async function importSigningKey(pem: string, what: string) {
  const key = readKey(pem, what);
  const algorithm = importAlgorithm(key, what);
  const der = key.export({ type: "pkcs8", format: "der" });
  return {
    key: await crypto.subtle.importKey("pkcs8", new Uint8Array(der), algorithm, false, ["sign"]),
    algorithm,
    publicKeyDer: publicKeyOf(key),
  };
}

type PrivateKey = ReturnType<typeof createPrivateKey>;

/** Any PEM form: PKCS#8, SEC 1 or PKCS#1 as openssl writes them. Throws OperationError when it is none. */
export function readKey(pem: string, what: string): PrivateKey {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const locked = pem.includes("ENCRYPTED");
    throw new OperationError({
      ...{ operation: "read a private key", place: what },
      cause: locked ? "it is encrypted with a passphrase" : `it can't be read as PEM: ${reasonOf(error)}`,
      remedy: locked
        ? "decrypt it with openssl pkey, as root, into a file of mode 0600"
        : "put the right file back, from a backup",
      from: error,
    });
  }
}

/** SubjectPublicKeyInfo, DER. */
export function publicKeyOf(key: PrivateKey): Buffer {
  const pem = key.export({ type: "pkcs8", format: "pem" });
  return createPublicKey(pem).export({ type: "spki", format: "der" }) as Buffer;
}

/** Curves by the names of OpenSSL and of WebCrypto. */
const curves: Record<string, string> = {
  prime256v1: "P-256",
  "p256": "P-256",
  secp384r1: "P-384",
  "p384": "P-384",
};

function importAlgorithm(key: PrivateKey, what: string) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: sha256 };
  const namedCurve = curves[details?.namedCurve ?? ""];
  if (type === "ec" && namedCurve !== undefined) return { name: "ECDSA", namedCurve, hash: sha256 };
  throw new OperationError({
    ...{ operation: "use a private key", place: what },
    cause: `it is of type ${
      [type, details?.namedCurve].filter(Boolean).join(" ")
    }, and only RSA, P-256 and P-384 are known`,
    remedy: "change to a new one: broker rotate --key, or --ca begin for that of the CA",
  });
}
