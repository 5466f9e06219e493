import assert from "node:assert/strict";
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import { hasListener } from "../../installer/machine.ts";
import type { Step } from "../../installer/plan.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";

const signal = new AbortController().signal;
const access = { mode: 0o644, owner: "root", group: "root" };
const file = (id: string, content: string): Step => ({
  ...{ kind: "file", id, what: id, path: `/etc/${id}`, content, access },
});
const service: Step = {
  ...{ kind: "service", id: "broker", what: "the broker", name: "mosquitto.service", port: 8883 },
  ...{ startAgainAfter: ["conf"], reloadAfter: ["accounts"] },
};
const steps = (
  conf: string,
  accounts: string,
): Step[] => [file("conf", conf), file("accounts", accounts), service];

function machineWithBroker(): FakeMachine {
  const machine = new FakeMachine();
  machine.ports.set("mosquitto.service", 8883);
  return machine;
}

async function run(machine: FakeMachine, wanted: Step[]): Promise<Examined> {
  const seen: Examined[] = [];
  await apply(wanted, { machine, signal, onStep: (one) => Promise.resolve(void seen.push(one)) });
  return seen.at(-1)!;
}

const ofBroker = (machine: FakeMachine) =>
  machine.changes.filter((one) => /^(start|reload) mosquitto/.test(one)).map((one) => one.split(" ")[0]);

Deno.test("installer, another package's service: started again for its configuration, reloaded for accounts, else left alone", async () => {
  const machine = machineWithBroker();
  assert.equal((await run(machine, steps("a", "a"))).outcome, "make");
  assert.deepEqual(ofBroker(machine), ["start"]);
  assert.equal((await run(machine, steps("a", "a"))).outcome, "nothing");
  assert.deepEqual(ofBroker(machine), ["start"]);
  const foreseen = (await examineAll(machine, steps("a", "b"))).at(-1)!;
  assert.deepEqual([foreseen.outcome, foreseen.reloadOnly], ["change", true]);
  assert.match(foreseen.note!, /no client loses its connection/);
  await run(machine, steps("a", "b"));
  assert.deepEqual(ofBroker(machine), ["start", "reload"]);
  const both = (await examineAll(machine, steps("b", "c"))).at(-1)!;
  assert.deepEqual([both.outcome, both.reloadOnly], ["change", undefined]);
  await run(machine, steps("b", "c"));
  assert.deepEqual(ofBroker(machine), ["start", "reload", "start"]);
  machine.active.clear();
  assert.equal((await run(machine, steps("b", "c"))).outcome, "change");
});

for (const how of ["kill", "before"] as const) {
  Deno.test(`installer, another package's service: killed ${how === "kill" ? "after" : "before"} any change, the next run tells it what it has not heard`, async () => {
    for (const next of [steps("b", "a"), steps("a", "b"), steps("b", "b")]) {
      for (let trapAt = 1;; trapAt++) {
        const machine = machineWithBroker();
        await run(machine, steps("a", "a"));
        machine.changes.length = 0;
        machine.trap = { at: trapAt, how };
        const isKilled = await run(machine, next).then(() => false, () => true);
        machine.trap = undefined;
        await run(machine, next);
        const wanted = next[0] !== undefined && machine.text("/etc/conf") === "b" ? "start" : "reload";
        assert.ok(
          ofBroker(machine).includes(wanted),
          `killed at change ${trapAt}: ${machine.changes.join(", ")}`,
        );
        machine.changes.length = 0;
        await run(machine, next);
        assert.deepEqual(machine.changes, [], `killed at change ${trapAt}`);
        if (!isKilled) break;
      }
    }
  });
}

Deno.test("installer, a file made from what stands there: replaces that and nothing else, and stays a person's", async () => {
  const machine = new FakeMachine();
  machine.put("/etc/mine", "mine");
  const { sumOf } = await import("../../installer/kinds.ts");
  const derived = (from: string, content: string): Step[] => [{
    ...{ kind: "file", id: "mine", what: "mine", path: "/etc/mine", content, access, basedOn: sumOf(from) },
  }];
  assert.equal((await run(machine, derived("another", "x"))).outcome, "beside");
  assert.equal(machine.text("/etc/mine"), "mine");
  assert.equal((await run(machine, derived("mine", "mine too"))).outcome, "change");
  assert.equal(machine.text("/etc/mine"), "mine too");
  // the installer's own next version does not take its place
  assert.equal((await run(machine, [file("mine", "from answers")])).outcome, "beside");
  assert.equal(machine.text("/etc/mine"), "mine too");
});

Deno.test("installer: who listens at a port is seen in the kernel's tables", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   113
   1: 0100007F:22B3 0100007F:C350 01 00000000:00000000 00:00000000 00000000   113
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000
`;
  assert.deepEqual([1883, 8883, 80, 50000].map((port) => hasListener(table, port)), [
    true,
    false,
    true,
    false,
  ]);
  assert.equal(hasListener("", 80), false);
});
