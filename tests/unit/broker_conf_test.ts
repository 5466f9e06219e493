import assert from "node:assert/strict";
import {
  type ConfFiles,
  confTexts,
  dropInText,
  parseConf,
  queuedBytesFor,
  queuedMessagesFor,
  settingsInTheWay,
  settingsOf,
} from "../../installer/broker/conf.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { triedConf } from "../../installer/broker/tried_conf.ts";

const packaged = `# Place your local configuration in /etc/mosquitto/conf.d/

pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
`;
const ours = dropInText({
  ...{ port: 8883, queuedBytesMax: 10, keepQos: false, persistenceLocation: false, logFile: false },
});

function filesOf(texts: Record<string, string>): ConfFiles {
  return {
    text: (path) => texts[path],
    names: (dir) => {
      const names = Object.keys(texts).filter((path) => path.slice(0, path.lastIndexOf("/")) === dir);
      return names.length === 0 ? undefined : names.map((path) => path.slice(dir.length + 1));
    },
  };
}

const main = "/etc/mosquitto/mosquitto.conf";

Deno.test("broker configuration: included files are read where they are included, in the order of their bytes", () => {
  const files = filesOf({
    [main]: "a 1\ninclude_dir /etc/mosquitto/conf.d/\nb 2\n",
    "/etc/mosquitto/conf.d/b.conf": "d 4",
    "/etc/mosquitto/conf.d/Z.conf": "  c   3 4 \r\n#x 1\n",
    "/etc/mosquitto/conf.d/b.conf.new": "e 5",
    "/etc/mosquitto/conf.d/README": "f 6",
  });
  const found = settingsOf(files).map(({ name, value, line }) => `${name}=${value}@${line}`);
  assert.deepEqual(found, ["a=1@1", "c=3 4@1", "d=4@1", "b=2@3"]);
  assert.deepEqual(confTexts(files).map(({ file }) => file.slice(15)), [
    "mosquitto.conf",
    "conf.d/Z.conf",
    "conf.d/b.conf",
  ]);
  assert.deepEqual(settingsOf(filesOf({})), []);
});

Deno.test("broker configuration: the packaged one is in nobody's way, one set up by hand is", () => {
  const dropIn = { [brokerPlaces.dropIn]: ours };
  assert.deepEqual(settingsInTheWay(settingsOf(filesOf({ [main]: packaged, ...dropIn }))), []);
  const byHand =
    `${packaged}allow_anonymous false\npassword_file /etc/mosquitto/mqttpwdfile\ntls_version tlsv1.2\n`;
  const found = settingsInTheWay(settingsOf(filesOf({ [main]: byHand, ...dropIn })));
  assert.deepEqual(found.map(({ name, file, line }) => `${name} ${file} ${line}`), [
    `allow_anonymous ${main} 11`,
    `password_file ${main} 12`,
    `tls_version ${main} 13`,
  ]);
});

Deno.test("broker configuration: the drop-in names nothing that Mosquitto would take for named twice", () => {
  const twice = ["persistence_location", "log_dest", "password_file", "pid_file"];
  const names = settingsOf(filesOf({ [main]: packaged, [brokerPlaces.dropIn]: ours })).map(({ name }) =>
    name
  );
  for (const name of twice) assert.equal(names.filter((one) => one === name).length, 1, name);
  const alone = parseConf(
    "x",
    dropInText({
      ...{ port: 8883, queuedBytesMax: 10, keepQos: true, persistenceLocation: true, logFile: true },
    }),
  ).map(({ name, value }) => `${name} ${value}`);
  assert.ok(alone.includes("persistence_location /var/lib/mosquitto/"));
  assert.ok(alone.includes("upgrade_outgoing_qos false"));
});

Deno.test("broker configuration: TLS 1.2 at least, nobody without an account, and room for an agent that is away", () => {
  const settings = new Map(parseConf("x", ours).map(({ name, value }) => [name, value]));
  const wanted = {
    ...{ listener: "8883", tls_version: "tlsv1.2", allow_anonymous: "false", autosave_interval: "60" },
    ...{ max_queued_messages: "1000", max_queued_bytes: "10", upgrade_outgoing_qos: "true" },
    ...{ persistence: "true", password_file: brokerPlaces.passwords, acl_file: brokerPlaces.acl },
    ...{ certfile: brokerPlaces.certificate, keyfile: brokerPlaces.key },
  };
  for (const [name, value] of Object.entries(wanted)) assert.equal(settings.get(name), value, name);
});

Deno.test("broker configuration: what is queued fills half of the memory at most, whatever the size of a reading", () => {
  const GiB = 1024 ** 3;
  const bytes = queuedBytesFor(GiB);
  assert.equal(queuedBytesFor(0.89 * GiB), bytes); // what a kernel keeps of it differs from boot to boot
  assert.equal(queuedBytesFor(8 * GiB), 8 * bytes);
  const measured = 370; // bytes beside the payload
  for (const payload of [1, 10, 100, 1_000, 100_000]) {
    const messages = Math.min(queuedMessagesFor(bytes), bytes / payload);
    assert.ok(messages * (payload + measured) <= GiB / 2, `${payload} bytes`);
  }
  assert.ok(queuedMessagesFor(bytes) > 600_000);
  assert.ok(queuedMessagesFor(1) > 0, "0 is no limit");
});

Deno.test("broker configuration: a copy listens elsewhere, stores nothing, and connects to no other broker", () => {
  const text = packaged +
    "listener 1883 192.0.2.1\nlistener 0 /run/mosquitto/socket\nport 1884\nbind_address 192.0.2.1\n" +
    "connection cloud\naddress cloud.example\ntopic # out 1\nbridge_cafile /x\nremote_username me\n" +
    "password_file /etc/mosquitto/mine\nmax_connections 9\n";
  const copies = new Map([[brokerPlaces.passwords, "/run/x/3-passwords"], [
    brokerPlaces.dropIn,
    "/run/x/0-sensorlog.conf",
  ]]);
  const files = filesOf({ [main]: text, [brokerPlaces.dropIn]: ours });
  const tried = triedConf(files, "/run/x", (port) => port + 10_000, copies);
  assert.equal(tried.main, "/run/x/mosquitto.conf");
  assert.deepEqual(tried.files[0]!.text.trim().split("\n"), [
    ...["log_dest stderr", "persistence false", "pid_file /run/x/pid", "persistence false"],
    ...[
      "persistence_location /run/x/",
      "include_dir /run/x/included0",
      "listener 11883 127.0.0.1",
      "port 11884",
    ],
    ...["bind_address 127.0.0.1", "password_file /etc/mosquitto/mine", "max_connections 9"],
  ]);
  assert.equal(tried.files[1]!.path, "/run/x/included0/sensorlog.conf");
  assert.match(tried.files[1]!.text, /^listener 18883 127\.0\.0\.1$/m);
  assert.match(tried.files[1]!.text, /^password_file \/run\/x\/3-passwords$/m);
  assert.equal(tried.files.length, 2);
});
