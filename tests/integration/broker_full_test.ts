import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Packet } from "mqtt-packet";
import { DiskFullError, LostSyncError, OperationError } from "../../agent/base/errors.ts";
import { FakeBroker } from "../fakes/fake_broker.ts";
import { MemorySpool } from "../fakes/memory_spool.ts";
import { startMosquitto } from "../lab/mosquitto.ts";
import { RecordingProxy } from "../lab/proxy.ts";
import { type Message, Publisher } from "../lab/publisher.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { TestAgent, textOf } from "./broker_setup.ts";

const messages = (from: number, to: number, qos: 0 | 1 | 2): Message[] =>
  Array.from({ length: to - from }, (_, i) => ({ topic: "a", payload: String(from + i), qos }));
const payloads = (spool: MemorySpool) => spool.readings.map((one) => textOf(one.payload));
/** Messages that the agent acknowledged on the wire. */
const acknowledged = (proxy: RecordingProxy) =>
  proxy.events.filter((event) =>
    (event.kind === "puback" || event.kind === "pubrec") && event.direction === "toServer"
  ).length;
const noSpace = () =>
  new DiskFullError({ operation: "append", place: "/spool", cause: "no space left on device" });

Deno.test("broker: a full spool pauses reception, with a keep-alive of 5 s, and goes on when there is room", async () => {
  await using broker = await startMosquitto({ extra: ["max_queued_messages 0"] });
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  const settings = { url: `mqtt://127.0.0.1:${proxy.port}`, keepAliveS: 5 };
  await using agent = await TestAgent.start(settings, { hurry: 1 });
  await agent.connected();
  await using publisher = await Publisher.connect({ port: broker.port });
  await publisher.publish(messages(0, 100, 2));
  await agent.stored(100);
  agent.full = "2 GiB of max_size are used";
  await publisher.publish(messages(100, 200, 2));
  await agent.until(
    "the pause",
    ({ state, reason }) => state === "paused" && reason === `spool full: ${agent.full}`,
  );
  assert.ok(proxy.events.some((event) => event.kind === "other" && event.type === 14), "DISCONNECT was sent");
  const storedAtPause = agent.spool.nextSequence() - 1;
  await publisher.publish(messages(200, 300, 1));
  await delay(8_000); // longer than a broker waits for a sign of life
  assert.equal(proxy.connections, 1, "no reconnect while it is full");
  assert.equal(agent.spool.nextSequence() - 1, storedAtPause);
  assert.equal(agent.status.state, "paused");
  agent.full = undefined;
  await agent.stored(300);
  assert.equal(proxy.connections, 2);
  const all = agent.payloads();
  assert.deepEqual(all.slice(0, 200), messages(0, 200, 2).map((one) => one.payload));
  assert.equal(new Set(all).size, 300);
  assert.equal(all.length, 300, "each once");
  assert.equal(agent.status.sessionPresent, true);
});

Deno.test("broker: QoS 0 that was read and could not be stored is counted, and the time away is a possible gap", async () => {
  await using broker = await startMosquitto();
  const spool = new MemorySpool();
  await using agent = await TestAgent.start({ url: broker.url }, { spool });
  await agent.connected();
  await using publisher = await Publisher.connect({ port: broker.port });
  await publisher.publish(messages(0, 10, 0));
  await agent.until("ten of them", () => spool.readings.length === 10);
  spool.onCommit = () => Promise.reject(noSpace());
  await publisher.publish(messages(10, 60, 0));
  await agent.until(
    "the pause",
    ({ state, reason }) => state === "paused" && /spool full: no space left/.test(reason!),
  );
  spool.onCommit = () => Promise.resolve();
  await agent.until("the connection back", ({ state }) => state === "connected");
  const { qos0Lost, possibleGaps } = agent.status;
  assert.ok(qos0Lost > 0 && spool.readings.length + qos0Lost <= 60, `${qos0Lost}`);
  assert.match(possibleGaps.at(-1)!.why, /QoS 0/);
});

Deno.test("broker: all of a flood at QoS 0 is either stored or counted when the spool fills in the middle of it", async () => {
  let total = 0;
  await using broker = new FakeBroker(async (client) => {
    await client.answerConnect(0, client.number > 1);
    await client.answerSubscribe();
    if (client.number > 1) return;
    const told = () => client.received.some((packet) => packet.cmd === "disconnect");
    const burst = Array.from({ length: 50 }, (): Packet => publish("x", 0, 0));
    for (let after = 0; after < 10; total += 50) { // ten of them are on their way when it comes
      await client.send(...burst);
      await delay(0);
      if (told()) after++;
    }
    client.close();
  });
  const spool = new MemorySpool();
  await using agent = await TestAgent.start({ url: broker.url }, { spool, hurry: 1 });
  await agent.until("some", () => spool.readings.length > 100);
  agent.full = "enough";
  await agent.until("the pause", ({ state }) => state === "paused");
  assert.equal(spool.readings.length + agent.status.qos0Lost, total);
});

function publish(payload: string, qos: 0 | 1 | 2, messageId: number): Packet {
  const more = qos > 0 ? { messageId } : {};
  return {
    cmd: "publish",
    topic: "a",
    payload: Buffer.from(payload),
    qos,
    dup: false,
    retain: false,
    ...more,
  } as Packet;
}

Deno.test("broker: writes that fail again and again lead to backoff, not to a loop, and all arrives once after it", async () => {
  for (
    const [error, says] of [
      [noSpace(), /spool full: no space/],
      [
        new OperationError({
          operation: "append",
          place: "/spool",
          cause: "read-only file system",
          retryable: true,
        }),
        /the spool can't be written: read-only/,
      ],
    ] as const
  ) {
    await using broker = await startMosquitto({ extra: ["max_queued_messages 0"] });
    await using proxy = new RecordingProxy({ to: { port: broker.port } });
    const spool = new MemorySpool();
    const url = `mqtt://127.0.0.1:${proxy.port}`;
    await using agent = await TestAgent.start({ url }, { spool, hurry: 50 });
    await agent.connected();
    spool.onCommit = () => Promise.reject(error);
    await using publisher = await Publisher.connect({ port: broker.port });
    await publisher.publish([...messages(0, 30, 2), ...messages(30, 60, 1)]);
    await agent.until("the pause", ({ reason }) => says.test(reason ?? ""));
    const startMs = agent.clock.bootMs();
    await waitUntil(() => agent.clock.bootMs() > startMs + 120_000, 10_000, "two minutes");
    assert.ok(proxy.connections <= 12, `${proxy.connections} connections in two minutes`);
    assert.equal(acknowledged(proxy), 0);
    assert.deepEqual(agent.status.alarms, []);
    spool.onCommit = () => Promise.resolve();
    await agent.until("all of them", () => spool.readings.length >= 60, 20_000);
    await agent.until("their releases", () => spool.durablyHeld().length === 0);
    assert.equal(new Set(payloads(spool)).size, 60);
    assert.equal(payloads(spool).filter((one) => Number(one) < 30).length, 30, "QoS 2 once");
  }
});

Deno.test("broker: a sync that failed ends the run, and nothing of it is acknowledged", async () => {
  await using broker = await startMosquitto();
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  const spool = new MemorySpool();
  const agent = await TestAgent.start({ url: `mqtt://127.0.0.1:${proxy.port}` }, { spool });
  await agent.connected();
  const lost = new LostSyncError({ operation: "sync", place: "/spool", cause: "input/output error" });
  spool.onCommit = () => Promise.reject(lost);
  await using publisher = await Publisher.connect({ port: broker.port });
  await publisher.publish(messages(0, 5, 2));
  await assert.rejects(agent.running, LostSyncError);
  assert.equal(agent.status.state, "stopped");
  await assert.rejects(agent.stop(), LostSyncError);
  await waitUntil(() => proxy.openConnections() === 0, 2_000, "the connection to be closed");
  assert.equal(acknowledged(proxy), 0);
  await Deno.remove(agent.dir, { recursive: true });
});

Deno.test("broker: nothing is acknowledged while the sync is under way, and a slow disk is no dead connection", async () => {
  await using broker = await startMosquitto();
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  const spool = new MemorySpool();
  const settings = { url: `mqtt://127.0.0.1:${proxy.port}`, keepAliveS: 2 };
  await using agent = await TestAgent.start(settings, { spool, hurry: 1 });
  await agent.connected();
  const disk = Promise.withResolvers<void>();
  spool.onCommit = () => disk.promise;
  await using publisher = await Publisher.connect({ port: broker.port });
  await publisher.publish(messages(0, 10, 2));
  await publisher.publish(messages(10, 20_000, 0)); // a backlog in front of every PINGRESP
  await delay(6_000); // three keep-alive intervals
  assert.equal(acknowledged(proxy), 0);
  assert.equal(agent.status.state, "connected");
  assert.ok(
    proxy.events.filter((event) => event.kind === "other" && event.type === 12).length >= 2,
    "PINGREQ",
  );
  spool.onCommit = () => Promise.resolve();
  disk.resolve();
  await waitUntil(() => acknowledged(proxy) === 10, 5_000, "the acknowledgements");
  await agent.until("the backlog", () => spool.readings.length > 1_000);
  await delay(3_500);
  assert.equal(proxy.connections, 1, `it did not live through it:\n${agent.log.text}`);
});

Deno.test("broker: a connection over which nothing comes any more is given up, and a new one delivers what was missed", async () => {
  await using broker = await startMosquitto();
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  await using agent = await TestAgent.start({ url: `mqtt://127.0.0.1:${proxy.port}`, keepAliveS: 1 });
  await agent.connected();
  proxy.stall(); // half-open: the connection stands, nothing comes through
  await using publisher = await Publisher.connect({ port: broker.port });
  await publisher.publish(messages(0, 10, 2));
  await agent.until("the end of patience", ({ reason }) => /no answer to PINGREQ/.test(reason ?? ""), 6_000);
  proxy.cut();
  proxy.resume();
  await agent.stored(10);
  assert.deepEqual(agent.payloads(), messages(0, 10, 2).map((one) => one.payload));
});

Deno.test("broker: stopping stores and acknowledges what was read, says DISCONNECT, and the rest waits in the session", async () => {
  await using broker = await startMosquitto({ extra: ["max_queued_messages 0"] });
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  await using agent = await TestAgent.start({ url: `mqtt://127.0.0.1:${proxy.port}`, qos: 1 }, { hurry: 1 });
  await agent.connected();
  await using publisher = await Publisher.connect({ port: broker.port });
  const publishing = publisher.publish(messages(0, 20_000, 1));
  await agent.stored(100);
  await agent.stop();
  const toServer = proxy.events.filter((event) => !("direction" in event) || event.direction === "toServer");
  const acks = acknowledged(proxy);
  assert.ok(toServer.some((event) => event.kind === "other" && event.type === 14), "DISCONNECT");
  assert.equal(agent.status.acknowledged, acks);
  await publishing;
  await agent.start();
  assert.equal(agent.spool.nextSequence() - 1, acks, "what was stored was acknowledged");
  await agent.stored(20_000, 20_000);
  assert.deepEqual(agent.payloads(), messages(0, 20_000, 1).map((one) => one.payload));
});
