/**
 * The compiled agent's own broker under kill -9: whatever acknowledgement was seen on the wire has its record, and what has
 * none is sent again and stored.
 */
import assert from "node:assert/strict";
import { Agent } from "../lab/agent.ts";
import { succeed } from "../lab/command.ts";
import { accepts, freePort } from "../lab/ports.ts";
import { Running } from "../lab/process.ts";
import { RecordingProxy, type WireEvent } from "../lab/proxy.ts";
import { Publisher } from "../lab/publisher.ts";
import type { KillPoint } from "../lab/shim.ts";
import { waitUntil } from "../lab/wait.ts";

interface Scene extends AsyncDisposable {
  agent: Agent;
  proxy: RecordingProxy;
  port: number;
}

async function open(mqtt: Record<string, unknown> = {}): Promise<Scene> {
  const stack = new AsyncDisposableStack();
  const port = freePort();
  const proxy = stack.use(new RecordingProxy({ to: { port } }));
  const config = { plant: "own", mqtt: { listen: `127.0.0.1:${port}`, ...mqtt }, outputs: {} };
  const agent = stack.use(await Agent.create({ config, ports: { clients: port } }));
  await start(agent);
  return { agent, proxy, port, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function start(agent: Agent): Promise<void> {
  agent.start();
  await agent.waitUntil("the broker to listen", ({ subscriber }) => subscriber.state === "listening");
}

/** Payloads that were acknowledged with PUBACK or PUBREC, by what stands before it on its connection. */
function acknowledged(events: WireEvent[]): Set<string> {
  const names = new Map<string, string>();
  const payloads = new Set<string>();
  for (const event of events) {
    if (event.kind === "publish" && event.direction === "toServer") {
      names.set(`${event.connection} ${event.id}`, new TextDecoder().decode(event.payload));
    } else if ((event.kind === "puback" || event.kind === "pubrec") && event.direction === "toClient") {
      const name = names.get(`${event.connection} ${event.id}`);
      assert.ok(name !== undefined, "an answer to nothing");
      payloads.add(name);
    }
  }
  return payloads;
}

/** What stands in the spool of an agent that does not run. */
async function stored(agent: Agent): Promise<string[]> {
  const { stdout, stderr, code } = await agent.command("spool", "cat", "--json");
  assert.equal(code, 0, stderr);
  return stdout.trimEnd().split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line).payload as string
  );
}

const message = (payload: string, qos: 0 | 1 | 2) => ({ topic: `p/${payload[0]}`, payload, qos });

/** Three publishers with the same packet ids; each sends until its connection breaks. */
async function publish({ proxy }: Scene, life: string): Promise<void> {
  const publishers = await Promise.all(
    ["a", "b", "c"].map((clientId) => Publisher.connect({ port: proxy.port, clientId, inFlightMax: 40 })),
  );
  await Promise.all(publishers.map(async (publisher, i) => {
    const messages = Array.from(
      { length: 400 },
      (_, n) => message(`${"abc"[i]}${life}.${n}`, n % 3 === 0 ? 2 : 1),
    );
    await publisher.publish(messages).catch(() => {}); // the agent dies
    await publisher.close().catch(() => {});
  }));
}

const deaths: KillPoint[] = [
  ...(["before", "after"] as const).flatMap((when) =>
    [1, 3, 7].map((n): KillPoint => ({ kinds: ["sync"], n, when, place: ".seg" }))
  ),
  { kinds: ["write"], n: 2, when: "half", place: ".seg" },
  // the first sends are the three CONNACKs
  ...(["before", "half", "after"] as const).flatMap((when) =>
    [4, 9].map((n): KillPoint => ({ kinds: ["send"], n, when, place: "clients" }))
  ),
];

Deno.test("embedded broker, killed: every PUBACK and PUBREC that was seen on the wire has its record", async () => {
  await using scene = await open();
  const { agent, proxy } = scene;
  for (const [life, death] of deaths.entries()) {
    if (!agent.isRunning) await start(agent);
    const earlier = proxy.events.length;
    agent.shim.startCounting();
    agent.shim.killAt(death);
    await publish(scene, String(life));
    const name = JSON.stringify(death);
    assert.equal((await agent.ended(30_000)).signal, "SIGKILL", name);
    agent.shim.disarm();
    if (death.kinds[0] === "sync" && death.n === 1) {
      assert.equal(acknowledged(proxy.events.slice(earlier)).size, 0, `${name}: nothing was durable`);
    }
    const here = new Set(await stored(agent));
    const missing = [...acknowledged(proxy.events)].filter((payload) => !here.has(payload));
    assert.deepEqual(missing, [], name);
  }
  assert.ok(acknowledged(proxy.events).size > 100, "something was acknowledged before the deaths");
});

Deno.test("embedded broker, killed: who repeats what was not acknowledged loses nothing", async () => {
  await using scene = await open();
  const { agent, proxy } = scene;
  const all = Array.from({ length: 600 }, (_, n) => message(`a.${n}`, n % 2 === 0 ? 1 : 2));
  const done = new Set<string>();
  for (const n of [2, 5, 11]) {
    if (!agent.isRunning) await start(agent);
    agent.shim.killAt({ kinds: ["sync"], n, when: "after", place: ".seg" });
    await using publisher = await Publisher.connect({ port: proxy.port, inFlightMax: 20 });
    const rest = all.filter((one) => !done.has(one.payload));
    await publisher.publish(rest, ({ payload }) => void done.add(payload as string)).catch(() => {});
    await agent.ended(30_000);
    agent.shim.disarm();
  }
  await start(agent);
  await using publisher = await Publisher.connect({ port: proxy.port });
  await publisher.publish(all.filter((one) => !done.has(one.payload)));
  await publisher.close();
  assert.equal((await agent.stop()).code, 0);
  const payloads = await stored(agent);
  assert.deepEqual(new Set(payloads), new Set(all.map((one) => one.payload)));
  // stored and not acknowledged when it died: at most what was under way, each time
  assert.ok(payloads.length <= all.length + 3 * 20, `${payloads.length - all.length} doubled`);
});

Deno.test("embedded broker, compiled: a sync that fails ends it with 1, and nothing of that batch was acknowledged", async () => {
  await using scene = await open();
  const { agent, proxy } = scene;
  agent.shim.failAt({ kinds: ["sync"], n: 1, place: ".seg", errno: 5 });
  await publish(scene, "0");
  assert.equal((await agent.ended()).code, 1);
  assert.match(agent.log, /ERROR .*sync/);
  assert.equal(acknowledged(proxy.events).size, 0);
});

Deno.test("embedded broker, compiled: clients with keep-alive, subscribers that read and such that don't", async () => {
  await using scene = await open();
  const { agent, port } = scene;
  const place = ["-p", String(port), "-k", "5"];
  const reading = new Running("mosquitto_sub", [
    ...place,
    "-t",
    "hall/#",
    "-q",
    "1",
    "-C",
    "300",
    "-F",
    "%t",
  ]);
  const stopped = new Running("mosquitto_sub", [...place, "-t", "#", "-q", "0"]);
  await agent.waitUntil("both subscribers", ({ subscriber }) => subscriber.clients === 2);
  await using publisher = await Publisher.connect({ port });
  // not before both have their filters, which only messages can show
  await waitUntil(
    async () => {
      await publisher.publish([{ topic: "hall/t", payload: "x", qos: 1 }]);
      return stopped.stdout.text !== "";
    },
    20_000,
    "the filters",
  );
  stopped.signal("SIGSTOP");
  const payload = "x".repeat(4_096);
  await publisher.publish(
    Array.from({ length: 3_000 }, () => ({ topic: "hall/t", payload, qos: 1 as const })),
  );
  assert.equal((await reading.exit).code, 0);
  await agent.waitUntil("the slow one to be gone", ({ subscriber }) => subscriber.clients === 1, 30_000);
  stopped.signal("SIGKILL");
  await stopped.exit;
  await succeed("mosquitto_pub", [...place, "-t", "last", "-m", "one", "-q", "2"]);
  const { spool } = await agent.snapshot();
  assert.ok(spool.stored > 3_000);
  assert.equal((await agent.stop()).code, 0);
});

Deno.test("embedded broker, compiled: a taken port ends it with 1 and names both ways out; a stop ends it with 0", async () => {
  await using scene = await open();
  await using second = await Agent.create({
    config: { mqtt: { listen: `127.0.0.1:${scene.port}` }, outputs: {} },
  });
  second.start();
  assert.equal((await second.ended(30_000)).code, 1);
  assert.match(second.log, /another program listens there already.*mqtt\.url.*mqtt\.listen/);
  const check = await second.command("check");
  assert.equal(check.code, 1);
  assert.match(check.stdout, /✗ broker: .*another program listens there already/);
  const well = await scene.agent.command("check");
  assert.deepEqual([well.code, /the running agent has a broker of its own/.test(well.stdout)], [0, true]);
  assert.equal((await scene.agent.stop()).code, 0);
  assert.match(
    (await scene.agent.command("check")).stdout,
    /✓ broker: the agent's own broker can listen at mqtt:\/\/127/,
  );
});

Deno.test("embedded broker, compiled: without mqtt.url a run by hand has a broker at 127.0.0.1:1883 and status shows it; the service has none", async () => {
  const busy = await accepts(1883);
  for (
    const [env, expected] of [[{}, "listening"], [
      { NOTIFY_SOCKET: "/nobody/listens" },
      "no broker configured",
    ]] as const
  ) {
    await using agent = await Agent.create({ config: { outputs: {} }, env });
    agent.start();
    // where somebody has this port, the agent says so and ends: that is tried above
    if (expected === "listening" && busy) {
      assert.equal((await agent.ended(30_000)).code, 1);
      continue;
    }
    const { subscriber } = await agent.waitUntil(
      "a state",
      (snapshot) => snapshot.subscriber.state === expected,
    );
    assert.equal(subscriber.url, expected === "listening" ? "mqtt://127.0.0.1:1883" : undefined);
    if (expected === "listening") {
      const { stdout } = await agent.command("status");
      assert.match(
        stdout,
        /broker +listening, mqtt:\/\/127\.0\.0\.1:1883\n.*own broker, 0 clients connected; stored: #/,
      );
    }
    assert.equal((await agent.stop()).code, 0);
  }
});

Deno.test("embedded broker, compiled: a hostile announcement of 250 MB, many times, grows no memory", async () => {
  await using scene = await open();
  const { agent, port } = scene;
  const before = agent.memoryBytes();
  let most = before;
  for (let i = 0; i < 40; i++) {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port });
    try {
      await socket.write(new Uint8Array([0x10, 0x80, 0x80, 0x80, 0x7d])); // 262,144,000 bytes
      const chunk = new Uint8Array(1024 * 1024);
      for (let sent = 0; sent < 250; sent++) await socket.write(chunk);
    } catch {
      // closed by the agent
    }
    socket.close();
    most = Math.max(most, agent.memoryBytes());
  }
  const grown = (most - before) / 1024 / 1024;
  assert.ok(grown < 24, `${grown.toFixed(1)} MiB more than ${(before / 1024 / 1024).toFixed(0)} MiB`);
});
