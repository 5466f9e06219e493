/**
 * Worker: a broker of our own that is not the bottleneck. It answers CONNECT, SUBSCRIBE and PINGREQ of one client and,
 * on order, pours prepared PUBLISH packets. `source.ts` talks to it.
 */
import { messages } from "./messages.ts";
import { type Message, packet, packetType, prepare, type Protocol, readConnect } from "./packets.ts";
import { nowMs, type Order, Pour, type Poured, readPackets, writeAll } from "./pour.ts";

export type ToSource = { kind: "pour"; order: Order; payloadBytes: number | undefined };
export type FromSource =
  | { kind: "listening"; port: number }
  | { kind: "subscribed"; atMs: number }
  | { kind: "poured"; poured: Poured }
  | { kind: "failed"; why: string };

const scope = self as unknown as {
  postMessage(message: FromSource): void;
  onmessage: ((event: MessageEvent<ToSource>) => void) | null;
};

/** Ids 1 to this many are used; also the most that may be under way. */
const period = 20_000;

interface Client {
  conn: Deno.Conn;
  protocol: Protocol;
  receiveMax: number;
  pour: Pour | undefined;
}
let client: Client | undefined;

/** Readings as all rows send them, or with payloads of that many bytes. */
function readings(payloadBytes: number | undefined): Message[] {
  if (payloadBytes === undefined) return messages(period);
  const payload = JSON.stringify({ value: 21.5, note: "x".repeat(Math.max(0, payloadBytes - 24)) });
  return messages(256).map(({ topic }) => ({ topic, payload }));
}

/** How many filters a SUBSCRIBE holds. */
function filtersIn(body: Uint8Array, protocol: Protocol): number {
  let at = 2;
  if (protocol === 5) at += 1 + body[at]!; // the agent's SUBSCRIBE has properties of less than 128 bytes, if any
  let count = 0;
  for (; at < body.length; count++) at += 2 + body[at]! * 256 + body[at + 1]! + 1;
  return count;
}

async function answer(one: Client, first: number, body: Uint8Array): Promise<void> {
  const properties = one.protocol === 5 ? [0] : [];
  switch (first & 0xf0) {
    case packetType.subscribe: {
      const granted = new Array(filtersIn(body, one.protocol)).fill(2);
      await writeAll(one.conn, packet(packetType.suback, [body[0]!, body[1]!], properties, granted));
      scope.postMessage({ kind: "subscribed", atMs: nowMs() });
      return;
    }
    case packetType.pingreq:
      return await writeAll(one.conn, packet(packetType.pingresp));
    case packetType.disconnect:
      return await one.conn.closeWrite(); // as a broker does; the client waits for it
  }
}

async function serve(conn: Deno.TcpConn): Promise<void> {
  conn.setNoDelay(true);
  let one: Client | undefined;
  await readPackets(conn, (first, body) => {
    if ((first & 0xf0) === packetType.connect) {
      one = client = { conn, ...readConnect(body), pour: undefined };
      const properties = one.protocol === 5 ? [0] : [];
      writeAll(conn, packet(packetType.connack, [0, 0], properties)).catch(fail);
    } else if (one !== undefined && !one.pour?.take(first, body)) {
      answer(one, first, body.slice()).catch(fail);
    }
  });
  conn.close();
}

function fail(error: unknown): void {
  scope.postMessage({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
}

scope.onmessage = async ({ data }) => {
  try {
    const one = client;
    if (one === undefined) throw new Error("nobody has connected to the source");
    const prepared = prepare(one.protocol, data.order.qos, readings(data.payloadBytes));
    const order = { ...data.order, window: Math.min(data.order.window, one.receiveMax) };
    one.pour = new Pour(one.conn, one.protocol, prepared, order);
    scope.postMessage({ kind: "poured", poured: await one.pour.run() });
  } catch (error) {
    fail(error);
  }
};

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
scope.postMessage({ kind: "listening", port: listener.addr.port });
for await (const conn of listener) serve(conn).catch(fail);
