/** The broker's part of `check`: a real connection, under a client id of its own, that leaves nothing behind. */
import { Duplex } from "node:stream";
import { type IClientOptions, MqttClient } from "mqtt";
import type { Clock } from "../base/clock.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { MqttSettings } from "../settings.ts";
import type { Finding } from "../shipper/output.ts";
import { EmbeddedServer } from "../subscriber/embedded_server.ts";
import { connectTransport, parseBrokerUrl, type Transport } from "../subscriber/transport.ts";

const answerMs = 10_000;
/** Reason codes of CONNACK that ask for the older protocol (MQTT 3.1.1: 1, MQTT 5: 132). */
const unsupportedVersion = [1, 132];

type Version = 5 | 4;

/** Connects as the agent would, subscribes to its filters, and leaves. One finding per thing that was tried. */
export async function examineBroker(
  settings: MqttSettings,
  clock: Clock,
  signal: AbortSignal,
  agentRuns: boolean,
): Promise<Finding[]> {
  if (settings.listen !== undefined) return [examineOwnBroker(settings, agentRuns)];
  if (settings.url === undefined) {
    const remedy = "write mqtt.url, such as mqtts://192.168.1.46:8883";
    return [{ level: "warning", what: "no broker is configured: nothing will be received", remedy }];
  }
  const findings: Finding[] = [];
  try {
    const { tls, shown } = parseBrokerUrl(settings.url);
    for (const version of [5, 4] as const) {
      const transport = await connectTransport(settings, clock, signal);
      if (version === 5) findings.push(connectionFinding(settings, tls, shown));
      const visit = new Visit(transport, settings, version);
      try {
        const refusal = await visit.connect(signal);
        if (refusal?.older && version === 5) continue;
        if (refusal !== undefined) return [...findings, refusal.finding];
        findings.push({
          level: "ok",
          what: `the broker lets the agent in, ${version === 5 ? "MQTT 5" : "MQTT 3.1.1"}`,
        });
        return [...findings, ...await visit.filters(signal)];
      } finally {
        await visit.end();
      }
    }
  } catch (error) {
    const remedy = error instanceof OperationError ? error.remedy : undefined;
    const place = error instanceof OperationError ? error.place : settings.url;
    findings.push({
      level: "failure",
      what: `${place}: ${reasonOf(error)}`,
      remedy: remedy ?? "see the broker's log for the reason",
    });
  }
  return findings;
}

/** Opens the agent's own broker for a moment, unless an agent has done so that runs with this configuration. */
function examineOwnBroker(settings: MqttSettings, agentRuns: boolean): Finding {
  if (agentRuns) return { level: "ok", what: "the running agent has a broker of its own: see status" };
  const server = EmbeddedServer.open(settings);
  server.close();
  const account = settings.password === undefined
    ? "everybody on this machine"
    : `the user ${settings.username}`;
  const tls = settings.certificatePem === undefined ? "not encrypted" : "TLS";
  const what = `the agent's own broker can listen at ${server.url} (MQTT 3.1.1, ${tls}, for ${account})`;
  return { level: "ok", what };
}

function connectionFinding(settings: MqttSettings, tls: boolean, shown: string): Finding {
  if (!tls) {
    const remedy =
      "give the broker a certificate and write mqtts:// (fine when the broker is on this machine)";
    return { level: "warning", what: `connected to ${shown}, not encrypted`, remedy };
  }
  const by = settings.fingerprintSha256 !== undefined
    ? "fingerprint"
    : settings.caPem === undefined
    ? "public CAs"
    : "ca_file";
  return { level: "ok", what: `connected to ${shown}, TLS verified by ${by}` };
}

/** One short session at the broker. */
class Visit {
  readonly #client: MqttClient;
  readonly #failed = Promise.withResolvers<never>();

  constructor(transport: Transport, private readonly settings: MqttSettings, version: Version) {
    const { username, password, clientId } = settings;
    const suffix = crypto.getRandomValues(new Uint8Array(4)).toHex();
    const options: IClientOptions = {
      clientId: `${clientId}-check-${suffix}`,
      clean: true,
      protocolVersion: version,
      reconnectPeriod: 0,
      connectTimeout: answerMs,
      keepalive: 0,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: password.read() }),
    };
    this.#failed.promise.catch(() => {}); // only what waits for an answer wants to know
    this.#client = new MqttClient(() => new TransportStream(transport), options);
    this.#client.on("error", (error) => this.#failed.reject(error));
    this.#client.on("close", () => this.#failed.reject(new Error("the broker closed the connection")));
  }

  /** Undefined when CONNACK says yes. */
  async connect(signal: AbortSignal): Promise<{ finding: Finding; older: boolean } | undefined> {
    const connected = new Promise<void>((done) => this.#client.once("connect", () => done()));
    try {
      await this.#answer(connected, signal);
      return undefined;
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      const older = typeof code !== "number" || unsupportedVersion.includes(code);
      const denied = code === 4 || code === 5 || code === 134 || code === 135;
      const remedy = denied
        ? "are mqtt.username and mqtt.password_file those that the broker knows"
        : "see the broker's log for the reason";
      return { finding: { level: "failure", what: `the broker refuses: ${reasonOf(error)}`, remedy }, older };
    }
  }

  /** One finding per filter. Retained messages are not asked for. */
  async filters(signal: AbortSignal): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const filter of this.settings.topics) {
      // as a member of a share group this visit would take messages away from the others
      const plain = filter.replace(/^\$share\/[^/]+\//, "");
      const asked = new Promise<number>((done, fail) => {
        const options = { qos: this.settings.qos, rh: 2 };
        this.#client.subscribe(plain, options, (error, _granted, packet) => {
          const code = packet?.granted?.[0];
          if (typeof code === "number") done(code);
          else fail(error ?? new Error("no answer to SUBSCRIBE"));
        });
      });
      const code = await this.#answer(asked, signal);
      if (code >= 128) {
        const remedy = `allow ${
          this.settings.username ?? "the agent"
        } to read it in the broker's access list`;
        findings.push({
          level: "failure",
          what: `the broker refuses the filter ${filter} (code ${code})`,
          remedy,
        });
      } else if (code < this.settings.qos) {
        const remedy = "the broker's limit: messages at a higher QoS come at this one";
        findings.push({
          level: "warning",
          what: `the filter ${filter} is granted at QoS ${code} only`,
          remedy,
        });
      } else findings.push({ level: "ok", what: `the filter ${filter} is granted at QoS ${code}` });
    }
    return findings;
  }

  async end(): Promise<void> {
    await new Promise<void>((done) => this.#client.end(true, {}, () => done()));
  }

  async #answer<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`no answer within ${answerMs / 1_000} s`)),
      answerMs,
    );
    const stop = () => late.reject(new Error("stopped"));
    signal.addEventListener("abort", stop);
    try {
      return await Promise.race([answer, this.#failed.promise, late.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }
}

/** A transport as npm:mqtt wants it. */
class TransportStream extends Duplex {
  readonly #buffer = new Uint8Array(16 * 1024);

  constructor(private readonly transport: Transport) {
    super();
  }

  override _read(): void {
    this.transport.read(this.#buffer).then(
      (count) => count === null ? this.destroy() : this.push(this.#buffer.slice(0, count)),
      (error) => this.destroy(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.transport.write(chunk).then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.transport.close();
    done(error);
  }
}
