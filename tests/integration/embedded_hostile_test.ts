/** Clients that want to hurt the agent's own broker, or that are only broken: memory stays bounded, and the others are served. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { Packet } from "mqtt-packet";
import { embeddedClientsMax, embeddedReadBytes } from "../../agent/limits.ts";
import type { SpoolApi } from "../../agent/spool/spool_types.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { bytesOf as packetBytes } from "../unit/mqtt_packets.ts";
import { EmbeddedAgent } from "./embedded_setup.ts";

const MiB = 1024 * 1024;
const bytesOf = (packet: Packet) => packetBytes(packet, 4);

const connect = (clientId: string) =>
  bytesOf({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clientId, clean: true, keepalive: 0 });
const publish = (topic: string, payload: string | Buffer, qos: 0 | 1 = 0) =>
  bytesOf({
    cmd: "publish",
    topic,
    payload,
    qos,
    retain: false,
    dup: false,
    ...(qos > 0 ? { messageId: 1 } : {}),
  });

/** The fixed header of a packet of that length. */
function header(type: number, length: number): Uint8Array {
  const bytes = [type];
  do {
    bytes.push(length % 128 + (length >= 128 ? 128 : 0));
    length = Math.floor(length / 128);
  } while (length > 0);
  return new Uint8Array(bytes);
}

/** A socket that sends what it likes and may refuse to read. */
class Raw {
  /** Bytes that went out, and came in. */
  sent = 0;
  came = Buffer.alloc(0);
  closed = false;
  #reading: Promise<void> | undefined;

  private constructor(readonly socket: Deno.Conn) {}

  /** Reads, unless `deaf`. */
  static async open(agent: EmbeddedAgent, { deaf = false } = {}): Promise<Raw> {
    const raw = new Raw(await Deno.connect({ hostname: "127.0.0.1", port: agent.port }));
    if (!deaf) raw.#reading = raw.#read();
    return raw;
  }

  /** With CONNACK. */
  static async client(agent: EmbeddedAgent, clientId: string): Promise<Raw> {
    const raw = await Raw.open(agent);
    await raw.send(connect(clientId));
    await raw.has(4);
    return raw;
  }

  /** Returns whether all went out. */
  async send(bytes: Uint8Array): Promise<boolean> {
    try {
      for (let at = 0; at < bytes.length;) {
        const count = await this.socket.write(bytes.subarray(at, at + 64 * 1024));
        at += count;
        this.sent += count;
      }
      return true;
    } catch {
      return false;
    }
  }

  has(bytes: number): Promise<unknown> {
    return waitUntil(() => this.came.length >= bytes, 20_000, `${bytes} bytes`, { everyMs: 5 });
  }

  isClosed(): Promise<unknown> {
    return waitUntil(() => this.closed, 30_000, "the connection to be closed", { everyMs: 5 });
  }

  async #read(): Promise<void> {
    const chunk = new Uint8Array(64 * 1024);
    try {
      for (let count; (count = await this.socket.read(chunk)) !== null;) {
        this.came = Buffer.concat([this.came, chunk.subarray(0, count)]);
      }
    } catch {
      // closed
    }
    this.closed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.socket.close();
    } catch {
      // already
    }
    await this.#reading;
  }
}

/** That the broker still serves: a message goes through. */
async function serves(agent: EmbeddedAgent, payload: string): Promise<void> {
  await using publisher = await agent.publisher();
  await publisher.publish([{ topic: "well", payload, qos: 2 }]);
  assert.ok(agent.payloads().includes(payload));
}

/** Commits wait until the test lets them go. */
function held() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const spool = (real: SpoolApi): SpoolApi => {
    const commit = real.commit.bind(real);
    real.commit = () => promise.then(commit);
    return real;
  };
  return { spool, release: resolve };
}

Deno.test("embedded broker: who announces 250 MB is closed by the announcement", async () => {
  await using agent = await EmbeddedAgent.start();
  for (const [name, first] of [["before CONNECT", undefined], ["after it", connect("hostile")]] as const) {
    await using raw = await Raw.open(agent);
    if (first !== undefined) await raw.send(first);
    if (first !== undefined) await raw.has(4);
    await raw.send(header(first === undefined ? 0x10 : 0x30, 250 * MiB));
    await raw.isClosed();
    assert.equal(await raw.send(new Uint8Array(16 * MiB)), false, name);
  }
  assert.equal(agent.status.received, 0);
  await serves(agent, "still there");
});

Deno.test("embedded broker: any bytes end their own connection at most", async () => {
  await using agent = await EmbeddedAgent.start();
  const will = { topic: "w/+/#", payload: Buffer.from("w"), qos: 2 as const, retain: true };
  const good = [
    connect("a"),
    bytesOf({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 4,
      clientId: "",
      clean: true,
      keepalive: 1,
      will,
    }),
    publish("t", "m"),
    publish("t", "m", 1),
    bytesOf({ cmd: "pingreq" }),
    bytesOf({
      cmd: "subscribe",
      messageId: 9,
      subscriptions: [{ topic: "#", qos: 2 }, { topic: "a/+", qos: 0 }],
    }),
    bytesOf({ cmd: "unsubscribe", messageId: 9, unsubscriptions: ["#", "constructor"] }),
    ...(["puback", "pubrec", "pubrel", "pubcomp"] as const).map((cmd) => bytesOf({ cmd, messageId: 1 })),
    bytesOf({ cmd: "disconnect" }),
  ];
  const hurt = fc.tuple(fc.constantFrom(...good), fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
    const copy = bytes.slice();
    copy[at % copy.length] = value;
    return copy;
  });
  const piece = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(...good), hurt);
  const stream = fc.tuple(fc.boolean(), fc.array(piece, { minLength: 1, maxLength: 6 }));
  await fc.assert(
    fc.asyncProperty(stream, async ([connected, pieces]) => {
      await using raw = await Raw.open(agent);
      await raw.send(Buffer.concat([...connected ? [connect("fuzz")] : [], ...pieces]));
      await raw.socket.closeWrite().catch(() => {});
      await raw.isClosed();
    }),
    { numRuns: 150 },
  );
  await agent.until("all to be gone", ({ clients }) => clients === 0);
  await serves(agent, "still there");
});

Deno.test("embedded broker: connections that say nothing make room for those that do", async () => {
  await using agent = await EmbeddedAgent.start();
  const silent: Raw[] = [];
  try {
    for (let i = 0; i < embeddedClientsMax; i++) silent.push(await Raw.open(agent));
    const others: string[] = [];
    await waitUntil(
      async () => {
        const name = `let in ${others.length}`;
        await serves(agent, name).then(() => others.push(name), () => {}); // turned away as long as all are new
        return others.length === 5;
      },
      20_000,
      "others to be let in",
      { everyMs: 100 },
    );
    const given = silent.filter((one) => one.closed).length;
    assert.ok(given >= 1 && given <= 2 * others.length, `${given} were given up`);
    assert.ok(silent[0]!.closed, "the oldest first");
  } finally {
    for (const one of silent) await one[Symbol.asyncDispose]();
  }
});

Deno.test("embedded broker: all clients that come back at the same time are let in", async () => {
  await using agent = await EmbeddedAgent.start();
  const clients = await Promise.all(
    Array.from({ length: embeddedClientsMax }, (_, i) => Raw.client(agent, `c${i}`)),
  );
  assert.equal(agent.status.clients, embeddedClientsMax);
  for (const one of clients) await one[Symbol.asyncDispose]();
});

Deno.test("embedded broker: there is a most of clients, and one that leaves makes room", async () => {
  await using agent = await EmbeddedAgent.start();
  const clients: Raw[] = [];
  try {
    for (let i = 0; i < embeddedClientsMax; i++) clients.push(await Raw.client(agent, `c${i}`));
    assert.equal(agent.status.clients, embeddedClientsMax);
    await using another = await Raw.open(agent);
    await another.send(connect("another"));
    await another.isClosed();
    assert.equal(another.came.length, 0);
    assert.match(agent.log.text, /200 clients are connected already/);
    await clients.pop()![Symbol.asyncDispose]();
    await agent.until("room", ({ clients }) => clients === embeddedClientsMax - 1);
    await serves(agent, "let in");
  } finally {
    for (const one of clients) await one[Symbol.asyncDispose]();
  }
});

Deno.test("embedded broker: a subscriber that does not read is disconnected, and holds nobody up", async () => {
  await using agent = await EmbeddedAgent.start();
  await using deaf = await Raw.open(agent, { deaf: true });
  await deaf.send(Buffer.concat([
    connect("deaf"),
    bytesOf({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "#", qos: 0 }] }),
  ]));
  await agent.until("it to be connected", ({ clients }) => clients === 1);
  await using publisher = await agent.publisher();
  const payload = "x".repeat(4_096);
  await publisher.publish(Array.from({ length: 8_000 }, () => ({ topic: "t", payload, qos: 1 as const })));
  await agent.until("it to be gone", ({ clients }) => clients === 1);
  assert.equal(agent.spool.nextSequence() - 1, 8_000);
  assert.match(agent.log.text, /reads slower than it is sent to|drain timeout/);
});

for (const [payloadBytes, count, most] of [[1_000, 20_000, 256], [200_000, 100, 1]] as const) {
  Deno.test(`embedded broker: of messages of ${payloadBytes} bytes that come faster than the disk takes them, the rest waits with the sender`, async () => {
    const { spool, release } = held();
    await using agent = await EmbeddedAgent.start({}, { spool });
    await using raw = await Raw.client(agent, "flood");
    const message = publish("t", "x".repeat(payloadBytes));
    const flood = Buffer.concat(Array.from({ length: count }, () => message));
    const sending = raw.send(flood);
    try {
      let before = -1;
      await waitUntil(
        () => {
          const still = raw.sent > 0 && raw.sent === before;
          before = raw.sent;
          return still;
        },
        20_000,
        "the sender to be held up",
        { everyMs: 300 },
      );
      const { received } = agent.status;
      assert.ok(received > 0 && received <= most, `${received} messages were taken in`);
      assert.ok(raw.sent < flood.length);
    } finally {
      release();
    }
    assert.ok(await sending);
    await agent.stored(count);
  });
}

Deno.test("embedded broker: many large packets that never end share one limit", async () => {
  await using agent = await EmbeddedAgent.start();
  const clients = await Promise.all(Array.from({ length: 16 }, (_, i) => Raw.client(agent, `large${i}`)));
  try {
    const most = 4 * MiB;
    const part = new Uint8Array(3 * MiB);
    part.set([0, 1, 0x74]);
    await Promise.all(clients.map(async (one) => {
      await one.send(header(0x30, most));
      await one.send(part);
    }));
    await waitUntil(() => clients.some((one) => one.closed), 20_000, "some to be closed");
    const open = clients.filter((one) => !one.closed).length;
    assert.ok(open * 3 * MiB <= 32 * MiB + 4 * embeddedReadBytes * open, `${open} are still held`);
    await serves(agent, "still there");
  } finally {
    for (const one of clients) await one[Symbol.asyncDispose]();
  }
  await using large = await agent.publisher();
  await large.publish([{ topic: "t", payload: new Uint8Array(4 * MiB), qos: 1 }]);
});

Deno.test("embedded broker: answers that a client does not read are not heaped up", async () => {
  await using agent = await EmbeddedAgent.start();
  await using deaf = await Raw.open(agent, { deaf: true });
  await deaf.send(connect("deaf"));
  const pings = Buffer.concat(Array.from({ length: 100_000 }, () => bytesOf({ cmd: "pingreq" })));
  let all = false;
  const sending = (async () => {
    for (let i = 0; i < 200; i++) if (!await deaf.send(pings)) return;
    all = true;
  })();
  let before = -1;
  await waitUntil(
    () => {
      const still = deaf.sent > 0 && deaf.sent === before;
      before = deaf.sent;
      return all || still;
    },
    60_000,
    "it to be held up or given up",
    { everyMs: 500 },
  );
  assert.ok(!all, "40 MB of PINGREQ were answered for nobody");
  await serves(agent, "still there");
  deaf.socket.close();
  await sending;
});

Deno.test("embedded broker: filters beyond the limit, and topics of a thousand levels", async () => {
  await using agent = await EmbeddedAgent.start();
  await using raw = await Raw.client(agent, "greedy");
  const subscriptions = Array.from({ length: 150 }, (_, i) => ({ topic: `f/${i}`, qos: 0 as const }));
  await raw.send(bytesOf({ cmd: "subscribe", messageId: 1, subscriptions }));
  await raw.has(4 + 2 + 1 + 2 + 150);
  const granted = [...raw.came.subarray(-150)];
  assert.deepEqual([granted.filter((one) => one === 0).length, granted.filter((one) => one === 128).length], [
    100,
    50,
  ]);
  const unsubscriptions = subscriptions.slice(0, 50).map((one) => one.topic);
  await raw.send(bytesOf({ cmd: "unsubscribe", messageId: 2, unsubscriptions }));
  await raw.has(4 + 155 + 4);
  await raw.send(bytesOf({ cmd: "subscribe", messageId: 3, subscriptions: subscriptions.slice(100, 101) }));
  await raw.has(4 + 155 + 4 + 5);
  assert.equal(raw.came.at(-1), 0, "there is room again");
  await raw.send(publish(Array.from({ length: 1_000 }, () => "l").join("/"), "deep"));
  await raw.isClosed();
  await serves(agent, "still there");
});

Deno.test("embedded broker: whoever never stops failing fills no log", async () => {
  await using agent = await EmbeddedAgent.start();
  for (let i = 0; i < 100; i++) {
    await using raw = await Raw.open(agent);
    await raw.send(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    await raw.isClosed();
  }
  await delay(0);
  assert.ok(agent.log.lines.length < 10, agent.log.text);
});
