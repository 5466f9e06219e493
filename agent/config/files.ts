/** Files that the configuration names: certificates, read at once, and secrets, read when they are used. */
import { X509Certificate } from "node:crypto";
import { isAbsolute, join } from "node:path";
import { certificateBlocks } from "../base/certificate.ts";
import { ConfigError, errorCode } from "../base/errors.ts";
import type { SecretFile } from "../settings.ts";
import type { Look, Report } from "./look.ts";
import type { Path } from "./problems.ts";

const fileBytesMax = 1024 * 1024;

/** Where names of files lead. */
export interface Places {
  /** Folder of the configuration. */
  beside: string;
  /** systemd's $CREDENTIALS_DIRECTORY: secrets are looked up there first. */
  credentialsDir: string | undefined;
}

/** The secret in a file: known by its path, read anew each time it is needed, so that it can be changed meanwhile. */
class FileSecret implements SecretFile {
  constructor(readonly path: string) {}

  read(): string {
    const content = secretOf(this.path);
    if ("secret" in content) return content.secret;
    throw new ConfigError({
      operation: "read a secret",
      place: this.path,
      cause: content.fault,
      remedy: "put the secret into this file, readable for the agent",
    });
  }
}

export class NamedFiles {
  constructor(
    private readonly look: Look,
    private readonly places: Places,
    private readonly report: Report,
    private readonly warn: Report,
  ) {}

  /** Certificates (PEM) that the key names; undefined without the key, and when a problem was reported. */
  certificates(path: Path): string | undefined {
    const name = this.look.text(path);
    if (name === undefined) return undefined;
    const file = isAbsolute(name) ? name : join(this.places.beside, name);
    const content = textOf(file);
    if ("fault" in content) {
      this.report(path, `${file}: ${content.fault}; name a file with certificates that the agent can read`);
      return undefined;
    }
    const fault = certificatesFault(content.text);
    if (fault !== undefined) this.report(path, `${file}: ${fault}`);
    else this.#warnOfExpiry(path, file, content.text);
    return content.text;
  }

  /** The secret that the key names. What stands behind the key is not shown when there is no such file: it may be one. */
  secret(path: Path): SecretFile | undefined {
    const name = this.look.text(path);
    if (name === undefined || /\p{Cc}/u.test(name)) return undefined;
    const file = this.#secretPath(name);
    if (file === undefined) {
      const looked = isAbsolute(name)
        ? "there is no such file"
        : `there is no such file in ${this.#secretFolders(name).join(" or ")}`;
      this.report(path, `${looked}; this is to be the name of a file that holds the secret, not the secret`);
      return undefined;
    }
    const content = secretOf(file);
    if ("fault" in content) {
      this.report(path, `the file: ${content.fault}; put the secret into it, readable for the agent`);
      return undefined;
    }
    const fault = secretFaults[String(path.at(-1))]?.(content.secret);
    if (fault !== undefined) this.report(path, `${file}: ${fault}`);
    const { mode } = Deno.statSync(file);
    if (mode !== null && (mode & 0o004) !== 0) {
      this.warn(path, `${file} can be read by every user of this machine: chmod o= ${file}`);
    }
    return new FileSecret(file);
  }

  #secretFolders(name: string): string[] {
    const { credentialsDir, beside } = this.places;
    return credentialsDir === undefined || name.includes("/") ? [beside] : [credentialsDir, beside];
  }

  #secretPath(name: string): string | undefined {
    const candidates = isAbsolute(name)
      ? [name]
      : this.#secretFolders(name).map((folder) => join(folder, name));
    return candidates.find((file) => {
      try {
        Deno.lstatSync(file);
        return true;
      } catch (error) {
        // a folder that can't be searched may well hold it: then reading says why not
        return error instanceof Deno.errors.PermissionDenied;
      }
    });
  }

  #warnOfExpiry(path: Path, file: string, pem: string): void {
    const expired = certificateBlocks(pem).map((block) => new X509Certificate(block))
      .find((certificate) => Date.parse(certificate.validTo) < Date.now());
    if (expired !== undefined) this.warn(path, `${file}: a certificate in it expired on ${expired.validTo}`);
  }
}

function textOf(file: string): { text: string } | { fault: string } {
  try {
    const { size, isFile } = Deno.statSync(file);
    if (!isFile) return { fault: "this is no file" };
    if (size > fileBytesMax) return { fault: "the file is larger than 1 MiB" };
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(file)) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { fault: "there is no such file" };
    if (error instanceof Deno.errors.PermissionDenied) {
      return { fault: `user id ${Deno.uid()} may not read it` };
    }
    if (error instanceof TypeError) return { fault: "it is not text in UTF-8" };
    return { fault: `it can't be read (${errorCode(error) ?? "unknown reason"})` };
  }
}

function secretOf(file: string): { secret: string } | { fault: string } {
  const content = textOf(file);
  if ("fault" in content) return content;
  const secret = content.text.replace(/\r?\n$/, "");
  if (secret === "") return { fault: "it is empty" };
  if (secret.includes("\0")) return { fault: "it contains a NUL character" };
  return { secret };
}

/** What is wrong with a secret that can be seen before it is used, by key. */
const secretFaults: Record<string, (secret: string) => string | undefined> = {
  api_key_file(secret) {
    if (/^[A-Za-z0-9+/_=-]+$/.test(secret)) return undefined;
    return "it holds no API key in base64 form; Elasticsearch shows that form as `encoded` when the key is made";
  },
  key_file(secret) {
    if (/ENCRYPTED/.test(secret)) return "the private key is encrypted; nobody is there to type its password";
    if (/-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/.test(secret)) return undefined;
    return "it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)";
  },
};

function certificatesFault(pem: string): string | undefined {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    return "it holds a private key; name a file with certificates only";
  }
  const blocks = certificateBlocks(pem);
  if (blocks.length === 0) return "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";
  try {
    for (const block of blocks) new X509Certificate(block);
    return undefined;
  } catch {
    return "a certificate in it is damaged";
  }
}
