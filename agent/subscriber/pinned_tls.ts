/**
 * TLS to a broker that is known by the SHA-256 of its certificate. Deno's own TLS does not show the peer's certificate, so
 * this goes through node:tls: nothing is verified by it, and nothing is written before the fingerprint was compared.
 */
import { Buffer } from "node:buffer";
import { connect, type TLSSocket } from "node:tls";
import type { MqttSettings } from "../settings.ts";
import type { Place, Transport } from "./transport.ts";

/** Connects, and refuses a broker whose certificate has another fingerprint. */
export function connectPinned(settings: MqttSettings, place: Place, signal: AbortSignal): Promise<Transport> {
  const { certificatePem, key } = settings;
  const { promise, resolve, reject } = Promise.withResolvers<Transport>();
  const socket = connect({
    host: place.hostname,
    port: place.port,
    ...(isAddress(place.hostname) ? {} : { servername: place.hostname }),
    rejectUnauthorized: false, // the pin says more than any CA
    ...(certificatePem === undefined || key === undefined ? {} : { cert: certificatePem, key: key.read() }),
  });
  const giveUp = () => socket.destroy(new Error("given up"));
  signal.addEventListener("abort", giveUp, { once: true });
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("closed during the TLS handshake")));
  socket.once("secureConnect", () => {
    signal.removeEventListener("abort", giveUp);
    const fault = pinFault(socket, settings.fingerprintSha256!);
    if (fault === undefined) return resolve(new SocketTransport(socket));
    socket.destroy();
    reject(new Error(fault));
  });
  return promise;
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
