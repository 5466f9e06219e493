import assert from "node:assert/strict";
import { apply } from "../../installer/apply.ts";
import { type BrokerPki, type Phase, phaseOf, readPki } from "../../installer/broker/pki_files.ts";
import {
  isIssuedBy,
  isKeyOf,
  issueBroker,
  makeAuthority,
  readCertificate,
  splitPem,
} from "../../installer/broker/pki.ts";
import { brokerPlaces, brokerUnit } from "../../installer/broker/places.ts";
import { type CaPhase, planCa, planRotate, type Rotating } from "../../installer/broker/rotate.ts";
import { places, type Step } from "../../installer/plan.ts";
import { unitName } from "../../installer/units.ts";
import { FakeMachine, Killed } from "../fakes/fake_machine.ts";
import { byHand, putByHand } from "./broker_fixture.ts";

const now = new Date("2026-03-04T05:06:07Z");
const later = new Date("2026-04-04T05:06:07Z");
const names = ["pi", "192.168.1.46"];
/** Made once: what is tested is what becomes of it. */
const [ca, stranger] = [await makeAuthority("x", now), await makeAuthority("x", now)];
const first = await issueBroker(ca, names, { now });

function brokerMachine(): FakeMachine {
  const machine = new FakeMachine();
  const folder = (path: string, gid = 0) =>
    machine.entries.set(path, { type: "folder", mode: 0o750, uid: 0, gid });
  for (const path of ["/etc/sensorlog", "/etc/mosquitto", brokerPlaces.dir]) {
    folder(path);
  }
  folder(brokerPlaces.pkiDir, 990);
  machine.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nmosquitto:x:101:102::/:/bin/sh\n");
  machine.put("/etc/group", "root:x:0:\nmosquitto:x:102:\nsensorlog:x:990:\n");
  machine.put(
    places.config,
    "mqtt: { url: 'mqtts://192.168.1.46:8883', ca_file: /etc/sensorlog/pki/ca.crt }\n",
  );
  machine.put(brokerPlaces.caCertificate, ca.certificatePem);
  machine.put(brokerPlaces.caKey, ca.privateKeyPem, 0o600);
  machine.put(brokerPlaces.certificate, first.certificatePem);
  machine.put(brokerPlaces.key, first.privateKeyPem, 0o600);
  for (const unit of [brokerUnit, unitName]) {
    machine.active.add(unit);
    const target = unit === unitName ? `/etc/systemd/system/${unit}` : `/lib/systemd/system/${unit}`;
    machine.entries.set(`/etc/systemd/system/multi-user.target.wants/${unit}`, {
      ...{ type: "link", target, mode: 0o777, uid: 0, gid: 0 },
    });
  }
  machine.ports.set(brokerUnit, 8883);
  return machine;
}

async function rotating(machine: FakeMachine): Promise<Rotating> {
  const pki = readPki(machine);
  return { pki, phase: await phaseOf(pki), names, now: later, agent: machine.text(places.config) };
}

type Change = CaPhase | "certificate" | "key";

async function planOf(machine: FakeMachine, change: Change): Promise<Step[]> {
  const facts = await rotating(machine);
  return change === "certificate" || change === "key"
    ? await planRotate(facts, change === "key")
    : await planCa(change, facts);
}

async function change(machine: FakeMachine, what: Change): Promise<void> {
  const steps = await planOf(machine, what);
  await apply(steps, { machine, signal: new AbortController().signal, onStep: async () => {} });
}

const phase = async (machine: FakeMachine) => await phaseOf(readPki(machine));

/** What a server would read from the two files belongs together, and is of a CA that is trusted. */
async function assertServes(machine: FakeMachine, when: string): Promise<void> {
  const { certificate, key, trusted } = readPki(machine);
  assert.equal(isKeyOf(key, certificate), true, `${when}: the key is not that of the certificate`);
  const issued = await Promise.all(trusted.map((pem) => isIssuedBy(certificate, pem)));
  assert.equal(issued.includes(true), true, `${when}: of a CA that nobody trusts`);
}

function assertClosed(machine: FakeMachine): void {
  for (const [path, entry] of machine.entries) {
    if (entry.type !== "file" || !new TextDecoder().decode(entry.content).includes("PRIVATE KEY")) continue;
    assert.equal(entry.mode, 0o600, path);
  }
}

Deno.test("rotate: a new certificate with the old key, started with its CA, and the broker told to read it", async () => {
  const machine = brokerMachine();
  await change(machine, "certificate");
  const pki = readPki(machine);
  const [old, facts] = [readCertificate(first.certificatePem), readCertificate(pki.certificate)];
  assert.notEqual(facts.sha256, old.sha256);
  assert.equal(facts.keyPin, old.keyPin);
  assert.deepEqual(facts.notBefore, old.notBefore);
  assert.deepEqual(machine.changes.filter((one) => /reload|start/.test(one)), [`reload ${brokerUnit}`]);
});

Deno.test("rotate --key: another key; both files are for the broker alone", async () => {
  const machine = brokerMachine();
  await change(machine, "key");
  assert.notEqual(
    readCertificate(readPki(machine).certificate).keyPin,
    readCertificate(first.certificatePem).keyPin,
  );
  for (const path of [brokerPlaces.certificate, brokerPlaces.key]) {
    assert.deepEqual(machine.look(path), {
      ...machine.look(path)!,
      type: "file",
      mode: 0o600,
      uid: 101,
      gid: 102,
    });
  }
  assert.equal(machine.text(brokerPlaces.key)!.includes("CERTIFICATE"), false);
});

Deno.test("rotate --ca: both are trusted, then the new one signs, then the old one is gone", async () => {
  const machine = brokerMachine();
  await change(machine, "begin");
  assert.equal(await phase(machine), "begun");
  const [old, next] = splitPem(machine.text(brokerPlaces.caCertificate)!);
  assert.equal(old, ca.certificatePem);
  assert.equal(machine.text(brokerPlaces.certificate), first.certificatePem);
  assert.deepEqual(machine.started, [unitName], "the agent takes both CAs in");
  await change(machine, "switch");
  assert.equal(await phase(machine), "switched");
  assert.deepEqual(splitPem(machine.text(brokerPlaces.caCertificate)!), [next, old]);
  assert.equal(await isIssuedBy(readPki(machine).certificate, next!), true);
  assert.equal(readPki(machine).key, first.privateKeyPem, "what clients have pinned stays");
  assert.equal(machine.look(brokerPlaces.nextCaKey), undefined);
  await change(machine, "certificate");
  assert.equal(await isIssuedBy(readPki(machine).certificate, next!), true);
  await change(machine, "finish");
  assert.equal(await phase(machine), "steady");
  assert.equal(machine.text(brokerPlaces.caCertificate), next);
  assert.deepEqual(machine.started, [unitName, unitName, unitName]);
  assertClosed(machine);
});

Deno.test("rotate --ca: no phase before the one that comes first, and nothing is changed then", async () => {
  const machine = brokerMachine();
  const refused = async (what: Change, pattern: RegExp) => {
    const before = machine.listing();
    await assert.rejects(change(machine, what), pattern);
    assert.deepEqual(machine.listing(), before);
  };
  await refused("switch", /no new CA has been made.*--ca begin comes first/s);
  await change(machine, "begin");
  await refused("finish", /certificate of the old CA.*--ca switch comes first/s);
  await change(machine, "switch");
  await refused("begin", /trusted still.*--ca finish comes first/s);
});

Deno.test("rotate --ca: a phase that is done already changes nothing", async () => {
  const machine = brokerMachine();
  for (const what of ["begin", "switch", "finish"] as const) {
    await change(machine, what);
    const [before, changes] = [machine.listing(), machine.changes.length];
    await change(machine, what);
    assert.deepEqual(machine.listing(), before, what);
    assert.equal(machine.changes.length, changes, what);
  }
});

Deno.test("rotate: killed at any change, the broker starts with what is there, and the same command goes on", async (context) => {
  const changes: Change[] = ["certificate", "key", "begin", "switch", "finish"];
  for (const [number, what] of changes.entries()) {
    await context.step(what, async () => {
      const until = changes.slice(2, number).filter((one) => one !== what);
      for (const how of ["kill", "before"] as const) {
        for (let at = 1;; at++) {
          const machine = brokerMachine();
          for (const one of number < 2 ? [] : until) await change(machine, one);
          machine.trap = { at, how };
          const killed = await change(machine, what).then(() => false, (error) => {
            if (!wasKilled(error)) throw error;
            return true;
          });
          const when = `${what}, ${how} at ${at}: ${machine.changes.at(-1)}`;
          await assertServes(machine, when);
          assertClosed(machine);
          if (!killed) break;
          machine.trap = undefined;
          await change(machine, what);
          await assertServes(machine, `${when}, then again`);
          await assertDone(machine, what, when);
        }
      }
    });
  }
});

function wasKilled(error: unknown): boolean {
  for (let one = error; one instanceof Error; one = one.cause) if (one instanceof Killed) return true;
  return false;
}

async function assertDone(machine: FakeMachine, what: Change, when: string): Promise<void> {
  const phases: Record<Change, Phase> = {
    ...{ certificate: "steady", key: "steady", begin: "begun", switch: "switched", finish: "steady" },
  };
  assert.equal(await phase(machine), phases[what], when);
  assert.equal(machine.look(brokerPlaces.certificate)?.type, "file", when);
  const last = (change: string) => machine.changes.lastIndexOf(change);
  const [written, taken] = what === "begin" || what === "finish"
    ? [`write ${brokerPlaces.caCertificate}`, `start ${unitName}`]
    : [`write ${brokerPlaces.certificate}`, `reload ${brokerUnit}`];
  assert.equal(last(taken) > last(written), true, `${when}: ${taken} is missing`);
}

Deno.test("rotate: without the CA's key nothing can be signed, but a new CA can be begun", async () => {
  const machine = brokerMachine();
  await machine.remove(brokerPlaces.caKey);
  await assert.rejects(change(machine, "certificate"), /CA's key is not on this machine.*--ca begin/s);
  for (const what of ["begin", "switch", "finish"] as const) await change(machine, what);
  await change(machine, "certificate");
  await assertServes(machine, "after a change of the CA");
});

Deno.test("rotate: what no phase leaves behind is said, and a lost key of the new CA begins again", async () => {
  const machine = brokerMachine();
  const strange: BrokerPki = { ...readPki(machine), trusted: [stranger.certificatePem, ca.certificatePem] };
  await assert.rejects(phaseOf(strange), /is not what issued that of the broker.*restore/s);
  machine.put(brokerPlaces.caKey, stranger.privateKeyPem, 0o600);
  await assert.rejects(change(machine, "certificate"), /key of another CA/);
  machine.put(brokerPlaces.caKey, ca.privateKeyPem, 0o600);
  await change(machine, "begin");
  await machine.remove(brokerPlaces.nextCaKey);
  assert.equal(await phase(machine), "stranded");
  await assert.rejects(change(machine, "switch"), /key is lost.*--ca begin/s);
  await change(machine, "begin");
  assert.equal(await phase(machine), "begun");
  assert.equal(readPki(machine).trusted[0], ca.certificatePem);
});

Deno.test("rotate: files that are missing are named, with what brings them back", () => {
  const machine = brokerMachine();
  machine.put(brokerPlaces.key, "");
  assert.throws(() => readPki(machine), /broker\.key: it is missing or empty; .*broker restore/);
  assert.throws(() => readPki(new FakeMachine()), /has no broker with certificates; .*broker init/);
});

Deno.test("rotate: an adopted broker keeps its files in their places, and the agent goes over from the fingerprint to the CA", async () => {
  const machine = brokerMachine();
  for (const path of Object.values(brokerPlaces)) if (path !== brokerPlaces.dir) await machine.remove(path);
  putByHand(machine, ca, first);
  const { sha256 } = readCertificate(first.certificatePem);
  machine.put(
    places.config,
    `mqtt:\n  url: mqtts://192.168.1.46:1883 # old\n  fingerprint_sha256: "${sha256}"\n`,
  );
  await assert.rejects(change(machine, "certificate"), /CA's key is not on this machine.*--ca begin/s);
  await change(machine, "begin");
  assert.equal(await phase(machine), "begun");
  assert.match(machine.text(places.config)!, /fingerprint/, "the certificate is the same still");
  await change(machine, "switch");
  assert.equal(await phase(machine), "switched");
  await assertServes(machine, "adopted");
  assert.notEqual(machine.text(byHand.certfile), first.certificatePem);
  assert.equal(machine.text(byHand.keyfile), first.privateKeyPem);
  assert.equal(machine.look(brokerPlaces.certificate), undefined);
  const config = `mqtt:\n  url: mqtts://192.168.1.46:1883 # old\n  ca_file: ${brokerPlaces.caCertificate}\n`;
  assert.equal(machine.text(places.config), config);
  await change(machine, "finish");
  assert.equal(await phase(machine), "steady");
  assert.equal(machine.started.at(-1), unitName);
});
