import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { Running } from "../lab/process.ts";
import { Publisher } from "../lab/publisher.ts";
import { ServiceManager } from "../lab/service_manager.ts";
import { waitUntil } from "../lab/wait.ts";
import { acknowledged } from "./crash_check.ts";
import { Plant } from "./plant.ts";

const MiB = 1024 * 1024;

Deno.test("life: SIGTERM stops reception, ships what is stored, and ends with 0; the rest is there after the next start", async () => {
  await using plant = await Plant.open();
  const { agent, proxy, sink } = plant;
  await plant.start();
  sink.fault = { delayMs: 200 };
  const publishing = plant.publish(20_000, 1, 100);
  await agent.waitUntil("some readings to be stored", ({ spool }) => spool.stored > 1_000);
  const startMs = performance.now();
  agent.running.signal("SIGTERM");
  const exit = await agent.ended();
  const tookMs = performance.now() - startMs;
  assert.deepEqual(exit, { code: 0, signal: null });
  assert.ok(tookMs < 7_000, `it took ${Math.round(tookMs)} ms`);
  const stored = acknowledged(proxy.events).size;
  assert.equal(sink.documents.size >= stored, true, `${stored} acknowledged, ${sink.documents.size} shipped`);
  await publishing;
  await plant.start();
  await plant.finish();
});

Deno.test("life: an output that does not answer holds SIGTERM up for 5 s at most, and nothing is lost", async () => {
  await using plant = await Plant.open();
  const { agent, sink } = plant;
  await plant.start();
  sink.fault = { delayMs: 60_000 };
  await plant.publish(100, 1);
  await agent.waitUntil("the readings to be stored", ({ spool }) => spool.stored === 100);
  const startMs = performance.now();
  assert.deepEqual(await agent.stop(), { code: 0, signal: null });
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs > 4_000 && tookMs < 8_000, `it took ${Math.round(tookMs)} ms`);
  sink.fault = undefined;
  await plant.start();
  await plant.finish();
});

Deno.test("life: a second agent on the same spool is refused at once and told whose it is", async () => {
  await using plant = await Plant.open();
  const { agent } = plant;
  await plant.start();
  const second = new Running(agentBinary(), ["run", "--config", agent.configFile]);
  try {
    await waitUntil(() => second.ended, 10_000, "the second agent to be refused");
  } finally {
    second.signal("SIGKILL");
  }
  assert.equal((await second.exit).code, 1);
  assert.match(second.stderr.text, new RegExp(`pid ${agent.running.pid}\\b`));
  await plant.publish(10, 2);
  await plant.finish();
  await agent.kill();
  await plant.start(); // the lock of a killed process is free
});

Deno.test("life: the service manager hears READY, a status, the watchdog twice per interval, and STOPPING", async () => {
  const path = join(Deno.env.get("TMPDIR") ?? "/tmp", `sensorlog-lab-notify-${crypto.randomUUID()}`);
  using manager = new ServiceManager(path);
  await using plant = await Plant.open({ env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" } });
  const heard = (pattern: RegExp) => manager.received.some((text) => pattern.test(text));
  await plant.start();
  await waitUntil(() => heard(/^READY=1$/m), 5_000, "READY");
  const alive = () => manager.received.filter((text) => /^WATCHDOG=1$/m.test(text)).length;
  const earlier = alive();
  const startMs = performance.now();
  await waitUntil(() => alive() >= earlier + 8, 10_000, "the watchdog to be told", { everyMs: 5 });
  const meanMs = (performance.now() - startMs) / 8;
  assert.ok(meanMs < 300, `told every ${Math.round(meanMs)} ms, half the interval is 200 ms`);
  await waitUntil(() => heard(/^STATUS=broker: connected/m), 10_000, "a status line");
  await plant.agent.stop();
  assert.ok(heard(/^STOPPING=1$/m));
});

Deno.test("life: memory is flat with 200 MB waiting, and while it is shipped", async () => {
  await using plant = await Plant.open({ withoutProxy: true, mqtt: { qos: 1 } });
  const { agent, sink } = plant;
  await plant.start();
  await plant.publish(2_000, 1, 1_000);
  await agent.waitUntil(
    "the first readings to be shipped",
    ({ outputs: [output] }) => output!.confirmed === 2_000,
  );
  const restBytes = agent.memoryBytes();
  sink.fault = { status: 503 };
  let mostBytes = 0;
  const watch = setInterval(() => mostBytes = Math.max(mostBytes, agent.memoryBytes()), 50);
  try {
    await using publisher = await Publisher.connect({ port: plant.broker.port });
    const payload = "x".repeat(20_000);
    const messages = Array.from({ length: 10_000 }, () => ({ topic: "r/large", payload, qos: 1 as const }));
    await publisher.publish(messages);
    await agent.waitUntil("all to be stored", ({ spool }) => spool.stored === 12_000, 60_000);
    sink.documents.clear();
    sink.fault = { refuse: () => 409 }; // 409 confirms, and the sink need not keep them
    await agent.waitUntil(
      "all to be shipped",
      ({ outputs: [output] }) => output!.confirmed === 12_000,
      90_000,
    );
  } finally {
    clearInterval(watch);
  }
  const grown = (mostBytes - restBytes) / MiB;
  assert.ok(
    grown < 45,
    `${Math.round(restBytes / MiB)} MiB at rest, ${Math.round(grown)} MiB more with a backlog`,
  );
});

Deno.test("life: a message of 250 MB is recorded by its head, size and sum, and takes no memory", async () => {
  await using plant = await Plant.open({ withoutProxy: true });
  const { agent, sink } = plant;
  await plant.start();
  await plant.publish(10, 1);
  await agent.waitUntil(
    "the first readings to be shipped",
    ({ outputs: [output] }) => output!.confirmed === 10,
  );
  const restBytes = agent.memoryBytes();
  let mostBytes = 0;
  const watch = setInterval(() => mostBytes = Math.max(mostBytes, agent.memoryBytes()), 20);
  const payload = new Uint8Array(250_000_000).fill(0x61);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", payload)).toHex();
  try {
    await using publisher = await Publisher.connect({ port: plant.broker.port });
    await publisher.publish([{ topic: "r/huge", payload, qos: 2 }]);
    await agent.waitUntil(
      "the message to be shipped",
      ({ outputs: [output] }) => output!.confirmed === 11,
      60_000,
    );
  } finally {
    clearInterval(watch);
  }
  const grown = (mostBytes - restBytes) / MiB;
  assert.ok(grown < 30, `${Math.round(restBytes / MiB)} MiB at rest, ${Math.round(grown)} MiB more`);
  const source = JSON.stringify(sink.sources().find((one) => one.topic === "r/huge"));
  assert.match(source, new RegExp(`"text":"a{${64 * 1024}}"`));
  assert.ok(source.includes("250000000"), source.replace(/a{100,}/, "…"));
  assert.ok(source.includes(digest), source.replace(/a{100,}/, "…"));
});
