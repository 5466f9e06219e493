import assert from "node:assert/strict";
import { join } from "node:path";
import { waitUntil } from "../lab/wait.ts";
import type { PointKind, PointWhen } from "../lab/shim.ts";
import { Plant } from "./plant.ts";
import { SmallDisk } from "./small_disk.ts";

const MiB = 1024 * 1024;

Deno.test("local: killed again and again, the store alone has every acknowledged reading once", async () => {
  await using plant = await Plant.open({ cloud: false, local: {} });
  const { agent } = plant;
  const deaths: [PointKind, number, PointWhen][] = [
    ["write", 1, "before"],
    ["write", 3, "half"],
    ["write", 5, "after"],
    ["sync", 1, "before"],
    ["sync", 1, "after"],
  ];
  for (const [kind, n, when] of deaths) {
    await plant.start();
    agent.shim.killAt({ kinds: [kind], place: "readings.sqlite-wal", n, when });
    const publishing = plant.publish(300, 2, 100);
    await agent.ended(60_000);
    await publishing;
    agent.shim.disarm();
  }
  await plant.start();
  await plant.finish(60_000);
});

Deno.test("two outputs: where one is down for long, the other goes on, segments stay, and then all arrives once", async () => {
  await using plant = await Plant.open({ local: {} });
  const { agent, sink, store } = plant;
  await plant.start();
  sink.fault = { status: 503 };
  // more than two segments, so that the cleaner would have something to remove
  await plant.publish(400, 1, 60_000);
  const down = await agent.waitUntil(
    "the store to have all",
    ({ outputs }) => outputs.find(({ name }) => name === "local")?.confirmed === 400,
    60_000,
  );
  assert.equal(store.documents().length, 400);
  assert.equal(sink.documents.size, 0);
  assert.equal(down.outputs.find(({ name }) => name === "cloud")!.waiting, 400);
  assert.ok(down.spool.segments >= 3 && down.spool.sizeBytes > 20 * MiB, `${down.spool.segments} segments`);
  assert.equal(down.spool.oldestSequence, 1);
  await agent.kill(); // the outage outlasts the agent
  agent.start();
  await plant.publish(50, 2);
  await agent.waitUntil(
    "the store to have what came since",
    ({ outputs }) => outputs.find(({ name }) => name === "local")?.confirmed === 450,
    60_000,
  );
  sink.fault = undefined;
  await plant.finish(90_000);
  await agent.waitUntil("the segments to go", ({ spool }) => spool.oldestSequence > 400, 30_000);
});

Deno.test("outputs: one that is added has what is on disk, one that is removed holds nothing back, one renamed is both", async () => {
  await using plant = await Plant.open({ local: {} });
  const { agent, sink, store } = plant;
  const cloud = { type: "elasticsearch", urls: [sink.url] };
  const local = { type: "local", dir: store.dir };
  await plant.setOutputs({ cloud });
  await plant.start();
  sink.fault = { status: 503 };
  await plant.publish(400, 1, 60_000);
  await agent.waitUntil("the readings to be stored", ({ spool }) => spool.stored === 400, 60_000);
  await agent.stop();

  // added: it begins at the oldest reading on disk
  await plant.setOutputs({ cloud, here: local });
  agent.start();
  const added = await agent.waitUntil(
    "the new output to have all that is on disk",
    ({ outputs }) => outputs.find(({ name }) => name === "here")?.confirmed === 400,
    60_000,
  );
  assert.equal(store.documents().length, 400);
  assert.equal(added.spool.oldestSequence, 1);
  await agent.stop();

  // removed: the segments that only it has not confirmed go
  await plant.setOutputs({ here: local });
  agent.start();
  await agent.waitUntil("the segments to go", ({ spool }) => spool.oldestSequence > 200, 60_000);
  await plant.publish(20, 2);
  await agent.stop();

  // renamed: the new name begins at the oldest on disk, and the store has nothing twice
  await plant.setOutputs({ there: local });
  await plant.start();
  await plant.publish(20, 1);
  const renamed = await agent.waitUntil(
    "the renamed output to have the rest",
    ({ outputs: [output] }) =>
      output!.name === "there" && output!.waiting === 0 && store.documents().length === 440 &&
      output!.stored > 40,
    60_000,
  );
  const [output] = renamed.outputs;
  assert.ok(output!.confirmed > 40 && output!.confirmed < 440, `${output!.confirmed} confirmed`);
  const { stored, confirmed, waiting, dead, dropped, damaged } = output!;
  assert.equal(stored, confirmed + waiting + dead + dropped + damaged);
  assert.deepEqual(store.faults(), []);
  assert.equal(new Set(store.documents().map(({ number }) => number)).size, 440);
  await agent.stop();

  // back again after all: what went meanwhile is counted, the rest arrives
  sink.fault = undefined;
  await plant.setOutputs({ cloud, there: local });
  agent.start();
  const back = await agent.waitUntil(
    "the first output to have what is left",
    ({ outputs }) => outputs.find(({ name }) => name === "cloud")?.waiting === 0,
    60_000,
  );
  const first = back.outputs.find(({ name }) => name === "cloud")!;
  assert.equal(first.stored, 440);
  assert.equal(first.confirmed, sink.documents.size);
  assert.equal(first.confirmed + first.dropped, 440);
  assert.ok(first.dropped >= 200, JSON.stringify(first.droppedWhy));
  assert.deepEqual(sink.violations, []);
});

Deno.test("local: a store that is deleted while the agent runs is begun anew; what was confirmed before is not sent again", async () => {
  await using plant = await Plant.open({ cloud: false, local: {} });
  const { agent, store } = plant;
  await plant.start();
  await plant.publish(50, 1);
  await agent.waitUntil("the first readings", ({ outputs: [output] }) => output!.confirmed === 50);
  await Deno.remove(store.dir, { recursive: true });
  await plant.publish(30, 1);
  await agent.waitUntil("the others", ({ outputs: [output] }) => output!.confirmed === 80, 60_000);
  const there = store.documents().map(({ number }) => number).sort((a, b) => a - b);
  assert.deepEqual(there, Array.from({ length: 30 }, (_, at) => 51 + at));
  assert.match(agent.log, /the store was removed or replaced while it was open/);
});

Deno.test("local: a damaged store is set aside at the start, shown, and a new one begun", async () => {
  await using plant = await Plant.open({ cloud: false, local: {} });
  const { agent, store } = plant;
  await plant.start();
  await plant.publish(2_000, 1);
  await agent.waitUntil("the first readings", ({ outputs: [output] }) => output!.confirmed === 2_000);
  await agent.stop();
  using file = await Deno.open(store.file, { write: true });
  await file.seek(5 * 4_096, Deno.SeekMode.Start);
  await file.write(crypto.getRandomValues(new Uint8Array(9_000)));
  await plant.start();
  await plant.publish(10, 1);
  const { alarms } = await agent.waitUntil(
    "the readings to be in the new one",
    ({ outputs: [output] }) => output!.confirmed === 2_010,
  );
  assert.equal(store.documents().length, 10);
  assert.equal(store.faults().length, 1);
  const alarm = alarms.find(({ code }) => code === "store_set_aside");
  assert.match(
    alarm!.text,
    /local: the store was damaged and set aside: readings\.damaged-\d{8}T\d{9}Z\.sqlite/,
  );
  assert.match(agent.log, /the store was damaged: it was set aside as readings\.damaged/);
  const checked = await agent.command("check");
  assert.match(checked.stdout, /! output local: damaged databases were set aside/);
});

Deno.test("local: on a full disk nothing is lost, half there or confirmed; and with room all goes on", async () => {
  await using disk = await SmallDisk.mount(64);
  await using plant = await Plant.open({
    ...{ cloud: false, local: {}, storeDir: join(disk.dir, "store") },
  });
  const { agent, store } = plant;
  await plant.start();
  await plant.publish(100, 1, 2_000);
  await agent.waitUntil("the first readings", ({ outputs: [output] }) => output!.confirmed === 100);
  await disk.fill();
  await plant.publish(2_500, 1, 4_000);
  const full = await agent.waitUntil(
    "the store to be refused",
    ({ outputs: [output] }) => output!.state === "retrying" && output!.confirmed < 2_600,
    60_000,
  );
  assert.match(full.outputs[0]!.reason ?? "", /the disk is full/);
  assert.equal(store.documents().length, full.outputs[0]!.confirmed);
  await disk.empty();
  await plant.finish(60_000);
});

Deno.test("local: a second agent on the same store is refused by it, and the first goes on", async () => {
  await using plant = await Plant.open({ cloud: false, local: {} });
  await using other = await Plant.open({ cloud: false, local: { dir: plant.store.dir } });
  await plant.start();
  other.agent.start();
  const { outputs: [output] } = await other.agent.waitUntil(
    "the second to be refused",
    ({ outputs: [output], subscriber }) => output!.state === "paused" && subscriber.filters[0]?.granted === 2,
    30_000,
  );
  assert.match(output!.reason ?? "", new RegExp(`the process with pid ${plant.agent.running.pid} has it`));
  await other.publish(10, 1);
  await plant.publish(10, 1);
  await plant.finish();
  await plant.agent.stop();
  await waitUntil(
    async () => (await other.agent.snapshot()).outputs[0]!.confirmed === 10,
    90_000,
    "the second's turn",
  );
  assert.equal(plant.store.documents().length, 20);
});
