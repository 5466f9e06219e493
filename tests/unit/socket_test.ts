import assert from "node:assert/strict";
import { join } from "node:path";
import { socketRequestsMax } from "../../agent/limits.ts";
import type { AgentApi } from "../../agent/status/agent_api.ts";
import type { Snapshot } from "../../agent/status/snapshot.ts";
import { SocketClient } from "../../agent/status/socket_client.ts";
import { SocketServer } from "../../agent/status/socket_server.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { wellSnapshot } from "../fakes/snapshot.ts";

/** An agent of which only what a test needs is there. */
const fakeApi = (part: Partial<AgentApi> = {}) =>
  ({ snapshot: () => Promise.resolve(wellSnapshot), ...part }) as AgentApi;

async function withPath(test: (path: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-socket-" });
  try {
    await test(join(dir, "run", "agent.sock"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function connected(path: string): Promise<SocketClient> {
  const client = await SocketClient.connect(path);
  assert.ok(client !== undefined);
  return client;
}

/** Leaves a socket that nobody listens at, as a killed agent does. */
function leaveStale(path: string): void {
  const script = `Deno.listen({ transport: "unix", path: ${
    JSON.stringify(path)
  } }); Deno.kill(Deno.pid, "SIGKILL");`;
  new Deno.Command(Deno.execPath(), { args: ["eval", "--no-lock", "--no-config", script] }).outputSync();
}

Deno.test("socket: answers its user and group only, and goes with the agent", async () => {
  await withPath(async (path) => {
    const server = await SocketServer.open(path, fakeApi(), new MemoryLog());
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o660);
    const client = await connected(path);
    assert.deepEqual(await client.get<Snapshot>("/status"), wellSnapshot);
    client.close();
    await server.close();
    await assert.rejects(Deno.stat(path));
    assert.equal(await SocketClient.connect(path), undefined, "nobody answers");
  });
});

Deno.test("socket: that of a dead agent is replaced", async () => {
  await withPath(async (path) => {
    await Deno.mkdir(join(path, ".."));
    leaveStale(path);
    assert.ok((await Deno.lstat(path)).isSocket);
    assert.equal(await SocketClient.connect(path), undefined);
    const server = await SocketServer.open(path, fakeApi(), new MemoryLog());
    const client = await connected(path);
    await client.get("/status");
    client.close();
    await server.close();
  });
});

Deno.test("socket: that of a living agent is not taken", async () => {
  await withPath(async (path) => {
    const first = await SocketServer.open(path, fakeApi(), new MemoryLog());
    await assert.rejects(SocketServer.open(path, fakeApi(), new MemoryLog()), /another agent answers there/);
    const client = await connected(path);
    assert.deepEqual(await client.get("/status"), wellSnapshot);
    client.close();
    await first.close();
  });
});

Deno.test("socket: a file that is no socket is not removed", async () => {
  await withPath(async (path) => {
    await Deno.mkdir(join(path, ".."));
    await Deno.writeTextFile(path, "precious");
    await assert.rejects(SocketServer.open(path, fakeApi(), new MemoryLog()), /not a socket/);
    assert.equal(await Deno.readTextFile(path), "precious");
  });
});

Deno.test("socket: a path that is too long is an error that says so", async () => {
  await withPath(async (path) => {
    const long = join(path, "..", "x".repeat(120));
    await assert.rejects(SocketServer.open(long, fakeApi(), new MemoryLog()), /at most 107 bytes/);
  });
});

Deno.test("socket: an agent that does not answer in time is an error, not a wait", async () => {
  await withPath(async (path) => {
    const { promise, resolve } = Promise.withResolvers<Snapshot>();
    const server = await SocketServer.open(path, fakeApi({ snapshot: () => promise }), new MemoryLog());
    const client = await connected(path);
    await assert.rejects(client.get("/status", 50), /no answer within 0.05 s/);
    resolve(wellSnapshot);
    client.close();
    await server.close();
  });
});

Deno.test("socket: a refusal comes out with its remedy", async () => {
  await withPath(async (path) => {
    const server = await SocketServer.open(path, fakeApi(), new MemoryLog());
    const client = await connected(path);
    await assert.rejects(client.get("/nothing"), /nothing is known of \/nothing/);
    client.close();
    await server.close();
  });
});

Deno.test("socket: requests at a time are bounded, and others get in when some have ended", async () => {
  await withPath(async (path) => {
    const tail: AgentApi["tail"] = async function* (signal) {
      yield await Promise.resolve({ readings: [], skipped: 1 });
      if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done));
    };
    const server = await SocketServer.open(path, fakeApi({ tail }), new MemoryLog());
    const client = await connected(path);
    const stop = new AbortController();
    const tails = Array.from({ length: socketRequestsMax }, () => client.lines("/tail", stop.signal));
    for (const one of tails) assert.deepEqual((await one.next()).value, [{ skipped: 1 }]);
    await assert.rejects(client.get("/status"), /requests at a time/);
    stop.abort();
    for (const one of tails) assert.ok((await one.next()).done);
    for (let tries = 0;; tries++) {
      try {
        assert.deepEqual(await client.get("/status"), wellSnapshot);
        break;
      } catch (error) {
        if (tries > 100) throw error;
        await new Promise((done) => setTimeout(done, 10));
      }
    }
    client.close();
    await server.close();
  });
});

Deno.test("socket: an agent that ends while a tail runs ends the tail", async () => {
  await withPath(async (path) => {
    const tail: AgentApi["tail"] = async function* (signal) {
      yield await Promise.resolve({ readings: [], skipped: 1 });
      if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done));
    };
    const server = await SocketServer.open(path, fakeApi({ tail }), new MemoryLog());
    const client = await connected(path);
    const lines = client.lines("/tail", new AbortController().signal);
    await lines.next();
    const rest = lines.next();
    await server.close();
    assert.ok((await rest).done);
    client.close();
  });
});

Deno.test("socket: lines arrive whole however they are cut on the way", async () => {
  await withPath(async (path) => {
    const text = ['{"n":1,"t":"é"}', '{"n":2,"t":"\\n"}', '{"n":3}', ""].join("\n");
    const bytes = new TextEncoder().encode(text);
    await Deno.mkdir(join(path, ".."));
    const server = Deno.serve({ path, onListen() {} }, () =>
      new Response(
        new ReadableStream({
          async start(controller) {
            for (const byte of bytes) {
              controller.enqueue(new Uint8Array([byte]));
              await new Promise((done) => setTimeout(done, 0));
            }
            controller.close();
          },
        }),
      ));
    const client = await connected(path);
    const got: unknown[] = [];
    for await (const lines of client.lines("/tail", new AbortController().signal)) got.push(...lines);
    assert.deepEqual(got, [{ n: 1, t: "é" }, { n: 2, t: "\n" }, { n: 3 }]);
    client.close();
    await server.shutdown();
  });
});
