import assert from "node:assert/strict";
import { agentBinary } from "../lab/agent.ts";
import { ServiceManager } from "../lab/service_manager.ts";
import { finish } from "../lab/command.ts";
import { waitUntil } from "../lab/wait.ts";
import { Scene } from "./commands_scene.ts";

const many = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ topic: "hall/t", payload: String(i), qos: 1 as const }));

Deno.test("run: SIGTERM stores, acknowledges and ships what was read, and ends with 0", async () => {
  await using scene = await Scene.open({ broker: { persistence: true, extra: ["max_queued_messages 0"] } });
  const { agent, sink } = scene;
  await scene.start();
  const publishing = scene.publish(many(20_000));
  await agent.waitUntil("some of them", (snapshot) => snapshot.subscriber.received > 1_000);
  assert.deepEqual(await agent.stop(), { code: 0, signal: null });
  await publishing;
  assert.match(agent.log, /the agent stops/);
  assert.match(agent.log, /the agent has stopped/);
  await assert.rejects(Deno.stat(agent.socket), "its socket goes with it");
  const shipped = sink.documents.size;
  await scene.start();
  await agent.waitUntil("the rest", (snapshot) => snapshot.outputs[0]!.confirmed === 20_000, 30_000);
  assert.ok(shipped > 0);
  assert.equal(sink.documents.size, 20_000, "each once: what was read before the signal was acknowledged");
  assert.deepEqual(sink.violations, []);
});

Deno.test("run: SIGTERM waits for an output at most 5 s; an output that is down does not hold it up", async () => {
  await using scene = await Scene.open();
  const { agent, sink } = scene;
  sink.fault = { delayMs: 60_000 };
  await scene.start();
  await scene.publish(many(10));
  await agent.waitUntil("the readings", (snapshot) => snapshot.spool.stored === 10);
  const startMs = performance.now();
  assert.equal((await agent.stop()).code, 0);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs > 4_000 && tookMs < 9_000, `${tookMs} ms`);
  sink.fault = { status: 503 };
  await scene.start();
  await agent.waitUntil("the output to be retried", (snapshot) => snapshot.outputs[0]!.state === "retrying");
  const againMs = performance.now();
  assert.equal((await agent.stop()).code, 0);
  assert.ok(performance.now() - againMs < 3_000);
});

Deno.test("run: the first Ctrl-C stops it, a second one ends it at once", async () => {
  await using scene = await Scene.open();
  const { agent, sink } = scene;
  sink.fault = { delayMs: 60_000 };
  await scene.start();
  await scene.publish(many(10));
  await agent.waitUntil("the readings", (snapshot) => snapshot.spool.stored === 10);
  agent.running.signal("SIGINT");
  await waitUntil(() => agent.log.includes("the agent stops"), 5_000, "the first signal");
  const startMs = performance.now();
  agent.running.signal("SIGINT");
  assert.equal((await agent.ended()).code, 130);
  assert.ok(performance.now() - startMs < 2_000);
  sink.fault = undefined;
  await scene.start();
  await agent.waitUntil("nothing to be lost", (snapshot) => snapshot.outputs[0]!.confirmed === 10);
});

Deno.test("run: SIGHUP takes over what can be, says what needs a restart, and refuses what is wrong", async () => {
  await using scene = await Scene.open({ mqtt: { topics: ["hall/#"] } });
  const { agent, broker } = scene;
  await scene.start();
  const mqtt = { url: broker.url, client_id: "scene" };
  await agent.configure({
    ...scene.config,
    mqtt: { ...mqtt, topics: ["yard/#"] },
    spool: { max_size: "64MiB", sync_window: "50ms" },
  });
  agent.running.signal("SIGHUP");
  const { spool } = await agent.waitUntil(
    "the new filter",
    ({ subscriber }) =>
      subscriber.filters.length === 1 && subscriber.filters[0]!.filter === "yard/#" &&
      subscriber.filters[0]!.granted === 1,
  );
  assert.equal(spool.maxSizeBytes, 64 * 1024 * 1024);
  await waitUntil(() => agent.log.includes("spool.sync_window"), 5_000, "the log");
  assert.match(agent.log, /a changed key is in force key=mqtt\.topics/);
  assert.match(agent.log, /a changed key is in force key=spool\.max_size/);
  assert.match(agent.log, /a changed key needs a restart of the agent key=spool\.sync_window/);
  await scene.publish([{ topic: "hall/t", payload: "1", qos: 1 }, { topic: "yard/t", payload: "2", qos: 1 }]);
  await agent.waitUntil("a reading", (snapshot) => snapshot.spool.stored >= 1);
  assert.match((await agent.command("spool", "cat")).stdout, /^\S+ yard\/t 2\n$/);

  await agent.configure({ ...scene.config, mqtt: { ...mqtt, topics: ["a/#/b"], qos: 9 } });
  agent.running.signal("SIGHUP");
  await waitUntil(() => agent.log.includes("the configuration is not taken over"), 5_000, "the refusal");
  assert.match(agent.log, /agent\.yaml:\d+:\d+: .*mqtt\.topics/);
  assert.match(agent.log, /agent\.yaml:\d+:\d+: .*mqtt\.qos/);
  const after = await agent.snapshot();
  assert.deepEqual(after.subscriber.filters.map((one) => one.filter), ["yard/#"]);
});

Deno.test("run: a second agent is refused and names the first; a killed one leaves nothing in the way", async () => {
  await using scene = await Scene.open();
  const { agent } = scene;
  await scene.start();
  const second = await agent.command("run");
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`the process with pid ${agent.running.pid} has it`));
  assert.equal((await agent.snapshot()).pid, agent.running.pid, "the first goes on");
  await agent.kill("SIGKILL");
  assert.ok((await Deno.lstat(agent.socket)).isSocket);
  await scene.start();
  assert.equal((await agent.command("status")).code, 0);
});

Deno.test("run: a wrong configuration ends it with 2 before anything is made, and shows no secret", async () => {
  await using scene = await Scene.open({
    mqtt: { username: "agent", password: "swordfish", qos: 9 },
    spool: { dir: "relative" },
  });
  const { code, stderr, stdout } = await scene.agent.command("run");
  assert.deepEqual([code, stdout], [2, ""]);
  assert.equal(stderr.trimEnd().split("\n").length, 4, stderr);
  assert.ok(!stderr.includes("swordfish"));
  await assert.rejects(Deno.stat(scene.agent.spoolDir));
});

Deno.test("run: the service without a broker or outputs stays up and says so", async () => {
  const env = { NOTIFY_SOCKET: "/nobody/listens" };
  await using scene = await Scene.open({ more: { mqtt: {}, outputs: {} }, env });
  const { agent } = scene;
  agent.start();
  await agent.waitUntil("an answer", (snapshot) => snapshot.subscriber.state === "no broker configured");
  const { code, stdout } = await agent.command("status");
  assert.equal(code, 1);
  assert.match(stdout, /broker +no broker configured/);
  assert.match(stdout, /attention no output is configured/);
  assert.equal((await agent.stop()).code, 0);
});

Deno.test("run: a sync that fails ends it with 1 and says why", async () => {
  await using scene = await Scene.open();
  const { agent } = scene;
  await scene.start();
  agent.shim.failAt({ kinds: ["sync"], n: 1, place: ".seg", errno: 5 });
  const publishing = scene.publish(many(1)).catch(() => {});
  assert.equal((await agent.ended()).code, 1);
  await publishing;
  assert.match(agent.log, /ERROR .*sync/);
});

Deno.test("run: the service manager hears that it is ready, how it is, that it lives and that it stops", async () => {
  using systemd = new ServiceManager(`@sensorlog-run-${crypto.randomUUID()}`);
  await using scene = await Scene.open({ env: { NOTIFY_SOCKET: systemd.name, WATCHDOG_USEC: "200000" } });
  const { agent } = scene;
  const heard = () => systemd.received.flatMap((message) => message.split("\n"));
  const hear = (what: RegExp, count = 1) =>
    waitUntil(() => heard().filter((line) => what.test(line)).length >= count, 15_000, String(what), {
      explain: () => `${heard().join("\n")}\n${agent.log}`,
    });
  agent.start();
  await hear(/^READY=1$/);
  await hear(/^WATCHDOG=1$/, 3);
  await hear(/^STATUS=broker: connected; spool: .*; cloud: well, 0 waiting$/);
  agent.running.signal("SIGHUP");
  await hear(/^RELOADING=1$/);
  await hear(/^READY=1$/, 2);
  await agent.stop();
  await hear(/^STOPPING=1$/);
  assert.deepEqual(heard().slice(heard().indexOf("STOPPING=1")), ["STOPPING=1"], "the last word");
});

Deno.test("run: no secret stands in the process list, the log or the status", async () => {
  const secret = "correct-horse-battery";
  await using scene = await Scene.open({
    broker: { users: { agent: secret } },
    mqtt: { username: "agent", password_file: "mqtt-password" },
    secrets: { "mqtt-password": secret, key: "c2VjcmV0OmtleQ==" },
    more: {},
  });
  const { agent } = scene;
  await scene.start();
  const { pid } = agent.running;
  const list = await Deno.readTextFile(`/proc/${pid}/cmdline`) +
    await Deno.readTextFile(`/proc/${pid}/environ`);
  const status = JSON.stringify(await agent.snapshot()) + (await agent.command("status")).stdout;
  for (const text of [list, status, agent.log]) assert.ok(!text.includes(secret));
});

Deno.test("run: root does not write into another user's spool", async () => {
  if (Deno.uid() !== 0) return; // nobody else can give a folder away
  await using scene = await Scene.open();
  await Deno.mkdir(scene.agent.spoolDir);
  await Deno.chown(scene.agent.spoolDir, 12_345, 12_345);
  for (const command of ["run", "dead"]) {
    const args = command === "dead" ? ["dead", "ls"] : ["run"];
    const { code, stderr } = await finish(agentBinary(), [...args, "--config", scene.agent.configFile]);
    assert.equal(code, 1);
    assert.match(stderr, /it belongs to user id 12345.*sudo -u '#12345'/);
  }
  assert.deepEqual([...Deno.readDirSync(scene.agent.spoolDir)], []);
});
