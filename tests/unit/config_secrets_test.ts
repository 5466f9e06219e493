import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { ConfigError } from "../../agent/base/errors.ts";
import { compareSettings } from "../../agent/config.ts";
import { expiredCertificate, Folder, planted, privateKey } from "./config_fixture.ts";

const [inFile, inUrl, inline, apiKey] = planted as [string, string, string, string];

/** Everything that a person or a log could see of an error, or of settings. */
function everythingOf(thing: unknown): string {
  const parts = [Deno.inspect(thing, { depth: 20, showHidden: true }), JSON.stringify(thing)];
  if (thing instanceof Error) {
    parts.push(String(thing), thing.stack ?? "", JSON.stringify({ ...thing }), Deno.inspect(thing.cause));
  }
  return parts.join("\n");
}

function assertNoSecret(thing: unknown, because: string): void {
  const shown = everythingOf(thing);
  for (const secret of planted) {
    assert.ok(!shown.includes(secret), `${secret} in:\n${shown}\nfor:\n${because}`);
  }
}

/** Loads, and looks at what comes of it: settings or an error. */
function loadWatching(folder: Folder, yaml: string): void {
  try {
    assertNoSecret(folder.load(yaml), yaml);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assertNoSecret(error, yaml);
  }
}

const full = `plant: vigo
mqtt:
  url: mqtts://agent:${inUrl}@192.168.1.46:8883
  ca_file: ca.crt
  username: agent
  password_file: password
  password: ${inline}
outputs:
  cloud:
    type: elasticsearch
    urls: ["https://elastic:${inUrl}@10.8.0.1:9200"]
    api_key_file: ${apiKey}
    proxy: http://u:${inUrl}@proxy:3128
    api_key: ${inline}
  two:
    type: elasticsearch
    urls: ["https://10.8.0.1:9200"]
    username: u
    password_file: ${inline}
`;

Deno.test("config: no error shows a secret, wherever the secret was written", () => {
  using folder = new Folder();
  const secretKeys = [
    "mqtt.password_file",
    "mqtt.key_file",
    "outputs.o.password_file",
    "outputs.o.api_key_file",
  ];
  const values = [
    inline,
    `'${inline}'`,
    `"${inline}`,
    `[${inline}]`,
    `{${inline}: x}`,
    `!${inline} x`,
    `*${inline}`,
    `&${inline}`,
    `"\\${inline}"`,
    `@${inline}`,
    `|\n      ${inline}\n      ${inline}`,
    `a: ${inline}`,
    `"${inline}\\u0000"`,
    `/${inline}`,
  ];
  for (const key of secretKeys) {
    for (const value of values) {
      const levels = key.split(".");
      const yaml = levels.map((level, at) => "  ".repeat(at) + level + ":").join("\n") + ` ${value}\n`;
      loadWatching(folder, yaml);
    }
  }
  const urls = [
    `mqtts://u:${inUrl}@h`,
    `mqtts//u:${inUrl}@h`,
    `u:${inUrl}@h`,
    `mqtts://${inUrl}@`,
    `mqtts://h?token=${inUrl}`,
    `mqtts://h/${inUrl}`,
    `${inUrl}`,
    `mqtts://h:${inUrl}`,
    `mqtts://u:${inUrl} @h`,
  ];
  for (const url of urls) {
    loadWatching(folder, `mqtt: {url: "${url}"}\n`);
    loadWatching(folder, `mqtt: {url: ["${url}"]}\n`);
    loadWatching(
      folder,
      `outputs: {o: {type: elasticsearch, urls: ["${url}", "${url}"], proxy: "${url}"}}\n`,
    );
  }
  loadWatching(folder, full);
  // a line without its key, or without a quote, becomes part of its neighbour
  loadWatching(folder, `mqtt:\n  qos: 1\n    ${inline}\n  client_id: a\n`);
  loadWatching(folder, `plant: vigo\n  ${inline}\n`);
  loadWatching(folder, `outputs:\n  "o: ${inline}\n  ": {type: elasticsearch}\n`);
  loadWatching(folder, `labels:\n  ? a\n    ${inline}\n  : b\n`);
  loadWatching(folder, `mqtt: {qos: 1, "password ${inline}": x}\n`);
});

Deno.test("config: no error shows a secret, however the file is garbled", () => {
  using folder = new Folder();
  // what separates words in YAML stays out of the middle of a secret: half a secret would not be found anyway
  const piece = fc.constantFrom(
    "\t",
    "\n",
    " ",
    "  ",
    ":",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "- ",
    "# ",
    "!",
    "*",
    "&",
  );
  const edit = fc.record({
    at: fc.nat(full.length),
    remove: fc.nat(3),
    insert: fc.option(piece, { nil: "" }),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let yaml = full;
      for (const { at, remove, insert } of edits) {
        const secret = planted.some((one) => {
          const start = yaml.lastIndexOf(one, at);
          return start >= 0 && at + remove > start && at < start + one.length;
        });
        if (!secret) yaml = yaml.slice(0, at) + insert + yaml.slice(at + remove);
      }
      loadWatching(folder, yaml);
    }),
    { numRuns: 300 },
  );
});

Deno.test("config: the settings know where secrets are, not what they are", () => {
  using folder = new Folder();
  const yaml =
    `mqtt: {url: mqtts://h, username: u, password_file: password, cert_file: ca.crt, key_file: client.key}
outputs: {o: {type: elasticsearch, urls: [https://h], api_key_file: key}}
`;
  const settings = folder.load(yaml);
  assertNoSecret(settings, yaml);
  assertNoSecret(compareSettings(settings, folder.load(yaml.replace("username: u", "username: v"))), yaml);
  assert.ok(!everythingOf(settings).includes("PRIVATE KEY"));
  assert.equal(settings.mqtt.password!.read(), inFile);
});

Deno.test("secrets: systemd's credentials come before the file beside the configuration", () => {
  using folder = new Folder();
  folder.put("credentials/password", "from systemd\n");
  const yaml = "mqtt: {url: mqtts://h, username: u, password_file: password}";
  const { password } = folder.load(yaml).mqtt;
  assert.equal(password!.path, join(folder.credentials, "password"));
  assert.equal(password!.read(), "from systemd");
  const beside =
    folder.load(yaml.replace("password_file: password", `password_file: ./password`)).mqtt.password;
  assert.equal(beside!.read(), inFile);
  const absolute = folder.load(
    yaml.replace("password_file: password", `password_file: ${folder.dir}/password`),
  );
  assert.equal(absolute.mqtt.password!.read(), inFile);
});

Deno.test("secrets: read when they are used, less one line end, and an error when they are gone", () => {
  using folder = new Folder();
  const { password } = folder.load("mqtt: {url: mqtts://h, username: u, password_file: password}").mqtt;
  for (
    const [content, secret] of [["new", "new"], ["two\n", "two"], ["crlf\r\n", "crlf"], [
      " a\n\n",
      " a\n",
    ]] as const
  ) {
    folder.put("password", content);
    assert.equal(password!.read(), secret);
  }
  for (const [content, why] of [["", /is empty/], ["\n", /is empty/], ["a\0b", /NUL/]] as const) {
    folder.put("password", content);
    assert.throws(() => password!.read(), why);
  }
  folder.put("password", new Uint8Array([0xff, 0xfe]));
  assert.throws(() => password!.read(), /not text in UTF-8/);
  Deno.removeSync(password!.path);
  assert.throws(() => password!.read(), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /read a secret: .*password: there is no such file; put the secret/);
    return true;
  });
});

Deno.test("secrets: a missing one is named by its key, with the folders where it was looked for", () => {
  using folder = new Folder();
  const problems = folder.problems("mqtt:\n  url: mqtts://h\n  username: u\n  password_file: passwort\n");
  assert.deepEqual(problems, [
    "4:18: mqtt.password_file: there is no such file in DIR/credentials or DIR; " +
    "this is to be the name of a file that holds the secret, not the secret",
  ]);
});

Deno.test("secrets: one that everybody may read is warned of, one that can't be used is refused", () => {
  using folder = new Folder();
  const yaml = "outputs: {o: {type: elasticsearch, urls: [https://h], api_key_file: key}}";
  const about = (line: string) => line.includes("can be read by every user");
  assert.equal(folder.load(yaml).warnings.filter(about).length, 0);
  folder.put("key", apiKey, 0o640);
  assert.equal(folder.load(yaml).warnings.filter(about).length, 0);
  folder.put("key", apiKey, 0o644);
  assert.match(
    folder.load(yaml).warnings.find(about)!,
    /agent\.yaml:1:69: outputs\.o\.api_key_file: .*chmod o= /,
  );
  for (const [content, why] of [["id:key", /base64 form/], ["a b", /base64 form/], ["", /empty/]] as const) {
    folder.put("key", content);
    assert.match(folder.problems(yaml)[0]!, why);
  }
  const tls = "mqtt: {url: mqtts://h, cert_file: ca.crt, key_file: client.key}";
  folder.put("client.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----\n");
  assert.match(folder.problems(tls)[0]!, /encrypted/);
  folder.put("client.key", "no key");
  assert.match(folder.problems(tls)[0]!, /holds no private key/);
});

Deno.test("certificates: a file that is missing, empty, damaged or a key is an error at its line", () => {
  using folder = new Folder();
  const problem = (name: string) =>
    folder.problems(`mqtt:\n  url: mqtts://h\n  ca_file: ${name}\n`).join("\n");
  folder.put("empty.crt", "");
  folder.put("der.crt", new Uint8Array([0x30, 0x82, 0xff, 0x00]));
  folder.put("damaged.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  folder.put("both.pem", `${expiredCertificate}${privateKey}`);
  assert.match(
    problem("none.crt"),
    /^3:12: mqtt\.ca_file: DIR\/none\.crt: there is no such file; name a file/,
  );
  assert.match(problem("empty.crt"), /holds no certificate in PEM form/);
  assert.match(problem("der.crt"), /not text in UTF-8/);
  assert.match(problem("damaged.crt"), /damaged/);
  assert.match(problem("both.pem"), /holds a private key/);
  assert.match(problem("."), /this is no file/);
  const warnings = folder.load("mqtt: {url: mqtts://h, ca_file: expired.crt}").warnings;
  assert.match(warnings.join("\n"), /expired\.crt: a certificate in it expired on .*2021/);
});
