import assert from "node:assert/strict";
import { join } from "node:path";
import { delay, waitUntil } from "../lab/wait.ts";
import { acknowledged } from "./crash_check.ts";
import { Plant } from "./plant.ts";
import { SmallDisk } from "./small_disk.ts";

const eio = 5;
const erofs = 30;
const enospc = 28;

Deno.test("disk: full to the last byte, reception pauses, cursor and dead letters are still written; with room again all goes on", async () => {
  await using disk = await SmallDisk.mount(48);
  await using plant = await Plant.open({ spoolDir: disk.dir, spool: { min_free: "1MiB", max_size: "1GiB" } });
  const { agent, sink } = plant;
  sink.fault = { status: 503 };
  await plant.start();
  await plant.publish(100, 2, 1_000);
  await agent.waitUntil("the first readings to be stored", ({ spool }) => spool.stored === 100);
  await disk.fill();
  await plant.publish(200, 2, 10_000);
  const paused = await agent.waitUntil(
    "reception to pause and the spool to be full",
    ({ subscriber, spool }) => subscriber.state === "paused" && spool.full,
  );
  assert.match(paused.subscriber.reason ?? "", /spool full/);
  assert.match(paused.alarms.map((alarm) => alarm.text).join(), /full/);
  // the output is well again and finds ten documents bad: what it writes down now needs the reserve
  sink.fault = { refuse: (_id, line) => /"sequence":\d+0}/.test(line) ? 400 : undefined };
  await agent.waitUntil(
    "the dead letters",
    ({ outputs: [output] }) => output!.dead >= 10 && output!.waiting === 0,
  );
  await waitUntil(
    async () => {
      const state = await Deno.readTextFile(join(disk.dir, "outputs/cloud.json"));
      return Number(/"nextSequence":\s*(\d+)/.exec(state)?.[1]) > 100;
    },
    10_000,
    "the cursor to be written on the full disk",
  );
  await agent.kill();
  sink.fault = undefined;
  agent.start();
  const again = await agent.waitUntil(
    "the agent to start on a full disk",
    ({ outputs }) => outputs.length === 1,
  );
  assert.ok(again.outputs[0]!.dead >= 10, "dead letters survive kill -9 on a full disk");
  await disk.empty();
  await agent.waitUntil("all readings to be stored", ({ spool }) => spool.stored === 300);
  const replayed = await agent.command("dead", "replay", "cloud");
  assert.equal(replayed.code, 0, replayed.stderr);
  await plant.finish();
});

Deno.test("disk: the agent refuses to start in a folder that it can't write to, and says which", async () => {
  await using disk = await SmallDisk.mount(16);
  await using plant = await Plant.open({ spoolDir: disk.dir });
  await disk.setReadOnly(true);
  plant.agent.start();
  assert.equal((await plant.agent.ended()).code, 1);
  assert.ok(plant.agent.log.includes(disk.dir), plant.agent.log);
  assert.match(plant.agent.log, /read-only/i);
  await disk.setReadOnly(false);
  await plant.start();
  await plant.publish(10, 1);
  await plant.finish();
});

for (
  const [name, errno] of [["read-only", erofs], ["broken", eio], [
    "full half-way through a write",
    enospc,
  ]] as const
) {
  Deno.test(`disk: ${name} for the segments while the agent runs: nothing is acknowledged, nothing ends, and later all arrives`, async () => {
    await using plant = await Plant.open();
    const { agent, proxy } = plant;
    await plant.start();
    await plant.publish(10, 2);
    await agent.waitUntil("the first readings to be stored", ({ spool }) => spool.stored === 10);
    agent.shim.failAt({ kinds: ["write"], n: 1, place: ".seg", errno, short: errno === enospc });
    await plant.publish(50, 2, 500);
    await agent.waitUntil("reception to pause", ({ subscriber }) => subscriber.state !== "connected");
    await delay(500);
    assert.ok(acknowledged(proxy.events).size <= 10, "acknowledged and not on disk");
    assert.ok(agent.isRunning);
    agent.shim.disarm();
    await plant.finish();
  });
}

Deno.test("disk: a failed fdatasync ends the agent with exit code 1 and a reason; nothing unsynced was acknowledged", async () => {
  await using plant = await Plant.open();
  const { agent, proxy } = plant;
  await plant.start();
  await plant.publish(10, 1);
  await agent.waitUntil("the first readings to be stored", ({ spool }) => spool.stored === 10);
  agent.shim.failAt({ kinds: ["sync"], n: 1, place: ".seg", errno: eio });
  await plant.publish(50, 1);
  assert.equal((await agent.ended()).code, 1);
  assert.match(agent.log, /sync/);
  assert.match(agent.log, /\.seg/);
  assert.ok(acknowledged(proxy.events).size <= 10, "acknowledged and not synced");
  agent.shim.disarm();
  await plant.start();
  await plant.finish();
});
