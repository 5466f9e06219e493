/**
 * TLS to a broker that is known by the SHA-256 of its certificate. Deno's own TLS does not show the peer's certificate, so
 * this goes through node:tls: nothing is verified by it, and nothing is written before the fingerprint was compared.
 */
import { Buffer } from "node:buffer";
import { connect, type TLSSocket } from "node:tls";
import { gatherTlsBytes } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import type { Place, Transport } from "./transport.ts";

/**
 * Handshakes that were given up and still hang. A node:tls socket that is destroyed during its handshake keeps its file
 * descriptor until the peer closes (Deno 2.6), so these are left alone, and there are no more than a few of them.
 */
let hanging = 0;
const hangingMax = 4;

/** Connects, and refuses a broker whose certificate has another fingerprint. `signal` ends the attempt. */
export function connectPinned(settings: MqttSettings, place: Place, signal: AbortSignal): Promise<Transport> {
  if (hanging >= hangingMax) {
    return Promise.reject(new Error(`${hanging} earlier TLS handshakes are still without an answer`));
  }
  const { promise, resolve, reject } = Promise.withResolvers<Transport>();
  const socket = open(settings, place);
  let state: "waited for" | "hanging" | "over" = "waited for";
  const end = (error: Error) => {
    if (state === "hanging") hanging--;
    state = "over";
    signal.removeEventListener("abort", giveUp);
    reject(error);
    socket.destroy();
  };
  const giveUp = () => {
    if (socket.connecting) return end(new Error("given up"));
    state = "hanging";
    hanging++;
    reject(new Error("given up"));
  };
  signal.addEventListener("abort", giveUp, { once: true });
  socket.on("error", end);
  socket.once("close", () => end(new Error("closed during the TLS handshake")));
  socket.once("secureConnect", () => {
    const fault = state === "hanging" ? "too late" : pinFault(socket, settings.fingerprintSha256!);
    if (fault !== undefined) return end(new Error(fault));
    state = "over";
    signal.removeEventListener("abort", giveUp);
    resolve(new SocketTransport(socket));
  });
  return promise;
}

function open({ certificatePem, key }: MqttSettings, { hostname, port }: Place): TLSSocket {
  const socket = connect({
    host: hostname,
    port,
    ...(isAddress(hostname) ? {} : { servername: hostname }),
    rejectUnauthorized: false, // the pin says more than any CA
    ...(certificatePem === undefined || key === undefined ? {} : { cert: certificatePem, key: key.read() }),
  });
  socket.setKeepAlive(true, 30_000); // a broker that vanished in the middle of a handshake is noticed in the end
  return socket;
}

function isAddress(hostname: string): boolean {
  return hostname.includes(":") || /^[\d.]+$/.test(hostname);
}

/** Why this is not the broker with that fingerprint (64 hex digits), or undefined. */
function pinFault(socket: TLSSocket, expected: string): string | undefined {
  const shown = socket.getPeerCertificate()?.fingerprint256; // undefined: the handshake failed
  if (shown === undefined) return "the TLS handshake failed: no certificate of the broker";
  const found = shown.replaceAll(":", "").toLowerCase();
  if (found === expected.replaceAll(":", "").toLowerCase()) return undefined;
  return `the broker's certificate has the fingerprint ${found}, not the configured one`;
}

/** A node socket, read only when asked: it is paused in between, so that the system's buffers fill up and not ours. */
class SocketTransport implements Transport {
  readonly gatherBytes = gatherTlsBytes;
  #chunk: Buffer | undefined;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(private readonly socket: TLSSocket) {
    socket.pause();
    socket.on("data", (chunk: Buffer) => {
      this.#chunk = this.#chunk === undefined ? chunk : Buffer.concat([this.#chunk, chunk]);
      socket.pause();
      this.#wake?.();
    });
    socket.on("end", () => this.#end());
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end());
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#chunk === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return null;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      this.socket.resume();
      await promise;
    }
    const taken = this.#chunk.subarray(0, into.length);
    into.set(taken);
    this.#chunk = taken.length === this.#chunk.length ? undefined : this.#chunk.subarray(taken.length);
    return taken.length;
  }

  write(bytes: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.socket.write(bytes, (error) => error ? reject(error) : resolve());
    return promise;
  }

  close(): void {
    this.socket.destroy();
    this.#end();
  }

  #end(error?: Error): void {
    this.#ended = true;
    this.#failure ??= error;
    this.#wake?.();
  }
}
