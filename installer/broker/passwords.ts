/**
 * Mosquitto's password file (mosquitto_passwd(1)): a line `NAME:HASH` for each account. Pure. The hashes are made here and
 * not by mosquitto_passwd, which takes a password on its command line or from a file that holds it in plain text.
 */
import { createHash, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import { OperationError } from "../../agent/base/errors.ts";

/**
 * Mosquitto works on a hash in its only thread, so this is also how long all others wait while a client connects: about a
 * millisecond on a Raspberry Pi 4. Its own default is 101. What protects a password here is that it is long and random.
 */
const iterationsMade = 1_000;
/** A hash that is to be looked at may not take longer than a moment. */
const iterationsMax = 10_000_000;
const saltBytes = 12;
const hashBytes = 64;

/** Letters and digits that can't be taken for one another when somebody types them. */
const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const passwordLength = 24;

/** A new password of 140 random bits. */
export function makePassword(): string {
  const letters: string[] = [];
  const limit = 256 - 256 % alphabet.length; // above, the first letters would be likelier
  while (letters.length < passwordLength) {
    for (const byte of randomBytes(passwordLength)) {
      if (byte < limit && letters.length < passwordLength) letters.push(alphabet[byte % alphabet.length]!);
    }
  }
  return letters.join("");
}

/** `$7$ITERATIONS$SALT$HASH`: PBKDF2 with SHA-512, salt and hash in base64. Without `salt` a new one is drawn. */
export function hashPassword(password: string, salt: Uint8Array = randomBytes(saltBytes)): string {
  return `$7$${iterationsMade}$${base64(salt)}$${base64(derived(password, salt, iterationsMade))}`;
}

/** Whether a hash is that of the password: `$7$` as above, or `$6$SALT$HASH` of Mosquitto before 2.0. Never throws. */
export function verifies(hash: string, password: string): boolean {
  const [before, kind, ...fields] = hash.split("$");
  if (before !== "") return false;
  if (kind === "7" && fields.length === 3) {
    const [iterations, salt, wanted] = [Number(fields[0]), bytesOf(fields[1]!), bytesOf(fields[2]!)];
    if (!Number.isSafeInteger(iterations) || iterations < 1 || iterations > iterationsMax) return false;
    return same(derived(password, salt, iterations), wanted);
  }
  if (kind === "6" && fields.length === 2) {
    const made = createHash("sha512").update(password).update(bytesOf(fields[0]!)).digest();
    return same(made, bytesOf(fields[1]!));
  }
  return false;
}

/** Why a text can't be a password at Mosquitto, as the rest of a sentence; or undefined. */
export function passwordFault(password: string): string | undefined {
  if (password === "") return "is empty";
  if (/\p{Cc}/u.test(password)) return "holds a control character";
  if (new TextEncoder().encode(password).length > 1_024) return "is longer than 1,024 bytes";
  return undefined;
}

/** The accounts of a file, name → hash, in its order. Throws OperationError for what Mosquitto would not take either. */
export function parsePasswords(text: string): Map<string, string> {
  const accounts = new Map<string, string>();
  for (const [at, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, name, hash] = /^([^:]+):(\S+)$/.exec(line) ?? [];
    if (name === undefined) throw damaged(at + 1, "is not NAME:HASH");
    if (accounts.has(name)) throw damaged(at + 1, "names an account for the second time");
    accounts.set(name, hash!);
  }
  return accounts;
}

/** The file of these accounts, as `parsePasswords` reads it. */
export function passwordsText(accounts: Map<string, string>): string {
  return [...accounts].map(([name, hash]) => `${name}:${hash}\n`).join("");
}

function derived(password: string, salt: Uint8Array, iterations: number): Uint8Array {
  return pbkdf2Sync(password, salt, iterations, hashBytes, "sha512");
}

const base64 = (bytes: Uint8Array) => bytes.toBase64();

/** No bytes for what is no base64. */
function bytesOf(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return new Uint8Array();
  }
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** The line itself stays out of it: what is not a hash may be a password. */
function damaged(line: number, cause: string): OperationError {
  return new OperationError({
    ...{ operation: "read the broker's accounts", place: `line ${line}`, cause: `it ${cause}` },
    remedy: "put the line right, or remove it",
  });
}
