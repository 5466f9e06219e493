/** Certificates for tests, made with openssl (P-256), so that the agent is not tested against its own ideas of them. */
import { join } from "node:path";
import { succeed } from "./command.ts";

/** Paths of a certificate and its key, PEM. */
export interface Certificate {
  certificate: string;
  key: string;
}

export interface Certificates {
  dir: string;
  /** The CA that signed all but `otherServer`. */
  ca: Certificate;
  /** For 127.0.0.1, ::1 and localhost. */
  server: Certificate;
  /** Of the right CA, for elsewhere.example only. */
  wrongName: Certificate;
  /** For the right names, but its time is over. */
  expired: Certificate;
  /** For the right names, over in ten days. */
  endsSoon: Certificate;
  otherCa: Certificate;
  /** For the right names, of the other CA. */
  otherServer: Certificate;
  /** A client's, of the right CA. */
  client: Certificate;
}

const here = "DNS:localhost,IP:127.0.0.1,IP:::1";
const keyOptions = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

const at = (dir: string, name: string): Certificate => ({
  certificate: join(dir, `${name}.crt`),
  key: join(dir, `${name}.key`),
});

async function makeCa(dir: string, name: string, commonName: string): Promise<Certificate> {
  const ca = at(dir, name);
  await succeed("openssl", [
    ...["req", "-x509", ...keyOptions, "-days", "90", "-subj", `/CN=${commonName}`],
    ...["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
    ...["-keyout", ca.key, "-out", ca.certificate],
  ]);
  return ca;
}

interface Leaf {
  name: string;
  ca: Certificate;
  alternativeNames?: string;
  usage: "serverAuth" | "clientAuth";
  days?: string;
}

async function makeLeaf(dir: string, leaf: Leaf): Promise<Certificate> {
  const made = at(dir, leaf.name);
  const request = join(dir, `${leaf.name}.csr`);
  const extensions = join(dir, `${leaf.name}.ext`);
  await Deno.writeTextFile(
    extensions,
    `basicConstraints=CA:FALSE\nextendedKeyUsage=${leaf.usage}\n` +
      (leaf.alternativeNames === undefined ? "" : `subjectAltName=${leaf.alternativeNames}\n`),
  );
  await succeed("openssl", [
    "req",
    ...keyOptions,
    "-subj",
    `/CN=${leaf.name}`,
    "-keyout",
    made.key,
    "-out",
    request,
  ]);
  await succeed("openssl", [
    ...["x509", "-req", "-in", request, "-CA", leaf.ca.certificate, "-CAkey", leaf.ca.key, "-CAcreateserial"],
    ...["-days", leaf.days ?? "90", "-extfile", extensions, "-out", made.certificate],
  ]);
  return made;
}

async function make(): Promise<Certificates> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-lab-certificates-" });
  globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));
  const [ca, otherCa] = await Promise.all([
    makeCa(dir, "ca", "lab CA"),
    makeCa(dir, "other-ca", "another CA"),
  ]);
  const server = { ca, usage: "serverAuth", alternativeNames: here } as const;
  return {
    dir,
    ca,
    otherCa,
    // one after another: they share the CA's file of serial numbers
    server: await makeLeaf(dir, { ...server, name: "server" }),
    wrongName: await makeLeaf(dir, {
      ...server,
      name: "wrong-name",
      alternativeNames: "DNS:elsewhere.example",
    }),
    expired: await makeLeaf(dir, { ...server, name: "expired", days: "-1" }),
    endsSoon: await makeLeaf(dir, { ...server, name: "ends-soon", days: "10" }),
    client: await makeLeaf(dir, { ca, name: "client", usage: "clientAuth" }),
    otherServer: await makeLeaf(dir, { ...server, ca: otherCa, name: "other-server" }),
  };
}

let made: Promise<Certificates> | undefined;

/** The certificates of this test file's run; made once (about 0.2 s), removed at its end. */
export function certificates(): Promise<Certificates> {
  return made ??= make();
}

/** SHA-256 of a certificate's DER form, 64 lower-case hex digits: what a pin is compared with. */
export async function fingerprintSha256(path: string): Promise<string> {
  const text = await succeed("openssl", ["x509", "-in", path, "-noout", "-fingerprint", "-sha256"]);
  return text.slice(text.indexOf("=") + 1).trim().replaceAll(":", "").toLowerCase();
}
