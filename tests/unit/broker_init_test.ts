import assert from "node:assert/strict";
import { apply, examineAll, type Examined, undo } from "../../installer/apply.ts";
import { clockFault } from "../../installer/broker/clock.ts";
import { parsePasswords, verifies } from "../../installer/broker/passwords.ts";
import { parseAcl } from "../../installer/broker/acl.ts";
import { brokerPlaces, planBroker, withBroker } from "../../installer/broker/plan_broker.ts";
import {
  agentPasswordPath,
  assertOurs,
  type BrokerChoices,
  wishForBroker,
} from "../../installer/broker/wish.ts";
import { isIssuedBy, isKeyOf, readCertificate } from "../../installer/broker/pki.ts";
import { readPki } from "../../installer/broker/pki_files.ts";
import { planInstall, planUninstall } from "../../installer/plan.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";

const signal = new AbortController().signal;
const choices: BrokerChoices = {
  ...{ names: ["pi", "127.0.0.1"], namesAsked: ["127.0.0.1"], keepQos: undefined },
  ...{ statusTopic: "sensorlog/vigo", memoryBytes: 1024 ** 3, now: new Date("2026-11-24T12:00:00Z") },
};
const packaged =
  "persistence_location /var/lib/mosquitto/\nlog_dest file /x\ninclude_dir /etc/mosquitto/conf.d\n";

function machineWithMosquitto(): FakeMachine {
  const machine = new FakeMachine();
  machine.sources.set("/opt/agent", "the binary");
  machine.packages.add("mosquitto");
  machine.ports.set("mosquitto.service", 8883);
  machine.active.add("mosquitto.service");
  const folder = { type: "folder", mode: 0o755, uid: 0, gid: 0 } as const;
  for (const dir of ["/etc/mosquitto", "/etc/mosquitto/conf.d"]) machine.entries.set(dir, folder);
  machine.put("/etc/mosquitto/mosquitto.conf", packaged);
  machine.put(
    "/etc/passwd",
    `${machine.text("/etc/passwd")}mosquitto:x:113:120::/var/lib/mosquitto:/usr/sbin/nologin\n`,
  );
  machine.put("/etc/group", `${machine.text("/etc/group")}mosquitto:x:120:\n`);
  return machine;
}

async function stepsFor(machine: FakeMachine, chosen: Partial<BrokerChoices> = {}) {
  const wish = await wishForBroker(machine, { ...choices, ...chosen });
  const agent = planInstall({
    ...{ source: "/opt/agent", config: "mqtt: {}\n", credentials: [], writableDirs: [] },
    files: [{ name: "mqtt-password", content: `${wish.password}\n`, secret: true }],
  });
  return { wish, steps: withBroker(agent, planBroker(wish)) };
}

async function run(machine: FakeMachine, chosen: Partial<BrokerChoices> = {}): Promise<Examined[]> {
  const { steps } = await stepsFor(machine, chosen);
  const seen: Examined[] = [];
  await apply(steps, { machine, signal, onStep: (one) => Promise.resolve(void seen.push(one)) });
  return seen;
}

/** Everything that a client or the agent relies on fits together. */
async function assertWhole(machine: FakeMachine, what: string): Promise<void> {
  const pki = readPki(machine);
  assert.ok(await isIssuedBy(pki.certificate, pki.trusted[0]!), what);
  assert.ok(isKeyOf(pki.key, pki.certificate) && isKeyOf(pki.caKey!, pki.trusted[0]!), what);
  const password = machine.text(agentPasswordPath)!.trim();
  const accounts = parsePasswords(machine.text(brokerPlaces.passwords)!);
  assert.ok(verifies(accounts.get("agent")!, password), what);
  assert.ok(parseAcl(machine.text(brokerPlaces.acl)!).some(({ name }) => name === "agent"), what);
}

Deno.test("broker init: a second run changes nothing, no hash and no certificate", async () => {
  const machine = machineWithMosquitto();
  await run(machine);
  await assertWhole(machine, "the first run");
  const after = machine.listing();
  machine.changes.length = 0;
  const second = await run(machine);
  assert.deepEqual(second.filter(({ outcome }) => outcome !== "nothing").map(({ step }) => step.id), []);
  assert.deepEqual(machine.changes, []);
  assert.deepEqual(machine.listing(), after);
});

for (const how of ["kill", "before"] as const) {
  Deno.test(`broker init: killed ${how === "kill" ? "after" : "before"} any change and run again, all fits together`, async () => {
    const whole = machineWithMosquitto();
    await run(whole);
    for (let at = 1; at <= whole.changes.length; at++) {
      const machine = machineWithMosquitto();
      machine.trap = { at, how };
      await assert.rejects(run(machine));
      machine.trap = undefined;
      await run(machine);
      await assertWhole(machine, `killed at change ${at}`);
      machine.changes.length = 0;
      await run(machine);
      assert.deepEqual(machine.changes, [], `killed at change ${at}`);
    }
  });
}

Deno.test("broker init: keys and hashes are for their owner alone from the moment they exist, and in no report", async () => {
  const machine = machineWithMosquitto();
  const { steps } = await stepsFor(machine);
  const report = JSON.stringify((await examineAll(machine, steps)).map(({ step: _, ...rest }) => rest));
  assert.doesNotMatch(report, /PRIVATE KEY|\$7\$/);
  await run(machine);
  const modes = [brokerPlaces.passwords, brokerPlaces.key, brokerPlaces.caKey, agentPasswordPath].map(
    (path) => {
      const { mode, uid } = machine.look(path)!;
      return [path, mode.toString(8), uid];
    },
  );
  assert.deepEqual(modes, [
    [brokerPlaces.passwords, "600", 113],
    [brokerPlaces.key, "600", 113],
    [brokerPlaces.caKey, "600", 0],
    [agentPasswordPath, "600", 0],
  ]);
  assert.doesNotMatch(machine.text("/etc/sensorlog/installed.json")!, /PRIVATE KEY|\$7\$/);
});

Deno.test("broker init: Mosquitto comes before the agent, and the agent starts again when its CA is another", async () => {
  const machine = machineWithMosquitto();
  const { steps } = await stepsFor(machine);
  const ids = steps.map(({ id }) => id);
  assert.ok(ids.indexOf("user") < ids.indexOf("broker-pki-folder"));
  assert.ok(ids.indexOf("broker") < ids.indexOf("configuration"));
  assert.equal(ids.at(-1), "service");
  assert.equal(new Set(ids).size, ids.length);
  await run(machine);
  machine.changes.length = 0;
  await machine.remove(brokerPlaces.certificate);
  await machine.remove(brokerPlaces.caCertificate);
  machine.put(brokerPlaces.key, machine.text(brokerPlaces.key)!);
  const foreseen = await examineAll(machine, (await stepsFor(machine)).steps);
  assert.equal(foreseen.at(-1)!.outcome, "change");
});

Deno.test("broker init: a name that is asked for brings a new certificate with the old key; a new address alone does not", async () => {
  const machine = machineWithMosquitto();
  await run(machine);
  const before = readPki(machine);
  const { wish } = await stepsFor(machine, { names: ["pi", "127.0.0.1", "192.0.2.9"] });
  assert.equal(wish.pair.certificatePem, before.certificate);
  assert.match(wish.notes.join(), /does not name 192\.0\.2\.9/);
  await run(machine, { namesAsked: ["127.0.0.1", "broker.example"] });
  const after = readPki(machine);
  assert.notEqual(after.certificate, before.certificate);
  assert.equal(after.key, before.key);
  assert.ok(readCertificate(after.certificate).names.includes("broker.example"));
  await assertWhole(machine, "with another name");
  const reports = await examineAll(machine, (await stepsFor(machine)).steps);
  assert.ok(reports.every(({ outcome }) => outcome === "nothing"));
});

Deno.test("broker init: accounts of sensors stay, --keep-qos stays until it is taken back", async () => {
  const machine = machineWithMosquitto();
  await run(machine, { keepQos: true });
  assert.match(machine.text(brokerPlaces.dropIn)!, /^upgrade_outgoing_qos false$/m);
  const sensor = "kitchen:$7$101$c2FsdA==$aGFzaA==\n";
  machine.put(brokerPlaces.passwords, machine.text(brokerPlaces.passwords)! + sensor, 0o600);
  machine.put(brokerPlaces.acl, machine.text(brokerPlaces.acl)! + "user kitchen\ntopic write kitchen/#\n");
  await run(machine);
  assert.match(machine.text(brokerPlaces.dropIn)!, /^upgrade_outgoing_qos false$/m);
  await run(machine, { keepQos: false });
  assert.match(machine.text(brokerPlaces.dropIn)!, /^upgrade_outgoing_qos true$/m);
  assert.ok(machine.text(brokerPlaces.passwords)!.endsWith(sensor));
  assert.equal(parseAcl(machine.text(brokerPlaces.acl)!).at(-1)!.name, "kitchen");
});

Deno.test("broker init: a Mosquitto that was set up by hand is left alone, with the way to go on", () => {
  const machine = machineWithMosquitto();
  assertOurs(machine);
  machine.put("/etc/mosquitto/conf.d/mine.conf", "\nlistener 1883 0.0.0.0\n");
  assert.throws(() => assertOurs(machine), /conf\.d\/mine\.conf:2: .*listener.*broker adopt/);
  machine.put("/etc/mosquitto/conf.d/mine.conf", "max_connections 9\n");
  assertOurs(machine);
  machine.put("/etc/mosquitto/mosquitto.conf", "persistence true\n");
  assert.throws(() => assertOurs(machine), /does not include \/etc\/mosquitto\/conf\.d/);
});

Deno.test("broker init: a broker whose CA is lost does not get another one behind its sensors' backs", async () => {
  const machine = machineWithMosquitto();
  await run(machine);
  await machine.remove(brokerPlaces.caCertificate);
  await assert.rejects(run(machine), /ca\.crt: it is missing or empty; bring it back/);
});

Deno.test("broker init: an implausible clock makes no certificates", () => {
  assert.match(clockFault(new Date(0), "unknown")!, /1970-01-01/);
  assert.match(clockFault(new Date("2025-12-31T23:59:59Z"), "yes")!, /2025-12-31/);
  assert.match(clockFault(new Date("2077-01-01"), "no")!, /not synchronised/);
  assert.match(clockFault(new Date(NaN), "yes")!, /no time/);
  assert.equal(clockFault(new Date("2026-11-24"), "no"), undefined);
  assert.equal(clockFault(new Date("2077-01-01"), "yes"), undefined);
});

Deno.test("uninstall: the broker stays, with its accounts; --purge takes what is ours, and Mosquitto is told", async () => {
  const machine = machineWithMosquitto();
  await run(machine);
  const packages = [...machine.entries.keys()].filter((path) => path.startsWith("/etc/mosquitto"));
  const running = { machine, signal, onStep: () => Promise.resolve() };
  await undo(planUninstall(true), running, false);
  const now = () => [...machine.entries.keys()].filter((path) => path.startsWith("/etc/mosquitto"));
  assert.deepEqual(now(), packages);
  await undo(planUninstall(true), running, true);
  assert.deepEqual(now().sort(), [
    "/etc/mosquitto",
    "/etc/mosquitto/conf.d",
    "/etc/mosquitto/mosquitto.conf",
  ]);
  assert.ok([...machine.entries.keys()].every((path) => !path.startsWith("/etc/sensorlog")));
});
