import assert from "node:assert/strict";
import { compareSettings } from "../../agent/config.ts";
import { Folder } from "./config_fixture.ts";

const before = `plant: vigo
mqtt:
  url: mqtts://h
  username: u
  password_file: password
  topics: ["#"]
outputs:
  cloud: {type: elasticsearch, urls: [https://h]}
`;

Deno.test("reload: the same configuration changes nothing", () => {
  using folder = new Folder();
  assert.deepEqual(compareSettings(folder.load(before), folder.load(`# a comment\n${before}`)), {
    reloadable: [],
    needsRestart: [],
  });
});

Deno.test("reload: filters, QoS, credentials, the spool's limits and the log's level hold at once", () => {
  using folder = new Folder();
  folder.put("other", "other\n");
  const after =
    before.replace('["#"]', "[a, b]\n  exclude: [c]\n  qos: 2").replace("username: u", "username: v")
      .replace("password_file: password", "password_file: other") +
    "spool: {max_size: 1GiB, min_free: 1GiB}\nlog: {level: debug}\n";
  assert.deepEqual(compareSettings(folder.load(before), folder.load(after)), {
    reloadable: [
      "log.level",
      "mqtt.exclude",
      "mqtt.password_file",
      "mqtt.qos",
      "mqtt.topics",
      "mqtt.username",
      "spool.max_size",
      "spool.min_free",
    ],
    needsRestart: [],
  });
});

Deno.test("reload: everything else is named as needing a restart", () => {
  using folder = new Folder();
  const after = `plant: lugo
host_ip: 10.0.0.1
labels: {a: b}
labels_from_topic: "{x}/#"
mqtt:
  url: mqtts://i
  ca_file: ca.crt
  username: u
  password_file: password
  client_id: mine
  max_payload: 2MiB
  status_topic: sensorlog/lugo
  keep_alive: 30s
  cert_file: ca.crt
  key_file: client.key
spool: {dir: /srv/spool, sync_window: 10ms, when_full: drop_oldest}
outputs:
  cloud: {type: elasticsearch, urls: [https://i], index: other, manage_template: false}
  second: {type: elasticsearch, urls: [https://h]}
log: {format: json}
`;
  const { reloadable, needsRestart } = compareSettings(folder.load(before), folder.load(after));
  assert.deepEqual(reloadable, []);
  assert.deepEqual(needsRestart, [
    "host_ip",
    "labels",
    "labels_from_topic",
    "log.format",
    "mqtt.ca_file",
    "mqtt.cert_file",
    "mqtt.client_id",
    "mqtt.keep_alive",
    "mqtt.key_file",
    "mqtt.max_payload",
    "mqtt.status_topic",
    "mqtt.url",
    "outputs.cloud.index",
    "outputs.cloud.manage_template",
    "outputs.cloud.urls",
    "outputs.second.index",
    "outputs.second.manage_template",
    "outputs.second.type",
    "outputs.second.urls",
    "plant",
    "spool.dir",
    "spool.sync_window",
    "spool.when_full",
  ]);
  assert.ok(
    compareSettings(folder.load(after), folder.load(before)).needsRestart.includes("outputs.second.urls"),
  );
});
