import assert from "node:assert/strict";
import { join } from "node:path";
import "../../agent/base/libc.ts"; // loaded once: not a leak of the first test
import { type Files, realFiles } from "../../agent/base/files.ts";
import { receiveStuckMs } from "../../agent/limits.ts";
import { Pipeline } from "../../agent/pipeline.ts";
import { FakeBroker } from "../fakes/fake_broker.ts";
import { HurriedClock } from "../fakes/hurried_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { waitUntil } from "../lab/wait.ts";
import { outputTo, running, settingsFor, store, withBench } from "./pipeline_setup.ts";

Deno.test("pipeline: what an earlier life stored is shipped, and the numbers add up", async () => {
  await withBench(async ({ dir, sink, open }) => {
    await store(dir, ["1", "2", "3"]);
    const pipeline = await open();
    await running(pipeline, (snapshot) => snapshot.outputs[0]!.confirmed === 3, async () => {
      const { outputs, spool, subscriber, alarms } = await pipeline.snapshot();
      const { stored, confirmed, waiting, dead, dropped, damaged } = outputs[0]!;
      assert.deepEqual([stored, confirmed, waiting, dead, dropped, damaged], [3, 3, 0, 0, 0, 0]);
      assert.deepEqual([spool.stored, spool.segments, spool.setAside], [3, 1, []]);
      assert.equal(subscriber.state, "no broker configured");
      assert.deepEqual(alarms, []);
    });
    assert.deepEqual(sink.sources().map((one) => one.value), [1, 2, 3]);
    assert.deepEqual(sink.violations, []);
  });
});

Deno.test("pipeline: a second agent on the same spool is refused, until the first has ended", async () => {
  await withBench(async ({ open }) => {
    const first = await open();
    await assert.rejects(open(), new RegExp(`the process with pid ${Deno.pid} has it`));
    await first.close();
    await (await open()).close();
  });
});

Deno.test("pipeline: one that can't be opened leaves the spool free", async () => {
  await withBench(async ({ sink, open }) => {
    await assert.rejects(open([{ ...outputTo(sink.url), index: "UPPER CASE" }]), { name: "ConfigError" });
    await (await open()).close();
  });
});

Deno.test("pipeline: what is not configured, and what was set aside, is an alarm", async () => {
  await withBench(async ({ dir, open }) => {
    await Deno.writeFile(join(dir, "00000001-0000000000000001-1590ee221c0bb13e.seg.bad"), new Uint8Array(10));
    const pipeline = await open([]);
    const { alarms, outputs } = await pipeline.snapshot();
    assert.deepEqual(alarms.map((alarm) => alarm.code).sort(), ["no_output", "segment_set_aside"]);
    assert.ok(alarms.every((alarm) => alarm.remedy !== undefined));
    assert.deepEqual(outputs, []);
    await pipeline.close();
  });
});

Deno.test("pipeline: a reload takes over what needs no restart, and nothing else", async () => {
  await withBench(async ({ dir, open }) => {
    const pipeline = await open();
    const before = pipeline.inForce;
    const next = settingsFor(dir, []);
    next.mqtt = { ...next.mqtt, url: "mqtt://127.0.0.1:1", topics: ["a/#"], qos: 2, keepAliveS: 5 };
    next.spool = { ...next.spool, maxSizeBytes: 32 * 1024 * 1024, whenFull: "drop_oldest", syncWindowMs: 1 };
    next.log.level = "debug";
    pipeline.reload(next);
    const { mqtt, spool, outputs, log } = pipeline.inForce;
    assert.deepEqual(mqtt, { ...before.mqtt, topics: ["a/#"], qos: 2 });
    assert.deepEqual(spool, { ...before.spool, maxSizeBytes: 32 * 1024 * 1024 });
    assert.equal(outputs.length, 1);
    assert.equal(log.level, "debug");
    assert.equal((await pipeline.snapshot()).spool.maxSizeBytes, 32 * 1024 * 1024);
    await pipeline.close();
  });
});

Deno.test("pipeline: dead letters are listed, sent again and dropped, while it runs", async () => {
  await withBench(async ({ dir, sink, open }) => {
    await store(dir, ["1", "2", "3"]);
    sink.fault = { refuse: (_id, line) => JSON.parse(line).value > 1 ? 400 : undefined };
    const pipeline = await open();
    await running(pipeline, (snapshot) => snapshot.outputs[0]!.dead === 2, async () => {
      assert.deepEqual(pipeline.outputs(), ["cloud"]);
      const [second, third] = [...pipeline.deadLetters("cloud")];
      assert.deepEqual([second!.sequence, third!.sequence], [2, 3]);
      const never = new AbortController().signal;
      assert.equal((await pipeline.replayDead("cloud", undefined, never)).refused, 2);
      sink.fault = undefined;
      const result = await pipeline.replayDead("cloud", [second!.id], never);
      assert.deepEqual([result.replayed, result.refused], [1, 0]);
      assert.equal(await pipeline.dropDead("cloud", undefined), 1);
      const { confirmed, dead, dropped, stored } = (await pipeline.snapshot()).outputs[0]!;
      assert.deepEqual([stored, confirmed, dead, dropped], [3, 2, 0, 1]);
    });
  });
});

Deno.test("pipeline: dead letters of an output that is gone are still there, and can be dropped", async () => {
  await withBench(async ({ dir, sink, open }) => {
    await store(dir, ["1", "2"]);
    sink.fault = { refuse: () => 400 };
    await running(await open(), (snapshot) => snapshot.outputs[0]!.dead === 2);
    const pipeline = await open([]);
    assert.deepEqual(pipeline.outputs(), ["cloud"]);
    assert.equal([...pipeline.deadLetters("cloud")].length, 2);
    const never = new AbortController().signal;
    await assert.rejects(
      pipeline.replayDead("cloud", undefined, never),
      /no output of that name in the configuration/,
    );
    await assert.rejects(async () => await pipeline.dropDead("nope", undefined), /no output of that name/);
    assert.equal(await pipeline.dropDead("cloud", undefined), 2);
    await pipeline.close();
  });
});

Deno.test("pipeline: without being run it sends dead letters again, for `dead replay` while no agent runs", async () => {
  await withBench(async ({ dir, sink, open }) => {
    await store(dir, ["1"]);
    sink.fault = { refuse: () => 400 };
    await running(await open(), (snapshot) => snapshot.outputs[0]!.dead === 1);
    sink.fault = undefined;
    const pipeline = await open();
    const result = await pipeline.replayDead("cloud", undefined, new AbortController().signal);
    assert.deepEqual([result.replayed, result.refused, result.reason], [1, 0, undefined]);
    await pipeline.close();
    assert.equal(sink.documents.size, 1);
  });
});

Deno.test("pipeline: tail refuses what is no topic filter before it begins", async () => {
  await withBench(async ({ open }) => {
    const pipeline = await open();
    assert.throws(() => pipeline.tail(new AbortController().signal, ["a", "a/#/b"]), /topic filter/);
    await pipeline.close();
  });
});

/** A clock of real time whose boot clock a test puts forward. */
class ForwardClock extends HurriedClock {
  forwardMs = 0;
  override bootMs(): number {
    return super.bootMs() + this.forwardMs;
  }
}

/** A real disk whose syncs can be made to hang, as those of a dying card do. */
class HangingFiles {
  hang: Promise<void> | undefined;
  hanging = 0;
  readonly files: Files = {
    ...realFiles,
    open: (path, mode) => {
      const file = realFiles.open(path, mode);
      const sync = file.syncData.bind(file);
      file.syncData = async () => {
        if (this.hang !== undefined) this.hanging++;
        await this.hang;
        await sync();
      };
      return file;
    },
  };
}

Deno.test("pipeline: the watchdog is told that the agent lives, unless a connection is stuck for half an hour", async () => {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-pipeline-" });
  await using broker = new FakeBroker(async (client) => {
    await client.answerConnect();
    await client.answerSubscribe();
  });
  const settings = settingsFor(dir, []);
  settings.mqtt.url = broker.url;
  const clock = new ForwardClock(1);
  const disk = new HangingFiles();
  const machine = { files: disk.files, clock, log: new MemoryLog(), version: "0" };
  const pipeline = await Pipeline.open(settings, machine);
  assert.ok(pipeline.lives(), "not connected is no reason to be killed");
  await running(pipeline, (snapshot) => snapshot.subscriber.filters[0]?.granted === 1, async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    disk.hang = promise;
    const client = await broker.client(1);
    await client.send({ cmd: "publish", topic: "t", payload: "1", qos: 0, retain: false, dup: false });
    await waitUntil(() => disk.hanging > 0, 5_000, "a sync that hangs", { everyMs: 2 });
    clock.forwardMs = receiveStuckMs - 60_000;
    assert.ok(pipeline.lives(), "a slow disk is no reason to be killed");
    clock.forwardMs = receiveStuckMs;
    assert.ok(!pipeline.lives());
    disk.hang = undefined;
    resolve();
    await waitUntil(() => pipeline.lives(), 5_000, "the loop to turn again", { everyMs: 2 });
  });
  await Deno.remove(dir, { recursive: true });
});

Deno.test("pipeline: segments that the output has done with go", async () => {
  await withBench(async ({ dir, open }) => {
    await store(dir, ["1", "2"]);
    await store(dir, ["3"]);
    const names = () => realFiles.list(dir).filter((entry) => entry.name.endsWith(".seg")).length;
    assert.equal(names(), 2);
    await running(await open(), (snapshot) => snapshot.outputs[0]!.confirmed === 3);
    const pipeline = await open(); // looks once when it is opened
    assert.equal(names(), 1);
    await pipeline.close();
  });
});
