import assert from "node:assert/strict";
import { apply } from "../../installer/apply.ts";
import type { Backup } from "../../installer/broker/backup.ts";
import { collectFiles, configName, namedFiles } from "../../installer/broker/backup_files.ts";
import { hashPassword } from "../../installer/broker/passwords.ts";
import { issueBroker, makeAuthority } from "../../installer/broker/pki.ts";
import { brokerPlaces, brokerUnit } from "../../installer/broker/places.ts";
import { planRestore } from "../../installer/broker/restore.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";
import { byHand, putByHand } from "./broker_fixture.ts";

const now = new Date("2026-03-04T05:06:07Z");
const ca = await makeAuthority("x", now);
const broker = await issueBroker(ca, ["pi"], { now });
const hash = hashPassword("agents-password");
const config = `# mine
mqtt:
  url: mqtts://127.0.0.1:8883
  ca_file: /etc/sensorlog/pki/ca.crt
  username: agent
  password_file: mqtt-password
outputs:
  cloud: { type: elasticsearch, urls: [https://10.8.0.1:9200], ca_file: cloud-ca.crt, api_key_file: elastic-api-key }
`;
const originals: Record<string, string> = {
  [brokerPlaces.caCertificate]: ca.certificatePem,
  [brokerPlaces.caKey]: ca.privateKeyPem,
  [brokerPlaces.certificate]: broker.certificatePem,
  [brokerPlaces.key]: broker.privateKeyPem,
  [brokerPlaces.passwords]: `agent:${hash}\nkitchen:${hash}\n`,
  [brokerPlaces.acl]: "user agent\ntopic read #\n\nuser kitchen\ntopic write kitchen/#\n",
  [brokerPlaces.dropIn]: "listener 8883\n",
  "/etc/sensorlog/agent.yaml": config,
  "/etc/sensorlog/mqtt-password": "agents-password\n",
  "/etc/sensorlog/cloud-ca.crt": ca.certificatePem,
  "/etc/sensorlog/elastic-api-key": "a2V5\n",
};

function newMachine(): FakeMachine {
  const machine = new FakeMachine();
  machine.sources.set("/srv/agent", "the agent");
  machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nmosquitto:x:101:102::/:/bin/sh\n");
  machine.put("/etc/group", "root:x:0:\nmosquitto:x:102:\n");
  for (const path of ["/etc/mosquitto", "/etc/mosquitto/conf.d"]) {
    machine.entries.set(path, { type: "folder", mode: 0o755, uid: 0, gid: 0 });
  }
  machine.ports.set(brokerUnit, 8883);
  return machine;
}

function oldMachine(): FakeMachine {
  const machine = newMachine();
  for (const [path, text] of Object.entries(originals)) machine.put(path, text, 0o600);
  return machine;
}

const backup = (): Backup => ({ made: now, host: "old", files: collectFiles(oldMachine()).files });
const plan = (machine: FakeMachine, one: Backup = backup(), replace = false) =>
  planRestore(machine, { backup: one, place: "b.backup", source: "/srv/agent", replace });
const restore = async (machine: FakeMachine, one?: Backup, replace?: boolean) => {
  const { steps } = await plan(machine, one, replace);
  await apply(steps, { machine, signal: new AbortController().signal, onStep: async () => {} });
};

Deno.test("restore: a new machine has every file of the old one, secrets for their owners only", async () => {
  const machine = newMachine();
  await restore(machine);
  for (const [path, text] of Object.entries(originals)) assert.equal(machine.text(path), text, path);
  const modes = Object.keys(originals).map((path) => [path, machine.look(path)!.mode] as const);
  const open = modes.filter(([, mode]) => (mode & 0o077) !== 0).map(([path]) => path);
  assert.deepEqual(
    open.sort(),
    [
      brokerPlaces.dropIn,
      "/etc/sensorlog/agent.yaml",
      "/etc/sensorlog/cloud-ca.crt",
      brokerPlaces.caCertificate,
    ].sort(),
  );
  assert.match(
    machine.text("/etc/systemd/system/sensorlog-agent.service")!,
    /LoadCredential=elastic-api-key:/,
  );
  assert.deepEqual(machine.started, [brokerUnit, "sensorlog-agent.service"]);
  assert.equal(machine.packages.has("mosquitto"), true);
});

Deno.test("restore: again it changes nothing", async () => {
  const machine = newMachine();
  await restore(machine);
  const changes = machine.changes.length;
  await restore(machine);
  assert.deepEqual(machine.changes.slice(changes), []);
});

Deno.test("restore: another CA is not overwritten, with --replace it is, and edited files with it", async () => {
  const machine = newMachine();
  const other = await makeAuthority("x", now);
  for (const dir of ["/etc/sensorlog", brokerPlaces.pkiDir]) {
    machine.entries.set(dir, { type: "folder", mode: 0o750, uid: 0, gid: 0 });
  }
  machine.put(brokerPlaces.caCertificate, other.certificatePem);
  machine.put("/etc/sensorlog/agent.yaml", "# another\n");
  await assert.rejects(plan(machine), /a broker with another CA.*--replace/);
  await restore(machine, backup(), true);
  assert.equal(machine.text(brokerPlaces.caCertificate), ca.certificatePem);
  assert.equal(machine.text("/etc/sensorlog/agent.yaml"), config);
});

Deno.test("restore: a configuration that a person has edited stays, the other one lies beside it", async () => {
  const machine = newMachine();
  await restore(machine);
  machine.put("/etc/sensorlog/agent.yaml", `${config}# edited\n`);
  await restore(machine);
  assert.equal(machine.text("/etc/sensorlog/agent.yaml"), `${config}# edited\n`);
  assert.equal(machine.text("/etc/sensorlog/agent.yaml.new"), config);
});

Deno.test("restore: a backup in the middle of a change of the CA goes on from there", async () => {
  const next = await makeAuthority("x", now);
  const one = backup();
  const bytes = (text: string) => new TextEncoder().encode(text);
  one.files.set("pki/ca.crt", bytes(ca.certificatePem + next.certificatePem));
  one.files.set("pki/next-ca.key", bytes(next.privateKeyPem));
  const machine = newMachine();
  await restore(machine, one);
  assert.equal(machine.text(brokerPlaces.nextCaKey), next.privateKeyPem);
  assert.equal(machine.look(brokerPlaces.nextCaKey)!.mode, 0o600);
  assert.equal(machine.text(brokerPlaces.caCertificate), ca.certificatePem + next.certificatePem);
});

Deno.test("restore: what is missing or does not belong together is refused before anything is changed", async () => {
  const stranger = await issueBroker(ca, ["pi"], { now });
  const strangers = (await makeAuthority("x", now)).certificatePem +
    (await makeAuthority("x", now)).certificatePem;
  const bytes = (text: string) => new TextEncoder().encode(text);
  const cases: [string, string | undefined, RegExp][] = [
    ["broker/passwords", undefined, /does not hold broker\/passwords/],
    ["broker/broker.key", stranger.privateKeyPem, /don't belong together/],
    ["broker/sensorlog.conf", "persistence true\n", /names no listener/],
    ["pki/ca.crt", strangers, /is not what issued/],
  ];
  for (const [name, text, pattern] of cases) {
    const one = backup();
    if (text === undefined) one.files.delete(name);
    else one.files.set(name, bytes(text));
    const machine = newMachine();
    await assert.rejects(restore(machine, one), pattern, name);
    assert.deepEqual(machine.changes, []);
  }
});

Deno.test("restore: a Mosquitto that was set up by hand is left alone", async () => {
  const machine = newMachine();
  machine.put(
    "/etc/mosquitto/mosquitto.conf",
    "include_dir /etc/mosquitto/conf.d\npassword_file /etc/mosquitto/pw\n",
  );
  await assert.rejects(restore(machine), /mosquitto\.conf:2: Mosquitto was set up by hand/);
  assert.deepEqual(machine.changes, []);
});

Deno.test("restore: a copy of Mosquitto is tried with the agent's account and all files of the broker", async () => {
  const { proof } = await plan(newMachine());
  assert.deepEqual(proof!.account, { name: "agent", password: "agents-password" });
  assert.deepEqual(
    [...proof!.planned.keys()].sort(),
    [
      brokerPlaces.acl,
      brokerPlaces.certificate,
      brokerPlaces.dropIn,
      brokerPlaces.key,
      brokerPlaces.passwords,
    ].sort(),
  );
});

Deno.test("backup: what agent.yaml names elsewhere is said, and no name leads out of its folder", () => {
  const machine = oldMachine();
  machine.put("/etc/sensorlog/agent.yaml", config.replace("cloud-ca.crt", "/srv/ca.crt"));
  assert.match(collectFiles(machine).notes.join("\n"), /\/srv\/ca\.crt.*is elsewhere and not in the backup/);
  assert.deepEqual(namedFiles(new TextEncoder().encode(config)), [
    ...["/etc/sensorlog/pki/ca.crt", "mqtt-password", "cloud-ca.crt", "elastic-api-key"],
  ]);
  for (const name of ["../shadow", "/etc/shadow", "a/../../x", "pki/../../x", ".hidden", "x/y", "", "a\0b"]) {
    assert.equal(configName(name), undefined, name);
  }
  assert.equal(configName("/etc/sensorlog/pki/cloud-ca.crt"), "pki/cloud-ca.crt");
  assert.equal(configName("./mqtt-password"), "mqtt-password");
});

Deno.test("backup: without a part of the broker there is none", async () => {
  for (const path of [brokerPlaces.passwords, brokerPlaces.acl, brokerPlaces.dropIn, brokerPlaces.key]) {
    const machine = oldMachine();
    await machine.remove(path);
    assert.throws(() => collectFiles(machine), new RegExp(path.replaceAll(".", "\\.")));
  }
  const machine = oldMachine();
  await machine.remove(brokerPlaces.caKey);
  assert.match(collectFiles(machine).notes.join(), /CA's key is not on this machine/);
});

Deno.test("backup: an adopted broker comes back in our places, at its port, with all that each account was allowed", async () => {
  const machine = oldMachine();
  for (const path of Object.values(brokerPlaces)) {
    if (path !== brokerPlaces.pkiDir) await machine.remove(path);
  }
  putByHand(machine, ca, broker);
  machine.put("/etc/mosquitto/pw", originals[brokerPlaces.passwords]!);
  machine.put("/etc/sensorlog/agent.yaml", config.replace("/etc/sensorlog/pki/ca.crt", byHand.cafile));
  const { files, notes } = collectFiles(machine);
  assert.match(notes.join("\n"), /listens at the same port/);
  const next = newMachine();
  next.ports.set(brokerUnit, 1883);
  await restore(next, { ...backup(), files });
  assert.equal(next.text(brokerPlaces.certificate), broker.certificatePem);
  assert.equal(next.text(brokerPlaces.key), broker.privateKeyPem);
  assert.equal(next.text(brokerPlaces.passwords), originals[brokerPlaces.passwords]);
  assert.match(next.text(brokerPlaces.dropIn)!, /^listener 1883$/m);
  assert.match(
    next.text(brokerPlaces.acl)!,
    /user kitchen\ntopic read #\ntopic read \$SYS\/#\ntopic write #/,
  );
  assert.match(
    next.text("/etc/sensorlog/agent.yaml")!,
    /^# mine\n[^]*ca_file: \/etc\/sensorlog\/pki\/ca\.crt\n/,
  );
});
