/** The socket of the agent's own broker, and the connections that stand: how many, and who was let in. */
import type { Clock } from "../base/clock.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import {
  embeddedClientsMax,
  embeddedLargeBytesMax,
  embeddedPendingMax,
  embeddedPendingMs,
} from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import { EmbeddedConnection, LargeBytes } from "./embedded_connection.ts";

const acceptAgainMs = 1_000;

export class EmbeddedServer {
  /** Where clients find it. */
  readonly url: string;
  readonly #connections = new Set<EmbeddedConnection>();
  /** Not let in yet, with the time by which each may be given up for another; the oldest first. */
  readonly #pending = new Map<EmbeddedConnection, number>();
  readonly #letIn = new Set<EmbeddedConnection>();
  readonly #large = new LargeBytes(embeddedLargeBytesMax);
  #closed = false;

  private constructor(private readonly listener: Deno.Listener, tls: boolean) {
    const { hostname, port } = listener.addr as Deno.NetAddr;
    this.url = `${tls ? "mqtts" : "mqtt"}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  }

  /** Binds the port, with TLS where there is a certificate. Throws OperationError when that can't be. */
  static open({ listen, certificatePem, key }: MqttSettings): EmbeddedServer {
    const { host: hostname, port } = listen!;
    if (certificatePem === undefined || key === undefined) {
      return new EmbeddedServer(bind(hostname, port, () => Deno.listen({ hostname, port })), false);
    }
    const secret = key.read();
    const open = () => Deno.listenTls({ hostname, port, cert: certificatePem, key: secret });
    return new EmbeddedServer(bind(hostname, port, open), true);
  }

  /** Clients that were let in and are connected. */
  get clients(): number {
    return this.#letIn.size;
  }

  connections(): Iterable<EmbeddedConnection> {
    return this.#connections;
  }

  /** Takes connections until `close`; hands on those for which there is room. `refuse` hears of the others. */
  async accept(
    clock: Clock,
    handOn: (connection: EmbeddedConnection) => void,
    refuse: (reason: string) => void,
  ): Promise<void> {
    while (!this.#closed) {
      try {
        const socket = await this.listener.accept();
        this.#makeRoom(clock);
        if (this.#closed || this.#connections.size >= embeddedClientsMax) {
          socket.close();
          if (!this.#closed) refuse(`${embeddedClientsMax} clients are connected already`);
        } else handOn(this.#add(socket, clock));
      } catch (error) {
        if (this.#closed) return;
        refuse(reasonOf(error)); // a client that was gone again, or too many open files
        if (!(error instanceof Deno.errors.ConnectionReset)) await clock.sleep(acceptAgainMs);
      }
    }
  }

  /** CONNECT was accepted. */
  letIn(connection: EmbeddedConnection): void {
    if (this.#pending.delete(connection)) this.#letIn.add(connection);
  }

  /** Accepts no more; the connections stand. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.listener.close();
  }

  #add(socket: Deno.Conn, clock: Clock): EmbeddedConnection {
    if ("setNoDelay" in socket) {
      (socket as Deno.TcpConn).setNoDelay(true);
      (socket as Deno.TcpConn).setKeepAlive(true);
    }
    const connection = new EmbeddedConnection(socket, clock, this.#large);
    this.#connections.add(connection);
    this.#pending.set(connection, clock.bootMs() + embeddedPendingMs);
    connection.closing.promise.then(() => {
      this.#connections.delete(connection);
      this.#pending.delete(connection);
      this.#letIn.delete(connection);
    });
    return connection;
  }

  /** Whoever has said nothing for a while makes room for the next one. */
  #makeRoom(clock: Clock): void {
    const [silent, untilMs] = this.#pending.entries().next().value ?? [];
    const crowded = this.#pending.size >= embeddedPendingMax || this.#connections.size >= embeddedClientsMax;
    if (!crowded || silent === undefined || untilMs! > clock.bootMs()) return;
    this.#pending.delete(silent);
    this.#connections.delete(silent);
    silent.destroy(new Error("it did not say CONNECT, and others want to"));
  }
}

function bind(hostname: string, port: number, listen: () => Deno.Listener): Deno.Listener {
  try {
    return listen();
  } catch (error) {
    const taken = error instanceof Deno.errors.AddrInUse;
    throw new OperationError({
      operation: "open the agent's own broker",
      place: `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`,
      cause: taken ? "another program listens there already" : reasonOf(error),
      remedy: remedyFor(error, taken),
      from: error,
    });
  }
}

function remedyFor(error: unknown, taken: boolean): string {
  if (taken) {
    return "when that is a broker, let the agent use it with mqtt.url; or give the agent's own another port with mqtt.listen";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) return "name an address of this machine in mqtt.listen";
  if (error instanceof Deno.errors.PermissionDenied) return "name a port from 1024 on in mqtt.listen";
  return "see mqtt.listen, mqtt.cert_file and mqtt.key_file";
}
