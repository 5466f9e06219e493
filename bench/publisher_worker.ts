/** Worker: one client of a real broker that publishes at full speed or at a pace. `publisher.ts` talks to it. */
import { messages, numbered } from "./messages.ts";
import { connectBytes, packetType, prepare } from "./packets.ts";
import { type Order, Pour, type Poured, readPackets, writeAll } from "./pour.ts";

export type ToPublisher = { port: number; order: Order };
export type FromPublisher = { kind: "poured"; poured: Poured } | { kind: "failed"; why: string };

const scope = self as unknown as {
  postMessage(message: FromPublisher): void;
  onmessage: ((event: MessageEvent<ToPublisher>) => void) | null;
};

const prepared = 20_000;

async function publish(port: number, order: Order): Promise<Poured> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  const { numberedFrom: from } = order;
  const readings = from === undefined
    ? messages(prepared)
    : Array.from({ length: order.count }, (_, i) => numbered(from + i));
  const pour = new Pour(conn, 4, prepare(4, order.qos, readings), order);
  const accepted = Promise.withResolvers<void>();
  const reading = readPackets(conn, (first, body) => {
    if (first !== packetType.connack) pour.take(first, body);
    else if (body[1] === 0) accepted.resolve();
    else accepted.reject(new Error(`the broker refused the publisher: ${body[1]}`));
  });
  await writeAll(conn, connectBytes("bench-publisher"));
  await accepted.promise;
  const cut = reading.then(() => Promise.reject(new Error("the broker closed the publisher's connection")));
  const poured = await Promise.race([pour.run(), cut]);
  cut.catch(() => {}); // now it is this end that closes
  await writeAll(conn, Uint8Array.of(packetType.disconnect, 0));
  conn.close();
  return poured;
}

scope.onmessage = async ({ data }) => {
  try {
    scope.postMessage({ kind: "poured", poured: await publish(data.port, data.order) });
  } catch (error) {
    scope.postMessage({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
  }
};
