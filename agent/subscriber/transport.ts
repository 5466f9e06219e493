/** The connection to the broker: TCP, TLS checked against a CA and the broker's name, or TLS checked by a pin. */
import type { ProbePlace } from "../base/certificate_probe.ts";
import type { Clock } from "../base/clock.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import { brokerConnectMs, gatherPlainBytes, gatherTlsBytes } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import { connectPinned } from "./pinned_tls.ts";

/** An open connection. */
export interface Transport {
  /** A read of at least this many bytes may have left more behind that need not be waited for. */
  readonly gatherBytes: number;
  /** Waits for bytes and puts them into `into`; returns how many, null at the end of the stream. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes all of `bytes`. One call at a time. */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes at once: a read or write under way fails. May be called twice. */
  close(): void;
}

/** Where a broker URL leads. */
export interface Place {
  tls: boolean;
  /** Without the brackets of an IPv6 address. */
  hostname: string;
  port: number;
  /** The URL without user and password, for status, logs and errors. */
  shown: string;
}

/** Takes `mqtt://host[:1883]` or `mqtts://host[:8883]` apart. Throws OperationError for any other URL. */
export function parseBrokerUrl(url: string): Place {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["mqtt:", "mqtts:"].includes(parsed.protocol) || parsed.hostname === "") {
    throw new OperationError({
      operation: "connect to broker",
      place: "mqtt.url",
      cause: "not a URL of the form mqtt://HOST or mqtts://HOST",
      remedy: "write for example mqtts://192.168.1.46:8883",
    });
  }
  const tls = parsed.protocol === "mqtts:";
  const port = parsed.port === "" ? (tls ? 8883 : 1883) : Number(parsed.port);
  const hostname = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  return { tls, hostname, port, shown: `${parsed.protocol}//${parsed.hostname}:${port}` };
}

/** Where the broker shows its certificate; undefined: it shows none. */
export function shownCertificatePlace({ url, certificatePem, key }: MqttSettings): ProbePlace | undefined {
  if (url === undefined || !/^mqtts:\/\/[^/]/.test(url)) return undefined;
  const { hostname, port } = parseBrokerUrl(url);
  const client = certificatePem === undefined || key === undefined
    ? {}
    : { client: { certificatePem, readKey: () => key.read() } };
  return { hostname, port, ...client };
}

/**
 * Opens the connection, TLS handshake included. Throws an OperationError that says why not, within brokerConnectMs;
 * `signal` ends the attempt.
 */
export async function connectTransport(
  settings: MqttSettings,
  clock: Pick<Clock, "sleep">,
  signal: AbortSignal,
): Promise<Transport> {
  const place = parseBrokerUrl(settings.url!);
  const limit = new AbortController();
  const settled = new AbortController();
  const timer = clock.sleep(brokerConnectMs, settled.signal).then(() => limit.abort());
  const patience = AbortSignal.any([signal, limit.signal]);
  try {
    return await withPatience(open(settings, place, patience), patience);
  } catch (error) {
    if (error instanceof OperationError) throw error; // a secret's file
    const slow = limit.signal.aborted && !signal.aborted;
    throw connectError(
      place,
      slow ? `no answer within ${brokerConnectMs / 1_000} s` : reasonOf(error),
      error,
    );
  } finally {
    settled.abort();
    await timer;
  }
}

function open(settings: MqttSettings, place: Place, signal: AbortSignal): Promise<Transport> {
  if (!place.tls) return openTcp(place, signal);
  if (settings.fingerprintSha256 !== undefined) return connectPinned(settings, place, signal);
  return openTls(settings, place, signal);
}

async function openTcp({ hostname, port }: Place, signal: AbortSignal): Promise<Transport> {
  const connection = await Deno.connect({ hostname, port, signal });
  connection.setNoDelay(true);
  return new DenoTransport(connection, gatherPlainBytes);
}

async function openTls(
  settings: MqttSettings,
  { hostname, port }: Place,
  signal: AbortSignal,
): Promise<Transport> {
  const { caPem, certificatePem, key } = settings;
  // connectTls takes no signal: a late connection is closed by withPatience
  const connection = await Deno.connectTls({
    hostname,
    port,
    ...(caPem === undefined ? {} : { caCerts: [caPem] }),
    ...(certificatePem === undefined || key === undefined ? {} : { cert: certificatePem, key: key.read() }),
  });
  const transport = new DenoTransport(connection, gatherTlsBytes);
  const abandon = () => transport.close();
  signal.addEventListener("abort", abandon);
  try {
    if (!signal.aborted) await connection.handshake();
    return transport;
  } catch (error) {
    transport.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", abandon);
  }
}

/** Waits no longer than `signal` allows; what opens too late is closed. */
async function withPatience(opening: Promise<Transport>, signal: AbortSignal): Promise<Transport> {
  const { promise: impatience, reject } = Promise.withResolvers<never>();
  const giveUp = () => {
    opening.then((late) => late.close(), () => {});
    reject(new Error("given up"));
  };
  if (signal.aborted) giveUp();
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([opening, impatience]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

const remedies: [RegExp, string][] = [
  [
    /UnknownIssuer|unable to get local issuer/,
    "name the CA that signed the broker's certificate in mqtt.ca_file",
  ],
  [/not valid for name/, "connect to a name that the broker's certificate has, or give it one for this name"],
  [/Expired/, "the broker needs a new certificate"],
  [/NotValidYet/, "the broker's certificate is not valid yet: is this machine's clock right"],
  [/CertificateRequired|HandshakeFailure/, "does the broker ask for a client certificate (mqtt.cert_file)"],
  [
    /fingerprint/,
    "if the broker's certificate was changed on purpose, put the new one into mqtt.fingerprint_sha256",
  ],
  [/InvalidContentType|corrupt message/, "this port does not speak TLS: is the port right"],
  [/lookup address/, "is the name in mqtt.url right"],
  [/refused/i, "is the broker running, and is the port in mqtt.url right"],
];

function connectError(place: Place, cause: string, from: unknown): OperationError {
  const hint = remedies.find(([pattern]) => pattern.test(cause))?.[1] ??
    (place.tls && /reset|end of file|eof/i.test(cause) ? "does this port speak TLS" : undefined);
  return new OperationError({
    operation: "connect to broker",
    place: place.shown,
    cause: cause.replace("invalid peer certificate", "the broker's certificate was refused"),
    ...(hint === undefined ? {} : { remedy: hint }),
    retryable: true,
    from,
  });
}

/** A connection of Deno's own. */
class DenoTransport implements Transport {
  #closed = false;

  constructor(private readonly connection: Deno.Conn, readonly gatherBytes: number) {}

  read(into: Uint8Array): Promise<number | null> {
    return this.connection.read(into);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await this.connection.write(at === 0 ? bytes : bytes.subarray(at));
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.connection.close();
  }
}
