import assert from "node:assert/strict";
import fc from "fast-check";
import { type Answers, configText, fileNames, needsOf } from "../../installer/config_text.ts";
import { Folder } from "./config_fixture.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("installer: the configuration is valid and says what was answered, whatever was", () => {
  using folder = new Folder();
  folder.put(fileNames.brokerCa, Deno.readTextFileSync(`${folder.dir}/ca.crt`));
  folder.put(fileNames.outputCa, Deno.readTextFileSync(`${folder.dir}/ca.crt`));
  folder.put(fileNames.password, "hunter2\n");
  folder.put(fileNames.apiKey, "a2V5\n");
  const plant = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
  // names that YAML would take for something else are the ones that matter
  const word = fc.oneof(
    fc.constantFrom(
      "true",
      "null",
      "1e5",
      "0x1f",
      "- a",
      "# b",
      "a: b",
      "'",
      '"',
      "~",
      "2026-11-24",
      "a\\b",
      "é",
    ),
    fc.string({ minLength: 1, maxLength: 80 }).filter((text) => !/\p{C}/u.test(text) && text.trim() === text),
  );
  const answers = fc.record({
    plant,
    broker: fc.constantFrom("mqtts://192.168.1.46:8883", "mqtts://[::1]:8883"),
    brokerCa: fc.boolean(),
    account: fc.option(word.filter((text) => text.trim() !== "")),
    outputUrls: fc.constantFrom<string[]>([], ["https://10.8.0.1:9200"], [
      "https://a:9200",
      "https://b:9200/es",
    ]),
    outputCa: fc.boolean(),
    apiKey: fc.boolean(),
  });
  fc.assert(
    fc.property(answers, ({ account, ...rest }) => {
      const given: Answers = {
        ...rest,
        ...(account === null ? {} : { username: account, password: true }),
        apiKey: rest.apiKey && rest.outputUrls.length > 0,
      };
      const text = configText(given);
      const settings = folder.load(text);
      assert.deepEqual(settings.warnings, []);
      assert.equal(settings.plant, given.plant);
      assert.equal(settings.mqtt.url, given.broker);
      assert.equal(settings.mqtt.username, given.username);
      assert.equal(settings.mqtt.caPem !== undefined, given.brokerCa);
      const [output] = settings.outputs;
      if (given.outputUrls!.length === 0) assert.equal(output!.type, "local");
      else assert.deepEqual(output!.type === "elasticsearch" && output!.urls, given.outputUrls);
      const names = needsOf(bytes(text)).credentials.map(({ name }) => name);
      assert.equal(names.includes(fileNames.password), account !== null);
      assert.equal(names.includes(fileNames.apiKey), given.apiKey);
    }),
    { numRuns: 200 },
  );
});

Deno.test("installer: without an answer the configuration is valid, and each line that is commented out is so without its #", () => {
  using folder = new Folder();
  const settings = folder.load(configText({}));
  assert.deepEqual([settings.mqtt.url, settings.outputs[0]!.type, settings.plant], [
    undefined,
    "local",
    "pi.example",
  ]);
  for (const name of Object.values(fileNames)) folder.put(name, "a2V5\n");
  folder.put(fileNames.brokerCa, Deno.readTextFileSync(`${folder.dir}/ca.crt`));
  folder.put(fileNames.outputCa, Deno.readTextFileSync(`${folder.dir}/ca.crt`));
  // a comment begins with a capital, an example with a key
  for (const answers of [{}, { outputUrls: ["https://10.8.0.1:9200"] }]) {
    const all = configText(answers).replace(/^( *)# (( *)[a-z_]+:)/gm, "$1$2");
    const everything = folder.load(all);
    assert.deepEqual([everything.plant, everything.outputs.length], ["vigo", 2]);
    assert.equal(everything.mqtt.statusTopic, "sensorlog/vigo");
  }
});

Deno.test("installer: the service gets the secrets that a configuration names by name, and the folders outside its own", () => {
  const config = `
mqtt: { url: "mqtts://x:8883", username: a, password_file: one, key_file: /srv/key, cert_file: c }
spool: { dir: /mnt/usb/spool }
outputs:
  a: { type: elasticsearch, urls: ["https://x:9200"], api_key_file: two }
  b: { type: elasticsearch, urls: ["https://y:9200"], username: u, password_file: one }
  c: { type: local, dir: /var/lib/sensorlog/other }
  d: { type: local, dir: /var/lib/sensorlogs }
`;
  assert.deepEqual(needsOf(bytes(config)), {
    credentials: [
      { name: "one", path: "/etc/sensorlog/one" },
      { name: "two", path: "/etc/sensorlog/two" },
    ],
    writableDirs: ["/mnt/usb/spool", "/var/lib/sensorlogs"],
  });
  assert.deepEqual(needsOf(bytes("")), { credentials: [], writableDirs: [] });
  assert.deepEqual(needsOf(bytes("a: [")), { credentials: [], writableDirs: [] });
});
