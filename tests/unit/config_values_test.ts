/** Every key on its own and against the others: what passes, and what is said of what does not. */
import assert from "node:assert/strict";
import { Folder } from "./config_fixture.ts";

/** The one problem of a configuration, without its place. */
function only(folder: Folder, yaml: string): string {
  const problems = folder.problems(yaml);
  assert.equal(problems.length, 1, `${yaml}\n${problems.join("\n")}`);
  return problems[0]!.replace(/^\d+:\d+: /, "");
}

const broker = (line: string) => `mqtt:\n  url: mqtts://h\n  ${line}\n`;
const output = (lines: string) =>
  `outputs:\n  o:\n    type: elasticsearch\n    urls: [https://h]\n    ${lines}\n`;

Deno.test("config: sizes and times are numbers with a unit, within their bounds", () => {
  using folder = new Folder();
  const size = (text: string) => folder.load(`spool: {max_size: ${text}}`).spool.maxSizeBytes;
  assert.equal(size("2GiB"), 2 ** 31);
  assert.equal(size("'16 MiB'"), 2 ** 24);
  assert.equal(size("16777216"), 2 ** 24);
  assert.equal(size("0.5TiB"), 2 ** 39);
  for (
    const bad of [
      "16777215",
      "2GB",
      "2gib",
      "-1",
      "1e99",
      "'0x1000000'",
      "2 GiB x",
      "[]",
      "true",
      "16777216.5",
    ]
  ) {
    assert.match(
      only(folder, `spool: {max_size: ${bad}}`),
      /^spool\.max_size: found .*; allowed: 16MiB to 1024TiB/,
      bad,
    );
  }
  const window = (text: string) => folder.load(`spool: {sync_window: ${text}}`).spool.syncWindowMs;
  assert.deepEqual(["20ms", "1s", "0", "0.5s", "'5 ms'"].map(window), [20, 1_000, 0, 500, 5]);
  for (const bad of ["20", "2s", "1001ms", "1 minute", "-1ms", "1.5.5s", "ms"]) {
    assert.match(
      only(folder, `spool: {sync_window: ${bad}}`),
      /^spool\.sync_window: found .*; allowed: 0 to 1s/,
      bad,
    );
  }
  assert.equal(folder.load(broker("keep_alive: 1d").replace("1d", "18h")).mqtt.keepAliveS, 64_800);
  assert.match(only(folder, broker("keep_alive: 1d")), /allowed: 1s to 65535s, in whole s/);
});

Deno.test("config: a broker's URL is mqtt or mqtts, host and port", () => {
  using folder = new Folder();
  const url = (text: string) => `mqtt: {url: ${JSON.stringify(text)}}`;
  for (
    const good of ["mqtt://h", "mqtts://h:8883", "mqtts://a_b.local:1/", "mqtt://[::1]:1883", "MQTTS://H"]
  ) {
    assert.equal(folder.load(url(good)).mqtt.url, good);
  }
  const bad: [string, RegExp][] = [
    ["ws://h", /comes with a later version; use mqtt or mqtts/],
    ["wss://h/mqtt", /comes with a later version; use mqtts/],
    ["ssl://h", /is mqtts here/],
    ["https://h", /no address of a broker/],
    ["ftp://h", /found the scheme ftp; allowed: mqtts or mqtt/],
    ["192.168.1.46:8883", /found no scheme/],
    ["h", /found no scheme/],
    ["mqtts:h", /found no scheme/],
    ["mqtts://", /no host/],
    ["mqtts://:8883", /without a host/],
    ["mqtts:///x", /found no host/],
    ["mqtts://h:99999", /without a host/],
    ["mqtts://h:0", /port 0/],
    ["mqtts://h/path", /found a path/],
    ["mqtts://h?x=1", /found \? or #/],
    ["mqtts://h#", /found \? or #/],
    ["mqtts://h h", /a space/],
    ["mqtts://h\n", /control character/],
    ["mqtts://h,i", /no host name/],
  ];
  for (const [text, expected] of bad) assert.match(only(folder, url(text)), expected, text);
});

Deno.test("config: an output's URLs are a list of http and https", () => {
  using folder = new Folder();
  const urls = (list: string) => `outputs: {o: {type: elasticsearch, urls: ${list}}}`;
  const [made] = folder.load(urls("[https://a:1/p, 'http://[::1]']")).outputs;
  assert.ok(made?.type === "elasticsearch");
  assert.deepEqual(made.urls, ["https://a:1/p", "http://[::1]"]);
  const bad: [string, RegExp][] = [
    ["https://a", /found text; allowed: a list/],
    ["[]", /found an empty list/],
    ["['localhost:9200']", /found no scheme/],
    ["[mqtts://h]", /allowed: https or http/],
    ["[https://a, https://a]", /urls\[1\]: this stands in the list already/],
    ["[[https://a]]", /found a list/],
  ];
  for (const [list, expected] of bad) assert.match(only(folder, urls(list)), expected, list);
  assert.match(only(folder, output("proxy: socks5://h")), /outputs\.o\.proxy: .*allowed: http, such as/);
});

Deno.test("config: topic filters follow MQTT 4.7", () => {
  using folder = new Folder();
  const topics = (list: string) => `mqtt: {topics: ${list}}`;
  for (const good of ['["#"]', '["+/a/#", "/", "a//b", "$SYS/#"]', '["$share/g/a/+"]']) {
    folder.load(topics(good));
  }
  for (
    const bad of ["a/#/b", "a#", "+a", "", "$share/g", "$share//a", "$share/+/a", `${"x".repeat(70_000)}`]
  ) {
    assert.match(only(folder, topics(JSON.stringify([bad]))), /^mqtt\.topics\[0\]: found/, bad.slice(0, 20));
  }
  assert.match(only(folder, topics("[a, 5]")), /topics\[1\]: found a number; .*in quotes/);
  assert.match(
    only(folder, "mqtt:\n  topics:\n    - #\n"),
    /topics\[0\]: found nothing; .*write it in quotes/,
  );
  assert.match(only(folder, topics("[]")), /found an empty list/);
  assert.match(only(folder, topics("a/b")), /found text; allowed: a list/);
  assert.match(only(folder, "mqtt: {exclude: [$share/g/a]}"), /a shared subscription/);
});

Deno.test("config: names that go into topics, ids and indices have the characters that these allow", () => {
  using folder = new Folder();
  for (const bad of ["'x y'", "a/b", "'+'", "-a", "ñ", "x".repeat(64), "''", "5", "null"]) {
    assert.match(only(folder, `plant: ${bad}`), /^plant: found .*; allowed: at most 63/, bad);
  }
  for (const bad of ["a/+", "'#'", "$SYS/x", "a/", "/a", "x".repeat(65_535)]) {
    assert.match(only(folder, broker(`status_topic: ${bad}`)), /^mqtt\.status_topic: found/, bad.slice(0, 9));
  }
  assert.match(only(folder, broker(`client_id: "a\\tb"`)), /^mqtt\.client_id: .*control characters/);
  assert.match(only(folder, broker(`client_id: ${"ñ".repeat(40_000)}`)), /^mqtt\.client_id: .*too long/);
  for (const bad of ["MQTT-x", "'%Y'", "'mqtt-%M'", "-x", "'a b'", "a*"]) {
    assert.match(only(folder, output(`index: ${bad}`)), /^outputs\.o\.index: found/, bad);
  }
  assert.match(only(folder, output("data_stream: 'a,b'")), /^outputs\.o\.data_stream: found/);
  for (const bad of ["a.b", "'1a'", "plant", "'a b'"]) {
    assert.match(only(folder, `labels: {${bad}: x}`), /^labels\./, bad);
  }
  assert.match(only(folder, "labels: {a: 5}"), /found 5; .*write it in quotes/);
  assert.match(only(folder, "labels: {a: null}"), /found nothing/);
  for (const bad of ["a/b", "{a}/{a}", "{a b}", "x{a}/{b}", "{}", "{plant}", "{a}/#/b"]) {
    assert.match(only(folder, `labels_from_topic: "${bad}"`), /^labels_from_topic: found/, bad);
  }
  assert.equal(folder.load('labels_from_topic: "{a}/x/+/{b}/#"').labelsFromTopic, "{a}/x/+/{b}/#");
  assert.match(
    only(folder, 'labels: {area: x}\nlabels_from_topic: "{area}/#"'),
    /^labels\.area: labels_from_topic/,
  );
  assert.match(only(folder, "host_ip: 1.2.3"), /^host_ip: found "1\.2\.3"/);
});

Deno.test("config: keys that exclude or need each other", () => {
  using folder = new Folder();
  const expected: [string, string, RegExp][] = [
    [
      broker("ca_file: ca.crt\n  fingerprint_sha256: " + "a".repeat(64)),
      "fingerprint_sha256",
      /ca_file stands/,
    ],
    [broker("cert_file: ca.crt"), "cert_file", /key_file is missing/],
    [broker("key_file: client.key"), "key_file", /cert_file is missing/],
    [broker("password_file: password"), "password_file", /username is missing/],
    ["mqtt: {url: mqtt://h, ca_file: ca.crt}", "ca_file", /needs TLS/],
    [`mqtt: {url: mqtt://h, fingerprint_sha256: ${"a".repeat(64)}}`, "fingerprint_sha256", /needs TLS/],
    [output("index: a\n    data_stream: b"), "data_stream", /index stands beside it/],
    [output("username: u"), "username", /password_file is missing/],
    [output("password_file: password"), "password_file", /username is missing/],
    ["outputs: {o: {type: elasticsearch, urls: [http://h], ca_file: ca.crt}}", "ca_file", /needs TLS/],
  ];
  for (const [yaml, key, text] of expected) {
    const problem = only(folder, yaml);
    assert.match(problem, new RegExp(`^\\S+\\.${key}: `), yaml);
    assert.match(problem, text, yaml);
  }
  const both = folder.problems(output("api_key_file: key\n    username: u\n    password_file: password"));
  assert.equal(both.filter((line) => line.includes("api_key_file stands beside it")).length, 2);
  assert.match(only(folder, "outputs: {o: {urls: [https://h]}}"), /type is missing; allowed: elasticsearch/);
  assert.match(only(folder, "outputs: {o: {type: elasticsearch}}"), /urls is missing/);
  assert.match(only(folder, "outputs: {o: 5}"), /^outputs\.o: found something else than a section/);
  assert.match(only(folder, "outputs: [a]"), /^outputs: found something else than a section/);
  assert.match(only(folder, output("").replace("type: elasticsearch", "type: elastic")), /did you mean/);
});

Deno.test("config: what would cross the network in the clear is warned of, and works", () => {
  using folder = new Folder();
  const warnings = (yaml: string) =>
    folder.load(yaml).warnings.filter((line) => line.includes("in the clear"));
  const secret = "username: u, password_file: password";
  assert.equal(warnings(`mqtt: {url: mqtt://10.0.0.1, ${secret}}`).length, 1);
  assert.equal(warnings(`mqtt: {url: mqtt://localhost, ${secret}}`).length, 0);
  assert.equal(warnings(`mqtt: {url: mqtts://10.0.0.1, ${secret}}`).length, 0);
  assert.equal(warnings(`outputs: {o: {type: elasticsearch, urls: [http://es], ${secret}}}`).length, 1);
  assert.equal(warnings(`outputs: {o: {type: elasticsearch, urls: ["http://[::1]"], ${secret}}}`).length, 0);
});
