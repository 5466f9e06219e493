import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { aclText, agentTopics } from "../../installer/broker/acl.ts";
import { dropInText, mainConf } from "../../installer/broker/conf.ts";
import { hashPassword } from "../../installer/broker/passwords.ts";
import { issueBroker, makeAuthority } from "../../installer/broker/pki.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { type Proof, proveBroker } from "../../installer/broker/prove.ts";
import { type Machine, realMachine } from "../../installer/machine.ts";
import { succeed } from "../lab/command.ts";
import { makeLabDir } from "../lab/paths.ts";
import { freePort } from "../lab/ports.ts";

const password = "correct-horse-battery-2209";

/** A machine whose Mosquitto has nothing but the drop-in, and what `broker init` would prove on it. */
async function scene(dropIn: (text: string) => string = (text) => text) {
  const dir = await makeLabDir("prove");
  const machine: Machine = realMachine(undefined, {
    run: () => Promise.reject(new Error("nothing is run")),
    start: () => Promise.reject(new Error("nothing is started")),
  });
  const now = new Date();
  const authority = await makeAuthority("sensorlog test", now);
  const pair = await issueBroker(authority, ["127.0.0.1"], { now });
  const port = freePort();
  const text = dropInText({
    ...{ port, queuedBytesMax: 1_000_000, keepQos: false, persistenceLocation: false, logFile: false },
  });
  const planned = new Map([
    [
      mainConf,
      `persistence true\npersistence_location /nowhere/\nlog_dest file /nowhere/log\ninclude_dir ${dir}\n`,
    ],
    [join(dir, "sensorlog.conf"), dropIn(text)],
    [brokerPlaces.passwords, `agent:${hashPassword(password)}\n`],
    [brokerPlaces.acl, aclText([agentTopics("sensorlog/vigo")])],
    [brokerPlaces.certificate, pair.certificatePem],
    [brokerPlaces.key, pair.privateKeyPem],
  ]);
  const proof: Proof = {
    ...{ planned, port, trust: { caPem: authority.certificatePem, name: "127.0.0.1" } },
    account: { name: "agent", password },
  };
  return { machine, proof, dir, sha256: new X509Certificate(pair.certificatePem).fingerprint256 };
}

async function leftovers(): Promise<string[]> {
  const names = [...Deno.readDirSync("/run")].map(({ name }) => name);
  const processes = await succeed("ps", ["-eo", "args"]);
  return [...names, ...processes.split("\n")].filter((one) => one.includes("sensorlog-broker-"));
}

Deno.test("proof of a configuration: a good one passes, by its CA and by its fingerprint, and nothing is left behind", async () => {
  const { machine, proof, dir, sha256 } = await scene();
  await proveBroker(machine, proof);
  await proveBroker(machine, { ...proof, trust: { sha256 } });
  assert.deepEqual(await leftovers(), []);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("proof of a configuration: what would stop Mosquitto, lock the agent out or let others in is found", async () => {
  const faults: [string, (text: string) => string, RegExp][] = [
    [
      "a setting that is none",
      (text) => `${text}no_such_setting 1\n`,
      /it ended at once; it said: .*no_such_setting/,
    ],
    [
      "a setting twice",
      (text) => `${text}password_file /etc/x\n`,
      /it ended at once; .*Duplicate password_file/,
    ],
    [
      "a directory named twice",
      (text) => `${text}persistence_location /x/\n`,
      /Duplicate persistence_location/,
    ],
    [
      "everybody is let in",
      (text) => text.replace("allow_anonymous false", "allow_anonymous true"),
      /it let a client without an account in/,
    ],
    [
      "nobody listens there",
      (text) => text.replace(/^listener .*/m, "listener 1"),
      /name no listener at port/,
    ],
  ];
  for (const [what, change, why] of faults) {
    const { machine, proof, dir } = await scene(change);
    await assert.rejects(proveBroker(machine, proof), (error: Error) => {
      assert.match(error.message, why, what);
      assert.match(error.message, /nothing was changed/);
      return true;
    });
    await Deno.remove(dir, { recursive: true });
  }
  assert.deepEqual(await leftovers(), []);
});

Deno.test("proof of a configuration: another password, another CA, another certificate", async () => {
  const { machine, proof, dir } = await scene();
  const other = await makeAuthority("another", new Date());
  const wrong: [Partial<Proof>, RegExp][] = [
    [{ account: { name: "agent", password: "other" } }, /refused the account agent with code [45]/],
    [{ trust: { caPem: other.certificatePem, name: "127.0.0.1" } }, /the account agent could not connect: /],
    [{ trust: { sha256: "00".repeat(32) } }, /it shows another certificate/],
  ];
  for (const [change, why] of wrong) await assert.rejects(proveBroker(machine, { ...proof, ...change }), why);
  assert.deepEqual(await leftovers(), []);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("broker passwords: Mosquitto's own program makes hashes that are understood here", async () => {
  const dir = await makeLabDir("passwords");
  const path = join(dir, "passwords");
  await Deno.writeTextFile(path, "user:passwd\n", { mode: 0o600 });
  await succeed("mosquitto_passwd", ["-U", path]);
  const { parsePasswords, verifies } = await import("../../installer/broker/passwords.ts");
  const hash = parsePasswords(await Deno.readTextFile(path)).get("user")!;
  assert.ok(verifies(hash, "passwd"), hash);
  assert.ok(!verifies(hash, "Passwd"));
  await Deno.remove(dir, { recursive: true });
});
