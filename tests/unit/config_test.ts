import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../agent/base/errors.ts";
import { loadSettings, socketOf } from "../../agent/config.ts";
import { payloadBytesMax } from "../../agent/limits.ts";
import { certificate, Folder } from "./config_fixture.ts";

Deno.test("config: everything has a default", () => {
  using folder = new Folder();
  for (const yaml of ["", "# nothing\n", "---\n", "mqtt:\nspool:\noutputs:\nlabels:\nlog:\n"]) {
    const settings = folder.load(yaml);
    assert.equal(settings.plant, "pi.example");
    assert.equal(settings.mqtt.url, undefined);
    assert.deepEqual(settings.mqtt.topics, ["#"]);
    assert.equal(settings.mqtt.qos, 1);
    assert.equal(settings.mqtt.maxPayloadBytes, 1_048_576);
    assert.equal(settings.mqtt.keepAliveS, 60);
    assert.deepEqual(settings.spool, {
      dir: "/var/lib/sensorlog/spool",
      maxSizeBytes: 2 * 2 ** 30,
      minFreeBytes: 512 * 2 ** 20,
      syncWindowMs: 20,
      whenFull: "block",
    });
    assert.deepEqual(settings.outputs, []);
    assert.deepEqual(settings.log, { format: "text", level: "info" });
    assert.equal(settings.socket, "/run/sensorlog/agent.sock");
  }
});

Deno.test("config: every key is understood", () => {
  using folder = new Folder();
  const settings = folder.load(`
plant: Vigo-2
host_ip: "fd00::1"
labels: {owner: me, shift: "2"}
labels_from_topic: "{area}/{machine}/+"
mqtt:
  url: mqtts://[fd00::2]:8883
  fingerprint_sha256: ${"AB:".repeat(31)}AB
  username: agent
  password_file: password
  cert_file: ca.crt
  key_file: client.key
  client_id: my agent
  topics: ["#", "$SYS/broker/#", $share/group/hall/+]
  exclude: [hall/#]
  qos: 2
  max_payload: 1.5MiB
  status_topic: sensorlog/vigo
  keep_alive: 2m
spool:
  dir: ${folder.dir}/spool
  max_size: 1TiB
  min_free: 1048576
  sync_window: 0
  when_full: drop_oldest
outputs:
  cloud:
    type: elasticsearch
    urls: [https://10.8.0.1:9200, "https://[fd00::3]/es/"]
    ca_file: ${folder.dir}/ca.crt
    api_key_file: key
    proxy: http://proxy:3128
    index: plant-%G.%V
    manage_template: false
  second-1:
    type: elasticsearch
    urls: [http://127.0.0.1:9200]
    username: u
    password_file: password
    data_stream: mqtt-plant
log: {format: json, level: debug}
`);
  assert.equal(settings.plant, "Vigo-2");
  assert.deepEqual(settings.labels, { owner: "me", shift: "2" });
  const { mqtt, spool, outputs } = settings;
  assert.equal(mqtt.fingerprintSha256, "ab".repeat(32));
  assert.equal(mqtt.password?.read(), "hunter2-in-a-file");
  assert.equal(mqtt.certificatePem, certificate);
  assert.match(mqtt.key!.read(), /PRIVATE KEY/);
  assert.equal(mqtt.clientId, "my agent");
  assert.deepEqual(mqtt.exclude, ["hall/#"]);
  assert.equal(mqtt.maxPayloadBytes, 1.5 * 2 ** 20);
  assert.equal(mqtt.keepAliveS, 120);
  assert.equal(spool.maxSizeBytes, 2 ** 40);
  assert.equal(spool.syncWindowMs, 0);
  assert.equal(spool.whenFull, "drop_oldest");
  assert.equal(settings.socket, join(folder.dir, "spool/agent.sock"));
  const [cloud, second] = outputs;
  assert.ok(cloud?.type === "elasticsearch" && second?.type === "elasticsearch");
  assert.equal(cloud.name, "cloud");
  assert.equal(cloud.caPem, certificate);
  assert.equal(cloud.apiKey?.read(), "aHVudGVyNTprZXk=");
  assert.equal(cloud.index, "plant-%G.%V");
  assert.equal(cloud.dataStream, undefined);
  assert.equal(cloud.manageTemplate, false);
  assert.equal(second.index, undefined);
  assert.equal(second.dataStream, "mqtt-plant");
  assert.deepEqual(settings.warnings, []);
});

Deno.test("config: the client id is the machine's own for ever, and tells nothing of the machine's id", () => {
  using folder = new Folder();
  folder.put("agent.yaml", "plant: vigo\n");
  const id = (hostname: string, machineId: string | undefined) =>
    loadSettings(folder.file, { machine: { hostname, machineId } }).mqtt.clientId;
  const machineId = "0123456789abcdef0123456789abcdef";
  assert.match(id("a", machineId), /^sensorlog-vigo-[0-9a-f]{10}$/);
  assert.equal(id("a", machineId), id("b", machineId));
  assert.notEqual(id("a", machineId), id("a", "1".repeat(32)));
  assert.notEqual(id("a", undefined), id("b", undefined));
  assert.ok(!machineId.includes(id("a", machineId).slice(-10)));
});

Deno.test("config: a host name that is no plant's name becomes one", () => {
  using folder = new Folder();
  folder.put("agent.yaml", "");
  const plant = (hostname: string) =>
    loadSettings(folder.file, { machine: { hostname, machineId: "x" } }).plant;
  assert.equal(plant("pi"), "pi");
  assert.equal(plant("-planta señor+#/"), "-planta-se-or---".replace(/^-/, ""));
  assert.equal(plant("ñ"), "plant");
  assert.equal(plant("x".repeat(200)), "x".repeat(63));
});

Deno.test("config: all problems come at once, each with line, column, what was found and what is allowed", () => {
  using folder = new Folder();
  const yaml = `mqttt: {}
mqtt:
  urll: x
  qos: 3
  qos: 1
  topics: #
  max_payload: ${payloadBytesMax + 1}
  keep_alive: 1500ms
spool:
  dir: rel
  when_full: blok
outputs:
  Cloud: {type: elasticsearch}
log: {level: warn}
`;
  assert.deepEqual(folder.problems(yaml), [
    "1:1: mqttt: there is no such key; did you mean mqtt?",
    "3:3: mqtt.urll: there is no such key; did you mean url?",
    "5:3: this key stands here for the second time; keep one of the two",
    '6:3: mqtt.topics: found nothing; allowed: a list of topic filters, each in quotes: ["…", "…"]',
    "7:16: mqtt.max_payload: found 4194305; allowed: 1KiB to 4MiB, as bytes or with KiB, MiB, GiB or TiB",
    '8:15: mqtt.keep_alive: found "1500ms"; allowed: 1s to 65535s, in whole s, with the unit ms, s, m, h or d',
    '10:8: spool.dir: found "rel", which does not begin with /; allowed: the whole path of a folder',
    '11:14: spool.when_full: found "blok"; allowed: block or drop_oldest; did you mean block?',
    "13:3: outputs.Cloud: an output's name has at most 63 of a-z, 0-9, _ and -, and begins with a letter or digit",
    "13:3: outputs.Cloud: urls is missing; allowed: a list such as [https://10.8.0.1:9200]",
    '14:14: log.level: found "warn"; allowed: error, warning, notice, info or debug; did you mean warning?',
  ]);
  assert.throws(() => folder.load(yaml), /agent\.yaml: 11 problems\n/);
});

Deno.test("config: an error that stands alone is one line", () => {
  using folder = new Folder();
  assert.throws(() => folder.load("mqtt:\n  qos: '1'\n"), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    const text = 'mqtt.qos: found "1"; allowed: 0, 1 or 2; write it without quotes';
    assert.equal(error.message, `check the configuration: ${folder.file}:2:8: ${text}`);
    return true;
  });
});

Deno.test("config: so many problems that nobody would read them are counted", () => {
  using folder = new Folder();
  const lines = folder.problems(Array.from({ length: 100 }, (_, i) => `zz${i}: 1\n`).join(""));
  assert.equal(lines.length, 31);
  assert.equal(lines.at(-1), "and 70 more");
});

Deno.test("config: what is no YAML is an error with its place, not a guess", () => {
  using folder = new Folder();
  const places: [string, RegExp][] = [
    ["mqtt:\n\turl: x\n", /^2:1: found a tab; indent with spaces$/],
    ["mqtt:\n  topics: [#]\n  qos: 1\n", /^2:12: .*# begins a comment/],
    ["mqtt:\n  url: 'x\n", /^3:1: .*closing quote/],
    ["mqtt:\n  url: a: b\n", /^2:8: found a second key on the line/],
    ["mqtt:\n  qos: 1\n spool:\n", /^3:1: the indentation/],
    ["a: *b\n", /^1:4: found \* before a name/],
    ["a: !b c\n", /^1:4: found a tag/],
    ["a: @b\n", /^1:4: a value can't begin with @/],
    ["---\na: 1\n---\nb: 1\n", /^3:1: found a second document/],
    ["%YAMLL\n---\na: 1\n", /^1:1: found a line that begins with %/],
    ["- a\n", /^1:1: found something else than a section; allowed: plant/],
    ["word\n", /^1:1: found something else than a section/],
    ["mqtt: 5\n", /^1:7: mqtt: found something else than a section; allowed: url/],
    ["? [a]\n: 1\n", /^1:3: a key must be a word/],
    ["__proto__: 1\n", /^1:1: __proto__: there is no such key/],
    [
      `a: &a [x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: [*c, *c, *c, *c]\n`,
      /^1:1: it refers to its own parts/,
    ],
    ["#".repeat(1_048_577), /^1:1: the file is larger than 1 MiB/],
  ];
  for (const [yaml, expected] of places) assert.match(folder.problems(yaml)[0] ?? "", expected, yaml);
  const latin = new Uint8Array([...new TextEncoder().encode("plant: a\nlabels: {a: "), 0xe9, 0x7d, 0x0a]);
  assert.match(folder.problems(latin)[0]!, /^2:13: found bytes that are not UTF-8/);
});

Deno.test("config: byte order mark, CRLF and anchors are no problem", () => {
  using folder = new Folder();
  const settings = folder.load("\ufeffplant: vigo\r\nmqtt:\r\n  topics: &t [a]\r\n  exclude: *t\r\n");
  assert.deepEqual([settings.plant, settings.mqtt.topics, settings.mqtt.exclude], ["vigo", ["a"], ["a"]]);
  assert.match(folder.problems("plant: vigo\r\nmqtt:\r\n  qos: 9\r\n")[0]!, /^3:8: /);
});

Deno.test("config: what is there but can't be read, and what is named but not there, is an error", () => {
  using folder = new Folder();
  assert.throws(
    () => loadSettings(join(folder.dir, "none.yaml")),
    /none\.yaml: there is no such file; name another/,
  );
  assert.throws(() => loadSettings(folder.dir), ConfigError);
  const byDefault = loadSettings(undefined, { defaultPath: join(folder.dir, "none.yaml") });
  assert.equal(byDefault.file, undefined);
  folder.put("agent.yaml", "plant: here\n");
  assert.equal(loadSettings(undefined, { defaultPath: folder.file }).plant, "here");
});

Deno.test("config: the socket is found without looking at anything else", () => {
  using folder = new Folder();
  folder.put("agent.yaml", `mqtt: {password_file: gone}\nspool: {dir: ${folder.dir}/s}\n`);
  assert.equal(socketOf(folder.file), `${folder.dir}/s/agent.sock`);
  folder.put("agent.yaml", "spool: {dir: /var/lib/sensorlog/spool/}\n");
  assert.equal(socketOf(folder.file), "/run/sensorlog/agent.sock");
  assert.equal(
    socketOf(undefined, { defaultPath: join(folder.dir, "none.yaml") }),
    "/run/sensorlog/agent.sock",
  );
  assert.match(folder.problems(`spool: {dir: /${"x".repeat(100)}}\n`)[0]!, /^1:14: spool\.dir: .*too long/);
});
