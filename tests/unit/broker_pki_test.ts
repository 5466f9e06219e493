import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import fc from "fast-check";
import { OperationError } from "../../agent/base/errors.ts";
import {
  isIssuedBy,
  isKeyOf,
  issueBroker,
  makeAuthority,
  type Pair,
  readCertificate,
  splitPem,
} from "../../installer/broker/pki.ts";
import { finish, succeed } from "../lab/command.ts";

const now = new Date("2026-03-04T05:06:07.890Z");
const dayMs = 86_400_000;

/** Files in a folder of their own, for openssl. */
async function withFiles(
  files: Record<string, string>,
  use: (at: (name: string) => string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-pki-" });
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(dir, name), text, { mode: 0o600 });
    }
    await use((name) => join(dir, name));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Whether openssl takes the certificate of a server that it was given this name for, at that time. */
async function verifies(
  ca: string,
  certificate: string,
  name: string[],
  at = now,
  strict = ["-x509_strict"],
): Promise<string> {
  let said = "";
  await withFiles({ "ca.crt": ca, "broker.crt": certificate }, async (file) => {
    const time = ["-attime", String(Math.floor(at.getTime() / 1_000))];
    const args = ["verify", ...strict, "-purpose", "sslserver", "-CAfile", file("ca.crt"), ...time, ...name];
    const { code, stdout, stderr } = await finish("openssl", [...args, file("broker.crt")]);
    said = code === 0 ? "OK" : stdout + stderr;
  });
  return said;
}

Deno.test("pki: openssl takes the broker's certificate under each of its names, an address as an address and as a DNS name", async () => {
  const ca = await makeAuthority("sensorlog vigo", now);
  const names = ["broker.plant.example", "pi", "192.168.1.46", "2001:db8::46"];
  const broker = await issueBroker(ca, names, { now });
  for (const name of names) {
    assert.equal(
      await verifies(ca.certificatePem, broker.certificatePem, ["-verify_hostname", name]),
      "OK",
      name,
    );
  }
  for (const address of names.slice(2)) {
    assert.equal(
      await verifies(ca.certificatePem, broker.certificatePem, ["-verify_ip", address]),
      "OK",
      address,
    );
  }
  assert.match(
    await verifies(ca.certificatePem, broker.certificatePem, ["-verify_hostname", "192.168.1.47"]),
    /mismatch/,
  );
  const other = await makeAuthority("sensorlog vigo", now);
  assert.match(await verifies(other.certificatePem, broker.certificatePem, []), /unable to get local issuer/);
});

Deno.test("pki: a certificate made years after its CA holds for a clock that stands at the CA's first day", async () => {
  const ca = await makeAuthority("sensorlog vigo", now);
  const later = new Date(now.getTime() + 5 * 365 * dayMs);
  const broker = await issueBroker(ca, ["pi"], { now: later });
  const start = new Date(now.getTime() - dayMs + 1_000);
  assert.equal(await verifies(ca.certificatePem, broker.certificatePem, [], start), "OK");
  const [authority, facts] = [readCertificate(ca.certificatePem), readCertificate(broker.certificatePem)];
  assert.equal(authority.notBefore.toISOString(), "2026-03-03T05:06:07.000Z");
  assert.equal(authority.notAfter.toISOString(), "2046-03-04T05:06:07.000Z");
  assert.deepEqual(facts.notBefore, authority.notBefore);
  assert.equal(facts.notAfter.getTime() - later.getTime() > 9.9 * 365 * dayMs, true);
  const last = new Date(now.getTime() + 15 * 365 * dayMs);
  const capped = readCertificate((await issueBroker(ca, ["pi"], { now: last })).certificatePem);
  assert.deepEqual(capped.notAfter, authority.notAfter);
  await assert.rejects(
    issueBroker(ca, ["pi"], { now: new Date("2046-03-04T05:06:08Z") }),
    /the CA is over since 2046/,
  );
});

Deno.test("pki: facts are those that openssl finds", async () => {
  const ca = await makeAuthority("sensorlog vigo", now);
  const broker = await issueBroker(ca, ["pi", "10.0.0.7"], { now });
  const facts = readCertificate(broker.certificatePem + ca.certificatePem);
  assert.deepEqual([facts.names, facts.isAuthority, facts.subject], [["pi", "10.0.0.7"], false, "CN=pi"]);
  assert.equal(readCertificate(ca.certificatePem).isAuthority, true);
  await withFiles({ "broker.crt": broker.certificatePem }, async (file) => {
    const ask = (args: string[]) =>
      succeed("openssl", ["x509", "-in", file("broker.crt"), "-noout", ...args]);
    assert.equal((await ask(["-fingerprint", "-sha1"])).trim().split("=")[1], facts.sha1);
    assert.equal((await ask(["-fingerprint", "-sha256"])).trim().split("=")[1], facts.sha256);
    const script =
      `openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`;
    assert.equal((await succeed("sh", ["-c", script, "sh", file("broker.crt")])).trim(), facts.keyPin);
  });
});

Deno.test("pki: a kept key keeps its pin, a new one has another", async () => {
  const ca = await makeAuthority("sensorlog vigo", now);
  const first = await issueBroker(ca, ["pi"], { now });
  const renewed = await issueBroker(ca, ["pi"], { now, key: first.privateKeyPem });
  const changed = await issueBroker(ca, ["pi"], { now });
  const pins = [first, renewed, changed].map((pair) => readCertificate(pair.certificatePem).keyPin);
  assert.equal(pins[0], pins[1]);
  assert.notEqual(pins[0], pins[2]);
  assert.notEqual(readCertificate(first.certificatePem).sha1, readCertificate(renewed.certificatePem).sha1);
  assert.equal(isKeyOf(first.privateKeyPem, renewed.certificatePem), true);
  assert.equal(isKeyOf(first.privateKeyPem, changed.certificatePem), false);
});

Deno.test("pki: two CAs of one name are never mistaken for each other, in either order of trust", async () => {
  const [old, next] = [await makeAuthority("same", now), await makeAuthority("same", now)];
  assert.notEqual(readCertificate(old.certificatePem).subject, readCertificate(next.certificatePem).subject);
  for (const [signer, other] of [[old, next], [next, old]] as [Pair, Pair][]) {
    const broker = await issueBroker(signer, ["pi"], { now });
    for (const trusted of [[old, next], [next, old]]) {
      const both = trusted.map((one) => one.certificatePem).join("");
      assert.equal(await verifies(both, broker.certificatePem, ["-verify_hostname", "pi"]), "OK");
    }
    assert.equal(await isIssuedBy(broker.certificatePem, signer.certificatePem), true);
    assert.equal(await isIssuedBy(broker.certificatePem, other.certificatePem), false);
  }
});

Deno.test("pki: a CA that openssl made, RSA or P-384, and a kept RSA key are gone on with", async () => {
  await withFiles({}, async (file) => {
    for (const options of [["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]]) {
      await succeed("openssl", [
        ...[
          "req",
          "-x509",
          "-newkey",
          ...options,
          "-nodes",
          "-days",
          "3650",
          "-subj",
          "/C=ES/O=plant/CN=old CA",
        ],
        ...["-keyout", file("ca.key"), "-out", file("ca.crt")],
      ]);
      const ca = {
        certificatePem: await Deno.readTextFile(file("ca.crt")),
        privateKeyPem: await Deno.readTextFile(file("ca.key")),
      };
      const key = await succeed("openssl", ["genrsa", "-traditional", "2048"]);
      const broker = await issueBroker(ca, ["192.168.1.46"], { now: new Date(), key });
      const at = new Date(Date.now() + 60_000);
      assert.equal(
        await verifies(ca.certificatePem, broker.certificatePem, ["-verify_ip", "192.168.1.46"], at, []),
        "OK",
      );
      assert.equal(isKeyOf(key, broker.certificatePem), true);
      assert.equal(await isIssuedBy(broker.certificatePem, ca.certificatePem), true);
    }
  });
});

Deno.test("pki: what can't be used is refused with what it is", async () => {
  const ca = await makeAuthority("x", now);
  const other = await makeAuthority("x", now);
  for (
    const name of [
      "",
      "a b",
      "-a",
      "a..b",
      "fe80::1%eth0",
      "a\nb",
      "10.0.0.1/8",
      "x".repeat(64) + "." + "y".repeat(200),
    ]
  ) {
    await assert.rejects(
      issueBroker(ca, [name], { now }),
      /neither a host name nor an address/,
      JSON.stringify(name),
    );
  }
  await assert.rejects(issueBroker(ca, [], { now }), /there is no name/);
  const mixed = { certificatePem: ca.certificatePem, privateKeyPem: other.privateKeyPem };
  await assert.rejects(issueBroker(mixed, ["pi"], { now }), /key is not that of its certificate/);
  for (const form of ["-traditional", "-des3"]) {
    const key = await succeed("openssl", [
      "genrsa",
      ...new Set(["-des3", form]),
      "-passout",
      "pass:word",
      "2048",
    ]);
    await assert.rejects(issueBroker(ca, ["pi"], { now, key }), /encrypted with a passphrase/);
  }
  await assert.rejects(issueBroker(ca, ["pi"], { now, key: "nothing" }), /can't be read as PEM/);
  const ed25519 = generateKeyPairSync("ed25519").privateKey.export({
    type: "pkcs8",
    format: "pem",
  }) as string;
  await assert.rejects(issueBroker(ca, ["pi"], { now, key: ed25519 }), /of type ed25519/);
});

Deno.test("pki: whatever is no certificate is an OperationError, never anything else", async () => {
  const ca = await makeAuthority("x", now);
  const body = ca.certificatePem.split("\n").slice(1, -2).join("");
  const bytes = [...Uint8Array.fromBase64(body)];
  const pem = (der: Uint8Array) =>
    `-----BEGIN CERTIFICATE-----\n${der.toBase64()}\n-----END CERTIFICATE-----\n`;
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.uint8Array({ maxLength: 300 }).map(pem),
        fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)).map(([at, byte]) =>
          pem(Uint8Array.from(bytes.with(at, byte)))
        ),
        fc.nat(bytes.length).map((length) => pem(Uint8Array.from(bytes.slice(0, length)))),
      ),
      (text) => {
        for (const read of [readCertificate, (pem: string) => isKeyOf(ca.privateKeyPem, pem)]) {
          try {
            read(text);
          } catch (error) {
            if (!(error instanceof OperationError)) throw error;
          }
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

Deno.test("pki: certificates are found among whatever stands around them", async () => {
  const [one, two] = [await makeAuthority("one", now), await makeAuthority("two", now)];
  const text = `subject=one\r\n${
    one.certificatePem.replaceAll("\n", "\r\n")
  }\n${one.privateKeyPem}# two\n${two.certificatePem}rest`;
  assert.deepEqual(splitPem(text), [one.certificatePem, two.certificatePem]);
  assert.deepEqual(splitPem(""), []);
});
