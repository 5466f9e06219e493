import assert from "node:assert/strict";
import { join } from "node:path";
import type { ConfFiles } from "../../installer/broker/conf.ts";
import { filesNamed, findOriginal, type Original, parseRegistry } from "../../installer/broker/original.ts";
import { projectDir } from "../lab/paths.ts";

const pi = "/srv/pi";
const packaged =
  "persistence true\npersistence_location /var/lib/mosquitto/\ninclude_dir /etc/mosquitto/conf.d\n";
const appended = [
  ...["allow_anonymous false", "password_file /etc/mosquitto/mqttpwdfile"],
  ...["cafile /etc/mosquitto/ca_certificates/ca.crt", "certfile /etc/mosquitto/certs/broker.crt"],
  ...["keyfile /etc/mosquitto/certs/broker.key", "tls_version tlsv1.2", ""],
].join("\n");
const cleaner = `@weekly /usr/bin/python3 ${pi}/cleanFiles.py /var/lib/filebeat/registry/filebeat/data.json`;

function fixture(name: string): string {
  return Deno.readTextFileSync(join(projectDir, "tests/e2e/original", name)).replaceAll("@PI@", pi);
}

function original(): Record<string, string> {
  return {
    "/etc/mosquitto/mosquitto.conf": packaged + appended,
    "/etc/systemd/system/stMQTT.service": fixture("stMQTT.service"),
    "/etc/systemd/system/stVPN.service": fixture("stVPN.service"),
    "/lib/systemd/system/filebeat.service": "[Service]\nExecStart=/usr/share/filebeat/bin/filebeat\n",
    [`${pi}/mqtt_sub.sh`]: fixture("mqtt_sub.sh"),
    "/etc/filebeat/filebeat.yml": fixture("filebeat.yml"),
    "/var/spool/cron/crontabs/root": `# m h\n0 3 * * * /usr/bin/other\n${cleaner}\n`,
  };
}

function filesOf(texts: Record<string, string>): ConfFiles {
  return {
    text: (path) => texts[path],
    names: (dir) => {
      const inside = Object.keys(texts).filter((path) => path.startsWith(`${dir === "/" ? "" : dir}/`));
      const names = inside.map((path) => path.slice(dir === "/" ? 1 : dir.length + 1).split("/")[0]!);
      return names.length === 0 ? undefined : [...new Set(names)];
    },
  };
}

const find = (change: Record<string, string | undefined> = {}) => {
  const texts = Object.entries({ ...original(), ...change }).filter(([, text]) => text !== undefined);
  return findOriginal(filesOf(Object.fromEntries(texts as [string, string][])));
};

Deno.test("adopt: the original is found, whole, from what its manual puts on the machine", () => {
  const { named, ...found } = find() as Original;
  assert.deepEqual(found, {
    listener: {
      ...{ port: 1883, host: "127.0.0.1", caFile: "/etc/mosquitto/ca_certificates/ca.crt" },
      certificateFile: "/etc/mosquitto/certs/broker.crt",
    },
    passwordFile: "/etc/mosquitto/mqttpwdfile",
    units: [
      { name: "stMQTT.service", role: "messages" },
      { name: "stVPN.service", role: "vpn" },
      { name: "filebeat.service", role: "shipper" },
    ],
    format: "%I %t %p",
    filePatterns: [`${pi}/mqtt/mqtt-*.*.*.log`],
    registry: "/var/lib/filebeat/registry/filebeat/data.json",
    cronLines: [cleaner],
    included: true,
  });
  assert.ok(named.has("persistence_location") && named.has("certfile") && !named.has("autosave_interval"));
});

Deno.test("adopt: where nobody but the agent has set accounts up, there is nothing to adopt", () => {
  const own = "listener 8883\npassword_file /etc/mosquitto/sensorlog/passwords\n";
  assert.equal(find({ "/etc/mosquitto/mosquitto.conf": undefined }), undefined);
  const texts = { "/etc/mosquitto/mosquitto.conf": packaged, "/etc/mosquitto/conf.d/sensorlog.conf": own };
  assert.equal(find(texts), undefined);
});

Deno.test("adopt: the listener with TLS is the one of the sensors, wherever it stands", () => {
  const listener = (conf: string) => {
    const found = find({ "/etc/mosquitto/mosquitto.conf": `password_file /p\n${conf}` })!.listener;
    return `${found.host}:${found.port} ${found.certificateFile} ${found.caFile}`;
  };
  const cases: [string, string][] = [
    ["", "127.0.0.1:1883 undefined undefined"],
    ["port 1884\ncertfile /c\ncafile /a", "127.0.0.1:1884 /c /a"],
    ["listener 1884", "127.0.0.1:1884 undefined undefined"],
    ["listener 1884\nlistener 8883 192.168.1.46\ncertfile /c\ncafile /a", "192.168.1.46:8883 /c /a"],
    ["certfile /c\nlistener 1884", "127.0.0.1:1883 /c undefined"],
    ["listener 9001\nprotocol websockets\nlistener 8883 0.0.0.0\ncertfile /c", "127.0.0.1:8883 /c undefined"],
    [
      "listener 9001\nprotocol websockets\ncertfile /w\nlistener 8883\ncertfile /c",
      "127.0.0.1:8883 /c undefined",
    ],
    ["listener 0 /run/mosquitto.sock\nlistener 8883 ::\ncertfile /c", "127.0.0.1:8883 /c undefined"],
    ["bind_address 10.0.0.1\ncertfile /c", "10.0.0.1:1883 /c undefined"],
  ];
  for (const [conf, expected] of cases) assert.equal(listener(conf), expected, conf);
});

Deno.test("adopt: scripts and units of another hand are understood, and what is missing is not made up", () => {
  const script = (text: string) => {
    const { format, filePatterns } = find({ [`${pi}/mqtt_sub.sh`]: text })!;
    return [format, ...filePatterns];
  };
  const cases: [string, unknown[]][] = [
    [`mosquitto_sub -t '#' -F "%U;%t;%p" | rotatelogs -l -n 5 /var/log/mqtt 3600`, [
      "%U;%t;%p",
      "/var/log/mqtt.*",
    ]],
    [`A=/x\nmosquitto_sub \\\n -F '%I %t %p' | /usr/bin/rotatelogs "\${A}/%Y/m.log" 1`, [
      "%I %t %p",
      "/x/*/m.log",
    ]],
    [`#mosquitto_sub -F old | rotatelogs /old 1\nmosquitto_sub -v >> /x/all.log`, [undefined, "/x/all.log"]],
    [`mosquitto_sub -v`, [undefined, `${pi}/mqtt/*.log`]],
  ];
  for (const [text, expected] of cases) assert.deepEqual(script(text), expected, text);
  const inline =
    "[Service]\nExecStart=/bin/sh -c \"mosquitto_sub -t '#' -F '%I %t %p' | rotatelogs /m/%%F.log 86400\"\n";
  const bare = find({
    ...{ "/etc/systemd/system/stMQTT.service": undefined, "/etc/systemd/system/mine.service": inline },
    ...{ "/lib/systemd/system/filebeat.service": undefined, "/etc/filebeat/filebeat.yml": undefined },
    "/var/spool/cron/crontabs/root": undefined,
  })!;
  assert.deepEqual(bare.units, [{ name: "mine.service", role: "messages" }, {
    name: "stVPN.service",
    role: "vpn",
  }]);
  assert.deepEqual([bare.format, bare.filePatterns, bare.cronLines], ["%I %t %p", ["/m/*.log"], []]);
});

Deno.test("adopt: names of message files stand for files, and hidden ones are not among them", () => {
  const { names } = filesOf({
    "/m/a.1.log": "",
    "/m/a.2.log": "",
    "/m/.a.3.log": "",
    "/m/b/a.4.log": "",
    "/m/aX1.log": "",
  });
  const named = (pattern: string) => filesNamed(pattern, names);
  assert.deepEqual(named("/m/a.*.log"), ["/m/a.1.log", "/m/a.2.log"]);
  assert.deepEqual(named("/m/*.log"), ["/m/a.1.log", "/m/a.2.log", "/m/aX1.log"]);
  assert.deepEqual(named("/*/*/a.?.log"), ["/m/b/a.4.log"]);
  assert.deepEqual(named("/none/*.log"), []);
  assert.deepEqual(named("/m/a.1.log"), ["/m/a.1.log"]);
});

Deno.test("adopt: Filebeat's registry is read as it writes it, and what is no entry is left out", () => {
  const entry = {
    source: "/m/a.log",
    offset: 42,
    ttl: -1,
    type: "log",
    meta: null,
    FileStateOS: { inode: 7, device: 1 },
  };
  const others = [null, 1, {}, { ...entry, offset: -1 }, { ...entry, offset: "9" }, {
    ...entry,
    FileStateOS: null,
  }];
  assert.deepEqual(parseRegistry(JSON.stringify([entry, ...others])), [{
    path: "/m/a.log",
    inode: 7,
    offset: 42,
  }]);
  for (const text of ["", "{}", "[", "null"]) assert.equal(parseRegistry(text), undefined, text);
});
