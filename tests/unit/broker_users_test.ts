import assert from "node:assert/strict";
import fc from "fast-check";
import { apply } from "../../installer/apply.ts";
import { aclText, agentTopics, parseAcl } from "../../installer/broker/acl.ts";
import { hashPassword, parsePasswords, passwordsText, verifies } from "../../installer/broker/passwords.ts";
import { brokerPlaces } from "../../installer/broker/places.ts";
import {
  type Accounts,
  readAccounts,
  sensorFilterFault,
  sensorNameFault,
  topicPrefix,
  userSteps,
  withAccount,
  withoutAccount,
} from "../../installer/broker/users.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";

const signal = new AbortController().signal;
const hashes = new Map([["agent", hashPassword("a")], ["kitchen", hashPassword("k")]]);
const topics = [agentTopics("sensorlog/vigo"), { name: "kitchen", read: [], write: ["kitchen/#"] }];

function machineWithAccounts(): FakeMachine {
  const machine = new FakeMachine();
  machine.put("/etc/passwd", "root:x:0:0::/:/x\nmosquitto:x:113:120::/x:/y\n");
  machine.put("/etc/group", "root:x:0:\nmosquitto:x:120:\n");
  const access = { type: "file", mode: 0o600, uid: 113, gid: 120 } as const;
  for (const dir of ["/etc/mosquitto/sensorlog", "/etc/sensorlog"]) {
    machine.entries.set(dir, { type: "folder", mode: 0o750, uid: 0, gid: 120 });
  }
  const put = (path: string, text: string) =>
    machine.entries.set(path, { ...access, content: new TextEncoder().encode(text) });
  put(brokerPlaces.passwords, passwordsText(hashes));
  put(brokerPlaces.acl, aclText(topics));
  machine.entries.set("/etc/systemd/system/multi-user.target.wants/mosquitto.service", {
    ...{ type: "link", target: "/x", mode: 0o777, uid: 0, gid: 0 },
  });
  machine.ports.set("mosquitto.service", 8883);
  machine.active.add("mosquitto.service");
  return machine;
}

async function bring(machine: FakeMachine, change: (standing: Accounts) => Accounts): Promise<void> {
  const steps = userSteps(change(readAccounts(machine)), 8883);
  await apply(steps, { machine, signal, onStep: () => Promise.resolve() });
}

/** What an account may write by the two files, as Mosquitto has it: nothing without an account. */
function writes(machine: FakeMachine, name: string, password: string): string[] {
  const hash = parsePasswords(machine.text(brokerPlaces.passwords)!).get(name);
  if (hash === undefined || !verifies(hash, password)) return [];
  return parseAcl(machine.text(brokerPlaces.acl)!).find((one) => one.name === name)?.write ?? [];
}

const add = (standing: Accounts) => withAccount(standing, "hall", ["hall/#"], "h");
const remove = (standing: Accounts) => withoutAccount(standing, "kitchen");

Deno.test("broker user: added, it may write its topics, and the broker is reloaded, not started again", async () => {
  const machine = machineWithAccounts();
  await bring(machine, add);
  assert.deepEqual(writes(machine, "hall", "h"), ["hall/#"]);
  assert.deepEqual(machine.changes.filter((one) => /mosquitto\.service/.test(one)), [
    "reload mosquitto.service",
  ]);
  assert.equal(parsePasswords(machine.text(brokerPlaces.passwords)!).get("kitchen"), hashes.get("kitchen"));
  machine.changes.length = 0;
  await bring(machine, add);
  assert.deepEqual(machine.changes, []);
});

for (const how of ["kill", "before"] as const) {
  Deno.test(`broker user: killed ${how === "kill" ? "after" : "before"} any change, nobody else is locked out and nobody let in; again, the broker hears of it`, async () => {
    for (
      const [change, name, password, own] of [[add, "hall", "h", "hall/#"], [
        remove,
        "kitchen",
        "k",
        "kitchen/#",
      ]] as const
    ) {
      for (let at = 1;; at++) {
        const machine = machineWithAccounts();
        machine.trap = { at, how };
        const isKilled = await bring(machine, change).then(() => false, () => true);
        machine.trap = undefined;
        assert.deepEqual(writes(machine, "agent", "a"), ["sensorlog/vigo/#"]);
        if (change === add) assert.deepEqual(writes(machine, "kitchen", "k"), ["kitchen/#"]);
        const found = writes(machine, name, password);
        assert.ok(found.length === 0 || (found.length === 1 && found[0] === own), found.join());
        await bring(machine, change);
        assert.deepEqual(writes(machine, name, password), change === add ? [own] : []);
        assert.ok(machine.changes.includes("reload mosquitto.service"), `killed at change ${at}`);
        if (!isKilled) break;
      }
    }
  });
}

Deno.test("broker user: topics change without the password, the password without the topics, and what it reads stays", () => {
  const standing: Accounts = {
    accounts: hashes,
    topics,
    aclPresent: "",
    files: { passwords: "/a", acl: "/b" },
  };
  const moved = withAccount(standing, "kitchen", ["other/#"], undefined);
  assert.equal(moved.accounts.get("kitchen"), hashes.get("kitchen"));
  assert.deepEqual(moved.topics[1], { name: "kitchen", read: [], write: ["other/#"] });
  const renewed = withAccount(standing, "kitchen", ["kitchen/#"], "new");
  assert.ok(verifies(renewed.accounts.get("kitchen")!, "new"));
  assert.equal(
    withAccount(standing, "kitchen", ["kitchen/#"], "k").accounts.get("kitchen"),
    hashes.get("kitchen"),
  );
});

Deno.test("broker user: names and filters that are none are refused before anything is looked at", () => {
  for (const name of ["agent", "", "a b", "a/b", "a:b", "é", "x".repeat(65)]) {
    assert.ok(sensorNameFault(name), name);
  }
  for (const name of ["kitchen", "hall-2.north", "S_1"]) assert.equal(sensorNameFault(name), undefined);
  for (const filter of ["", "a/#/b", "$SYS/#", "$share/g/a", "a\n", " a", "a+"]) {
    assert.ok(sensorFilterFault(filter), filter);
  }
  for (const filter of ["kitchen/#", "hall/+/t", "#", "a b/ü"]) {
    assert.equal(sensorFilterFault(filter), undefined);
  }
});

Deno.test("broker user: a topic prefix is what stands before the first wildcard", () => {
  assert.deepEqual(["kitchen/#", "hall/+/t", "a/b/c", "#", "+/x"].map(topicPrefix), [
    "kitchen",
    "hall",
    "a/b/c",
    "",
    "",
  ]);
  fc.assert(fc.property(fc.string(), (filter) => assert.ok(filter.startsWith(topicPrefix(filter)))));
});

Deno.test("broker user: an adopted broker keeps its own file, and its accounts may do everything as before", async () => {
  const machine = machineWithAccounts();
  machine.entries.set("/etc/mosquitto", { type: "folder", mode: 0o755, uid: 0, gid: 0 });
  machine.put(
    "/etc/mosquitto/mosquitto.conf",
    "password_file /etc/mosquitto/mine\nlistener 1883\ncertfile /x\nkeyfile /y\n",
  );
  machine.put("/etc/mosquitto/mine", passwordsText(hashes));
  assert.equal(readAccounts(machine).aclPresent, undefined);
  await bring(machine, add);
  assert.ok(verifies(parsePasswords(machine.text("/etc/mosquitto/mine")!).get("hall")!, "h"));
  assert.equal(machine.text(brokerPlaces.passwords), passwordsText(hashes));
  assert.equal(machine.text(brokerPlaces.acl), aclText(topics));
});

Deno.test("broker user: without a broker of ours it says what to do first", () => {
  assert.throws(() => readAccounts(new FakeMachine()), /passwords: it is not there; set the broker up first/);
});
