/**
 * A Mosquitto over the messages and sessions of the real one, while that one rests: nobody but this program can reach it.
 * So a session is there, or gone, before the first client comes back.
 */
import { join } from "node:path";
import { OperationError, reasonOf } from "../../agent/base/errors.ts";
import { sessionExpiryS } from "../../agent/limits.ts";
import type { Setting } from "./conf.ts";
import {
  connectPacket,
  disconnectPacket,
  type Filter,
  firstPacket,
  type Packet,
  subackCodes,
  subscribePacket,
} from "./session_packets.ts";

const program = "/usr/sbin/mosquitto";
const startMs = 30_000;
const answerMs = 10_000;
const pollMs = 50;

export interface SessionOf {
  clientId: string;
  username: string;
}

/** What is kept between two lives of the broker, by its settings; undefined when nothing is. */
export function keptSettings(settings: Setting[]): string[] | undefined {
  const value = (name: string) => settings.findLast((one) => one.name === name)?.value;
  if (value("persistence") !== "true") return undefined;
  const names = ["persistence_location", "persistence_file", "user"];
  return [
    "persistence true",
    ...names.flatMap((name) => {
      const found = value(name);
      return found === undefined ? [] : [`${name} ${found}`];
    }),
  ];
}

/** The session subscribes to all of `filters`, unless it is there already. Throws OperationError when it can't be made. */
export async function makeSession(kept: string[], session: SessionOf, filters: Filter[]): Promise<void> {
  await withPrivateBroker(kept, async (port) => {
    const connection = await Connection.open(port);
    try {
      await connection.send(connectPacket({ ...session, expiryS: sessionExpiryS, clean: false }));
      const { body } = await connection.answer(2);
      if (body[1] !== 0) throw new Error(`CONNECT was refused with ${body[1]}`);
      const present = (body[0]! & 1) === 1;
      if (!present) {
        await connection.send(subscribePacket(filters));
        const refused = subackCodes((await connection.answer(9)).body).findIndex((code) => code >= 0x80);
        if (refused >= 0) throw new Error(`the subscription to ${filters[refused]?.filter} was refused`);
      }
      await connection.send(disconnectPacket);
    } finally {
      connection.close();
    }
  });
}

/** There is no such session any more, and nothing is kept for it. */
export async function forgetSession(kept: string[], session: SessionOf): Promise<void> {
  await withPrivateBroker(kept, async (port) => {
    const connection = await Connection.open(port);
    try {
      await connection.send(connectPacket({ ...session, expiryS: 0, clean: true }));
      await connection.answer(2);
      await connection.send(disconnectPacket);
    } finally {
      connection.close();
    }
  });
}

/** Starts it, uses it, and ends it in order: then it has saved everything. */
async function withPrivateBroker(kept: string[], use: (port: number) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-broker-" });
  try {
    await Deno.chmod(dir, 0o755); // Mosquitto gives up root before it reads the file
    const port = freePort();
    const lines = [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "max_queued_messages 0",
      ...kept,
      "",
    ];
    await Deno.writeTextFile(join(dir, "mosquitto.conf"), lines.join("\n"));
    const child = new Deno.Command(program, {
      ...{ args: ["-c", join(dir, "mosquitto.conf")], stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
    const ended = child.status;
    try {
      await untilListening(port, ended);
      await use(port);
    } finally {
      try {
        child.kill("SIGTERM");
      } catch {
        // it has ended already
      }
      await ended;
    }
  } catch (error) {
    throw new OperationError({
      ...{ operation: "keep messages for the agent", place: program, cause: reasonOf(error), from: error },
      remedy: "journalctl -u mosquitto shows whether Mosquitto itself starts",
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function untilListening(port: number, ended: Promise<Deno.CommandStatus>): Promise<void> {
  let gone = false;
  void ended.then(() => gone = true);
  for (const endMs = performance.now() + startMs;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (gone) throw new Error("it ended at once");
      if (performance.now() > endMs) throw error;
    }
    await new Promise((done) => setTimeout(done, pollMs));
  }
}

class Connection {
  #bytes = new Uint8Array(0);

  private constructor(private readonly socket: Deno.TcpConn, private readonly timer: number) {}

  static async open(port: number): Promise<Connection> {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port });
    return new Connection(socket, setTimeout(() => socket.close(), answerMs));
  }

  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.socket.write(bytes.subarray(at));
  }

  /** The next packet of that type. Messages are left unanswered: they come again to who takes them. */
  async answer(type: number): Promise<Packet> {
    const piece = new Uint8Array(64 * 1024);
    for (;;) {
      const packet = firstPacket(this.#bytes);
      if (packet !== undefined) {
        this.#bytes = this.#bytes.slice(packet.length);
        if (packet.type === type) return packet;
        continue;
      }
      const count = await this.socket.read(piece);
      if (count === null) throw new Error("it closed the connection");
      this.#bytes = new Uint8Array([...this.#bytes, ...piece.subarray(0, count)]);
    }
  }

  close(): void {
    clearTimeout(this.timer);
    try {
      this.socket.close();
    } catch {
      // the time was over
    }
  }
}
