/** Looks at the certificate that a server shows. Nothing is verified and nothing sent: who talks to the server does that. */
import { connect, type TLSSocket } from "node:tls";
import { certificateAnswerMs } from "../limits.ts";

/** Where to look, and what to show where the server asks for a client's certificate (PEM). */
export interface ProbePlace {
  /** Without the brackets of an IPv6 address. */
  hostname: string;
  port: number;
  client?: { certificatePem: string; readKey: () => string };
}

/**
 * Handshakes without an answer. A node:tls socket that is destroyed during its handshake keeps its file descriptor until
 * the peer closes (Deno 2.6), so these are left alone, and there are no more than a few of them.
 */
let hanging = 0;
const hangingMax = 2;

/**
 * When the server's certificate ends, ms since 1970. Undefined: there was no certificate to be seen within
 * certificateAnswerMs, or `signal` aborted. Never rejects.
 */
export function shownCertificateEnd(place: ProbePlace, signal?: AbortSignal): Promise<number | undefined> {
  if (hanging >= hangingMax || signal?.aborted) return Promise.resolve(undefined);
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  let socket: TLSSocket;
  try {
    socket = open(place);
  } catch {
    return Promise.resolve(undefined); // the client's key can't be read or used; the connection itself says why
  }
  let left = false;
  const end = (endMs: number | undefined) => {
    if (left) hanging--;
    left = false;
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
    socket.destroy();
    resolve(endMs);
  };
  const giveUp = () => {
    if (socket.connecting) return end(undefined);
    clearTimeout(timer);
    if (!left) hanging++;
    left = true;
    socket.unref();
    resolve(undefined);
  };
  const timer = setTimeout(giveUp, certificateAnswerMs);
  signal?.addEventListener("abort", giveUp, { once: true });
  socket.on("error", () => end(undefined));
  socket.once("close", () => end(undefined));
  socket.once("secureConnect", () => {
    const endMs = Date.parse(socket.getPeerCertificate()?.valid_to ?? "");
    end(Number.isNaN(endMs) ? undefined : endMs);
  });
  return promise;
}

function open({ hostname, port, client }: ProbePlace): TLSSocket {
  const socket = connect({
    host: hostname,
    port,
    rejectUnauthorized: false,
    ...(/^[\d.]+$|:/.test(hostname) ? {} : { servername: hostname }),
    ...(client === undefined ? {} : { cert: client.certificatePem, key: client.readKey() }),
  });
  socket.setKeepAlive(true, 30_000); // a server that vanished in the middle of a handshake is noticed in the end
  return socket;
}
