import assert from "node:assert/strict";
import { OperationError } from "../../agent/base/errors.ts";
import { apply, examineAll, type Examined, examineUndoAll, undo } from "../../installer/apply.ts";
import { places, planInstall, planUninstall, type Step, unitPath, type Wish } from "../../installer/plan.ts";
import { recordPath } from "../../installer/record.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";

const wish: Wish = {
  source: "/opt/sensorlog-agent",
  config: "plant: vigo\n",
  files: [
    { name: "mqtt-password", content: "hunter2\n", secret: true },
    { name: "mqtt-ca.crt", content: "certificates\n", secret: false },
  ],
  credentials: [{ name: "mqtt-password", path: "/etc/sensorlog/mqtt-password" }],
  writableDirs: [],
};
const signal = new AbortController().signal;

function machineWithSource(live = true): FakeMachine {
  const machine = new FakeMachine(live);
  machine.sources.set(wish.source, "the binary");
  return machine;
}

async function run(machine: FakeMachine, steps = planInstall(wish)): Promise<Examined[]> {
  const seen: Examined[] = [];
  const onStep = (examined: Examined) => {
    seen.push(examined);
    return Promise.resolve();
  };
  await apply(steps, { machine, signal, onStep }, { plant: "vigo" });
  return seen;
}

async function takeAway(machine: FakeMachine, purge: boolean): Promise<Examined[]> {
  const seen: Examined[] = [];
  const onStep = (examined: Examined) => {
    seen.push(examined);
    return Promise.resolve();
  };
  await undo(planUninstall(), { machine, signal, onStep }, purge);
  return seen;
}

const outcomes = (seen: Examined[]) =>
  Object.fromEntries(seen.map(({ step, outcome }) => [step.id, outcome]));

for (const live of [true, false]) {
  const where = live ? "on the running machine" : "in an image";

  Deno.test(`installer ${where}: a second run changes nothing`, async () => {
    const machine = machineWithSource(live);
    const first = await run(machine);
    assert.deepEqual(new Set(first.map(({ outcome }) => outcome)), new Set(["make", "change"]));
    assert.deepEqual(machine.started, live ? ["sensorlog-agent.service"] : []);
    const after = machine.listing();
    machine.changes.length = 0;
    const second = await run(machine);
    assert.deepEqual(new Set(second.map(({ outcome }) => outcome)), new Set(["nothing"]));
    assert.deepEqual(machine.changes, []);
    assert.deepEqual(machine.listing(), after);
  });

  for (const how of ["kill", "before"] as const) {
    Deno.test(`installer ${where}: killed ${how === "kill" ? "after" : "before"} any change and run again, it completes`, async () => {
      const whole = machineWithSource(live);
      await run(whole);
      for (let at = 1; at <= whole.changes.length; at++) {
        const machine = machineWithSource(live);
        machine.trap = { at, how };
        await assert.rejects(run(machine));
        machine.trap = undefined;
        await run(machine);
        assert.deepEqual(machine.listing(), whole.listing(), `killed at change ${at}`);
        assert.deepEqual(machine.active, whole.active, `killed at change ${at}`);
        machine.changes.length = 0;
        await run(machine);
        assert.deepEqual(machine.changes, [], `killed at change ${at}`);
      }
    });

    Deno.test(`installer ${where}: purge leaves what was there before, killed ${how === "kill" ? "after" : "before"} any change, too`, async () => {
      const before = machineWithSource(live).listing();
      const whole = machineWithSource(live);
      await run(whole);
      whole.changes.length = 0;
      await takeAway(whole, true);
      assert.deepEqual(whole.listing(), before);
      for (let at = 1; at <= whole.changes.length; at++) {
        const machine = machineWithSource(live);
        await run(machine);
        machine.trap = { at, how };
        await assert.rejects(takeAway(machine, true));
        machine.trap = undefined;
        await takeAway(machine, true);
        assert.deepEqual(machine.listing(), before, `killed at change ${at}`);
        assert.deepEqual(machine.active.size, 0);
      }
    });
  }
}

Deno.test("installer: looking at it changes nothing, and says what a run would do", async () => {
  const machine = machineWithSource();
  const before = machine.listing();
  const found = outcomes(await examineAll(machine, planInstall(wish)));
  assert.deepEqual(new Set(Object.values(found)), new Set(["make"]));
  assert.deepEqual(machine.listing(), before);
  await run(machine);
  const changed = planInstall({ ...wish, config: "plant: other\n" });
  const later = await examineAll(machine, changed);
  assert.deepEqual(outcomes(later.filter(({ outcome }) => outcome !== "nothing")), {
    configuration: "change",
    service: "change",
  });
  const { before: was, after } = later.find(({ step }) => step.id === "configuration")!;
  assert.deepEqual([was, after], ["plant: vigo\n", "plant: other\n"]);
});

Deno.test("installer: no secret is shown or recorded", async () => {
  const machine = machineWithSource();
  assert.ok(
    !JSON.stringify(await examineAll(machine, planInstall({ ...wish, files: wish.files.slice(0, 1) })))
      .replace(/"step":\{.*?\}\}/g, "").includes("hunter2"),
  );
  await run(machine);
  const holding = machine.listing().filter((line) => line.includes("hunter2"));
  assert.deepEqual(holding, ["/etc/sensorlog/mqtt-password file 600 0:0 hunter2\n"]);
  assert.ok(!machine.text(recordPath)!.includes("mqtt-password"), "not even its sum");
});

Deno.test("installer: a file that a person has edited is kept, the new one put beside it, once", async () => {
  for (const path of [places.config, unitPath]) {
    const machine = machineWithSource();
    await run(machine);
    machine.put(path, "edited\n", 0o640);
    const steps = planInstall({ ...wish, config: "plant: other\n", writableDirs: ["/mnt/usb"] });
    const seen = await run(machine, steps);
    const examined = seen.find(({ step }) => "path" in step && step.path === path)!;
    assert.equal(examined.outcome, "beside");
    assert.match(examined.note!, /stays as it is/);
    assert.equal(machine.text(path), "edited\n");
    assert.match(machine.text(`${path}.new`)!, /plant: other|mnt/);
    machine.changes.length = 0;
    const again = (await run(machine, steps)).find(({ step }) => "path" in step && step.path === path)!;
    assert.deepEqual(machine.changes, []);
    assert.match(again.note!, /stays as it is/);
  }
});

Deno.test("installer: a file that the installer wrote is replaced, and the service started again once all is there", async () => {
  const machine = machineWithSource();
  await run(machine);
  const steps = planInstall({ ...wish, config: "plant: other\n" });
  // killed between the new configuration and the start: the next run starts it again
  machine.trap = { at: 2, how: "kill" };
  await assert.rejects(run(machine, steps));
  assert.equal(machine.text(places.config), "plant: other\n");
  assert.equal(machine.started.length, 1);
  machine.trap = undefined;
  await run(machine, steps);
  assert.equal(machine.started.length, 2);
  await run(machine, steps);
  assert.equal(machine.started.length, 2);
});

Deno.test("installer: the first failure stops it, and says where, how far it came and how to go on", async () => {
  const machine = machineWithSource();
  machine.trap = {
    at: 8,
    how: new OperationError({ operation: "x", place: "/p", cause: "no room", remedy: "make some" }),
  };
  await assert.rejects(run(machine), (error: Error) => {
    assert.ok(error instanceof OperationError);
    assert.match(
      error.message,
      /^install: .*\/p: no room; make some; \d of 10 steps are done, and the same install again/,
    );
    return true;
  });
  assert.equal(machine.active.size, 0);
  const stopped = new AbortController();
  stopped.abort();
  const running = { machine, signal: stopped.signal, onStep: () => Promise.resolve() };
  await assert.rejects(apply(planInstall(wish), running), /interrupted; 0 of 10 steps/);
});

Deno.test("installer: uninstall keeps configuration, secrets, readings and their user; a foreign user stays even with purge", async () => {
  const machine = machineWithSource();
  await run(machine);
  machine.put(`${places.stateDir}/spool-file`, "readings");
  const kept = outcomes(examineUndoAll(machine, planUninstall(), false));
  assert.deepEqual(outcomes(await takeAway(machine, false)), kept);
  assert.deepEqual(
    machine.listing().filter((line) => /sensorlog/.test(line)).map((line) => line.split(" ")[0]),
    [
      ...["/etc/group", "/etc/passwd", "/etc/sensorlog", places.config, recordPath],
      ...["/etc/sensorlog/mqtt-ca.crt", "/etc/sensorlog/mqtt-password"],
      ...[places.stateDir, `${places.stateDir}/spool-file`, places.logsDir],
    ].sort(),
  );
  machine.changes.length = 0;
  assert.ok(!Object.values(outcomes(await takeAway(machine, false))).includes("remove"));
  assert.deepEqual(machine.changes, []);
  await run(machine);
  assert.equal(machine.active.size, 1);

  const foreign = machineWithSource();
  await foreign.run("groupadd", ["--system", "sensorlog"]);
  await foreign.run("useradd", ["--system", "--comment", "Somebody", "sensorlog"]);
  const before = foreign.listing();
  await run(foreign);
  assert.equal(outcomes(await takeAway(foreign, true)).user, "keep");
  assert.deepEqual(foreign.listing(), before);
});

Deno.test("installer: packages and commands are steps as well, done once and undone where there is a way", async () => {
  const steps: Step[] = [
    { kind: "package", id: "broker", what: "Mosquitto", name: "mosquitto" },
    {
      ...{ kind: "command", id: "key", what: "a key", run: { program: "touch", args: ["/etc/key"] } },
      ...{ done: { program: "test", args: ["-e", "/etc/key"] }, undo: { program: "rm", args: ["/etc/key"] } },
    },
  ];
  const machine = machineWithSource();
  assert.deepEqual(outcomes(await run(machine, steps)), { broker: "make", key: "make" });
  assert.deepEqual(outcomes(await run(machine, steps)), { broker: "nothing", key: "nothing" });
  const running = { machine, signal, onStep: () => Promise.resolve() };
  assert.deepEqual(outcomes(examineUndoAll(machine, steps, true)), { broker: "keep", key: "remove" });
  await undo(steps, running, true);
  assert.equal(machine.look("/etc/key"), undefined);
  const image = machineWithSource(false);
  await assert.rejects(run(image, steps), /put the package into the image first/);
  assert.deepEqual(outcomes(await run(image, steps.slice(1))), { key: "nothing" });
});

Deno.test("installer: in an image a user gets ids that nobody has, in every file of accounts", async () => {
  const image = machineWithSource(false);
  image.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\na:x:999:999::/:/bin/sh\n");
  image.put("/etc/group", "root:x:0:\nb:x:998:\n");
  image.put("/etc/gshadow", "root:*::\n", 0o640);
  await run(image);
  assert.match(
    image.text("/etc/passwd")!,
    /^sensorlog:x:997:997:sensorlog-agent:\/var\/lib\/sensorlog:\S*nologin$/m,
  );
  assert.match(image.text("/etc/group")!, /^sensorlog:x:997:$/m);
  assert.match(image.text("/etc/shadow")!, /^sensorlog:!:::::::$/m);
  assert.match(image.text("/etc/gshadow")!, /^sensorlog:!::$/m);
  assert.equal(image.look("/etc/shadow")!.mode, 0o640);
  assert.deepEqual(image.look(places.stateDir), {
    type: "folder",
    mode: 0o750,
    uid: 997,
    gid: 997,
    sizeBytes: 0,
  });
});
