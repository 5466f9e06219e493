import assert from "node:assert/strict";
import { compareSettings, loadSettings } from "../../agent/config.ts";
import { Folder } from "./config_fixture.ts";

const account = "username: agent, password_file: password";
const certificate = "cert_file: ca.crt, key_file: client.key";

/** As a hand-started `run` reads it. */
function byHand(folder: Folder, yaml: string) {
  folder.load(yaml);
  return loadSettings(folder.file, { embedded: true, credentialsDir: folder.credentials });
}

Deno.test("config: mqtt.listen opens the agent's own broker at an address and port", () => {
  using folder = new Folder();
  const listen = (text: string) => folder.load(`mqtt: {listen: ${text}}`).mqtt.listen;
  assert.deepEqual(listen("127.0.0.1:1883"), { host: "127.0.0.1", port: 1883 });
  assert.deepEqual(listen('"[::1]:0"'), { host: "::1", port: 0 });
  assert.equal(folder.load("").mqtt.listen, undefined);
  for (
    const text of ["localhost:1883", "127.0.0.1", "127.0.0.1:65536", '"::1:1883"', '":1883"', "300.0.0.1:1"]
  ) {
    const [problem] = folder.problems(`mqtt: {listen: ${text}}`);
    assert.match(
      problem!,
      /^1:16: mqtt\.listen: found .*; allowed: an address and a port, such as 127\.0\.0\.1:1883/,
    );
  }
  assert.match(folder.problems("mqtt: {listen: 1883}")[0]!, /allowed: an address and a port/);
});

Deno.test("config: mqtt.listen off loopback needs an account and a certificate", () => {
  using folder = new Folder();
  const problems = (more: string, host = "0.0.0.0") =>
    folder.problems(`mqtt: {listen: "${host}:1883", ${more}}`);
  assert.deepEqual(problems(`${account}, ${certificate}`), []);
  assert.deepEqual(problems("", "127.9.9.9"), []);
  assert.deepEqual(problems("", "[::1]"), []);
  for (const host of ["0.0.0.0", "192.168.1.46", "[::]", "[fd00::1]"]) {
    assert.match(
      problems("", host)[0]!,
      /username, password_file, cert_file, key_file missing; write them, or listen/,
    );
  }
  assert.match(problems(account)[0]!, /takes a password and TLS: cert_file, key_file missing/);
  assert.match(problems(certificate)[0]!, /takes a password and TLS: username, password_file missing/);
  // half an account is a mistake on loopback, too
  assert.match(problems("username: agent", "127.0.0.1")[0]!, /password_file is missing/);
  assert.match(problems("cert_file: ca.crt", "127.0.0.1")[0]!, /key_file is missing/);
});

Deno.test("config: mqtt.listen goes with nothing that belongs to a connection to another broker", () => {
  using folder = new Folder();
  const problems = (more: string) => folder.problems(`mqtt: {listen: "127.0.0.1:1883", ${more}}`);
  assert.match(problems("url: mqtt://127.0.0.1")[0]!, /mqtt\.listen: url stands beside it; keep url for/);
  for (const key of ["ca_file: ca.crt", "client_id: x", "qos: 2", "status_topic: s/x", "keep_alive: 60s"]) {
    assert.match(problems(key)[0]!, /this belongs to a connection to mqtt\.url/);
  }
  assert.deepEqual(problems('topics: ["hall/#"], exclude: ["hall/x"], max_payload: 2KiB'), []);
});

Deno.test("config: a run by hand without a broker opens its own; the service does not", () => {
  using folder = new Folder();
  assert.deepEqual(byHand(folder, "").mqtt.listen, { host: "127.0.0.1", port: 1883 });
  assert.deepEqual(byHand(folder, "").warnings, []);
  assert.deepEqual(byHand(folder, "mqtt: {listen: 127.0.0.1:7}").mqtt.listen, { host: "127.0.0.1", port: 7 });
  const other = byHand(folder, "mqtt: {url: mqtt://127.0.0.1}");
  assert.equal(other.mqtt.listen, undefined);
  const service = folder.load("");
  assert.equal(service.mqtt.listen, undefined);
  assert.match(service.warnings[0]!, /mqtt: url is missing: no broker is configured/);
});

Deno.test("config: another address for the own broker needs a restart, other filters do not", () => {
  using folder = new Folder();
  const load = (yaml: string) => folder.load(yaml);
  assert.deepEqual(
    compareSettings(
      load('mqtt: {listen: 127.0.0.1:1, topics: ["a"]}'),
      load('mqtt: {listen: 127.0.0.1:2, topics: ["b"]}'),
    ),
    { reloadable: ["mqtt.topics"], needsRestart: ["mqtt.listen"] },
  );
});

Deno.test("config: a run by hand without outputs has a local store; the service does not, nor who wants none", () => {
  using folder = new Folder();
  for (const yaml of ["", "outputs:\n", "mqtt: {url: mqtt://127.0.0.1}"]) {
    const places = byHand(folder, yaml).outputs.map((one) => one.type === "local" && [one.name, one.dir]);
    assert.deepEqual(places, [["local", "/var/lib/sensorlog/store"]], yaml);
  }
  assert.deepEqual(byHand(folder, "outputs: {}").outputs, []);
  const own =
    byHand(folder, "outputs: {cloud: {type: elasticsearch, urls: [http://127.0.0.1:9200]}}").outputs;
  assert.deepEqual(own.map((one) => one.name), ["cloud"]);
  assert.deepEqual(folder.load("").outputs, []);
});
