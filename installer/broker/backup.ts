/**
 * The file that `broker backup` writes: named contents, encrypted with a passphrase. Pure: bytes in, bytes out.
 *
 * magic (16 bytes), version (1), salt (16), nonce (12), check (16), length of what follows (4, big-endian); the contents as
 * JSON, AES-256-GCM with its tag of 16 bytes, bound to all that stands before; SHA-256 of everything (32). Key and check
 * come from the passphrase by scrypt (RFC 7914). The sum tells a damaged file from a wrong passphrase, the check a wrong
 * passphrase from one who has changed the file and its sum.
 */
import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from "node:crypto";
import { OperationError } from "../../agent/base/errors.ts";

export interface Backup {
  /** When it was made, and on which machine. */
  made: Date;
  host: string;
  /** Contents by name; what the names mean is not this file's concern. */
  files: Map<string, Uint8Array>;
}

const magic = Buffer.from("sensorlog-backup", "latin1");
const version = 1;
const [saltBytes, nonceBytes, checkBytes, lengthBytes, tagBytes, sumBytes] = [16, 12, 16, 4, 16, 32];
const keyBytes = 32;
const headerBytes = magic.length + 1 + saltBytes + nonceBytes + checkBytes + lengthBytes;
/** 64 MiB and some tenths of a second on a Raspberry Pi, for each guess as well. */
const cost = { N: 65_536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 };

/** A backup is some dozens of KiB: what is larger is none. */
export const backupBytesMax = 32 * 1024 * 1024;
const filesMax = 200;
const nameMax = 200;
const passphraseMin = 8;
const passphraseMax = 1_024;
/** The same passphrase is typed in more than one form: an é of one or of two characters. */
const unicodeForm = "NFC";

/** Why a text can't be the passphrase of a new backup, as the rest of a sentence; or undefined. */
export function passphraseFault(passphrase: string): string | undefined {
  if ([...passphrase].length < passphraseMin) return `is shorter than ${passphraseMin} characters`;
  if (passphrase.length > passphraseMax) return `is longer than ${passphraseMax} characters`;
  if (/\p{Cc}/u.test(passphrase)) return "holds a control character";
  return undefined;
}

/** What comes from a passphrase: the key, and what tells whether it is the right one. */
export type Derive = (passphrase: string, salt: Uint8Array) => Promise<{ key: Buffer; check: Buffer }>;

/** The file; `derive` is another one in tests only. Throws OperationError for contents beyond what `openBackup` reads. */
export async function sealBackup(
  backup: Backup,
  passphrase: string,
  derive: Derive = byScrypt,
): Promise<Uint8Array> {
  const { made, host, files } = backup;
  const contents = Object.fromEntries([...files].map(([name, bytes]) => [name, bytes.toBase64()]));
  const plain = Buffer.from(JSON.stringify({ made: made.toISOString(), host, files: contents }));
  const long = [...files.keys()].find((name) => name.length > nameMax);
  if (plain.length > backupBytesMax - 1_024 || files.size > filesMax || long !== undefined) {
    const cause = long !== undefined
      ? `the name ${long} is too long`
      : `${files.size} files are too much for it`;
    throw new OperationError({ operation: "make a backup", place: "its contents", cause });
  }
  const [salt, nonce] = [randomBytes(saltBytes), randomBytes(nonceBytes)];
  const { key, check } = await derive(passphrase.normalize(unicodeForm), salt);
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(plain.length + tagBytes);
  const header = Buffer.concat([magic, Buffer.of(version), salt, nonce, check, length]);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(header);
  const whole = Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return new Uint8Array(Buffer.concat([whole, sumOf(whole)]));
}

/** Throws OperationError unless the bytes are a whole backup, as far as can be told without its passphrase. */
export function assertWhole(bytes: Uint8Array, place: string): void {
  const refuse = (cause: string, remedy: string) => {
    throw new OperationError({ operation: "read a backup", place, cause, remedy });
  };
  const another = "name what sensorlog-agent broker backup has written, or another copy of it";
  const start = bytes.subarray(0, magic.length);
  if (bytes.length === 0) refuse("it is empty", another);
  if (!magic.subarray(0, start.length).equals(start)) refuse("it is no backup of the broker", another);
  const made = bytes[magic.length];
  if (made !== undefined && made !== version) {
    refuse(
      `it has the format ${made}, and this program knows ${version}`,
      "use the version that has written it",
    );
  }
  const cut = (of: string) => refuse(`it is cut off: ${bytes.length} bytes of ${of} are there`, another);
  if (bytes.length < headerBytes) cut(`${headerBytes} or more`);
  const wanted = headerBytes + buffer(bytes).readUInt32BE(headerBytes - lengthBytes) + sumBytes;
  if (bytes.length < wanted) cut(String(wanted));
  if (bytes.length > wanted) {
    refuse(`it is longer than it says: ${bytes.length} bytes, not ${wanted}`, another);
  }
  const end = bytes.length - sumBytes;
  if (!sumOf(bytes.subarray(0, end)).equals(bytes.subarray(end))) {
    refuse("it is damaged: its checksum is not that of its contents", another);
  }
}

/** Its contents. Throws OperationError when it is not whole, the passphrase is wrong, or somebody has changed it. */
export async function openBackup(
  bytes: Uint8Array,
  passphrase: string,
  place: string,
  derive: Derive = byScrypt,
): Promise<Backup> {
  assertWhole(bytes, place);
  const refuse = (cause: string, remedy: string, from?: unknown) => {
    return new OperationError({ operation: "read a backup", place, cause, remedy, from });
  };
  let at = magic.length + 1;
  const next = (length: number) => buffer(bytes.subarray(at, at += length));
  const [salt, nonce, check] = [next(saltBytes), next(nonceBytes), next(checkBytes)];
  const keys = await derive(passphrase.normalize(unicodeForm), salt);
  if (!timingSafeEqual(keys.check, check)) {
    throw refuse("the passphrase is not that of this backup", "try another one; nothing was changed");
  }
  const body = bytes.subarray(headerBytes, bytes.length - sumBytes);
  try {
    if (body.length < tagBytes) throw new Error("there is nothing in it");
    const decipher = createDecipheriv("aes-256-gcm", keys.key, nonce);
    decipher.setAAD(bytes.subarray(0, headerBytes));
    decipher.setAuthTag(buffer(body.subarray(body.length - tagBytes)));
    const plain = Buffer.concat([
      decipher.update(body.subarray(0, body.length - tagBytes)),
      decipher.final(),
    ]);
    return contentsOf(JSON.parse(plain.toString("utf8")));
  } catch (error) {
    const remedy = "somebody has changed it, or this program has written it wrongly: use another copy";
    throw refuse("its contents are not what was encrypted", remedy, error);
  }
}

/** Throws for anything else than what `sealBackup` writes. */
function contentsOf(value: unknown): Backup {
  const { made, host, files } = value as { made: string; host: string; files: Record<string, string> };
  const entries = Object.entries(files);
  const date = new Date(made);
  if (typeof host !== "string" || Number.isNaN(date.getTime())) throw new Error("no date or host");
  if (entries.length > filesMax || entries.some(([name]) => name.length > nameMax)) {
    throw new Error("too much");
  }
  return {
    made: date,
    host,
    files: new Map(entries.map(([name, text]) => [name, Uint8Array.fromBase64(text)])),
  };
}

const byScrypt: Derive = (passphrase, salt) => {
  return new Promise((done, fail) => {
    scrypt(passphrase, salt, keyBytes + checkBytes, cost, (error, derived) => {
      if (error) return fail(error);
      done({ key: derived.subarray(0, keyBytes), check: derived.subarray(keyBytes) });
    });
  });
};

const sumOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
const buffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
