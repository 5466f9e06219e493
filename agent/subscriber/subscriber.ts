/** The first stage: keeps a connection to the broker, and brings what it delivers into the spool. */
import type { IConnackPacket } from "mqtt-packet";
import { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { Rate } from "../base/rate.ts";
import { Backoff } from "../base/retry.ts";
import { connectedWriteMs, earlyCloseMs, fullPollMs, sessionExpiryLeastS } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import type { SpoolApi } from "../spool/spool_types.ts";
import type { SubscriberStatus } from "../status/snapshot.ts";
import { BrokerFigures } from "./broker_figures.ts";
import { Connection, type ConnectionEnd } from "./connection.ts";
import { Counters } from "./counters.ts";
import type { ProtocolVersion } from "./framing.ts";
import { Intake } from "./intake.ts";
import { intakeRules, sameConnection } from "./mqtt_settings.ts";
import { Pace } from "./pace.ts";
import { ProtocolChoice } from "./protocol_choice.ts";
import { QueuedWatch } from "./queued_watch.ts";
import { ReceiveBuffer } from "./receive_buffer.ts";
import type { Receiver } from "./receiver.ts";
import { Remembered } from "./remembered.ts";
import type { Session } from "./session.ts";
import { Subscribing } from "./subscribing.ts";
import { TakeoverWatch } from "./takeover_watch.ts";
import { connectTransport, parseBrokerUrl, type Transport } from "./transport.ts";

export interface SubscriberOptions {
  settings: MqttSettings;
  /** `session.json` beside the spool. */
  stateFile: string;
  files: Files;
  clock: Clock;
  log: Log;
  spool: SpoolApi;
  /** Why the spool takes no more, or undefined. */
  fullReason: () => string | undefined;
  version: string;
  /** `spool.sync_window`; the default is the configuration's. */
  syncWindowMs?: number;
}

/** The part of the status that changes with the connection. */
type Standing = Pick<
  SubscriberStatus,
  "state" | "reason" | "protocol" | "connectedSinceMs" | "sessionPresent" | "nextTryMs"
>;

export class Subscriber implements Receiver {
  #settings: MqttSettings;
  #standing: Standing = { state: "connecting" };
  #lastMessageMs: number | undefined;
  #wasConnected = false;
  /** Aborted to make a reload take effect: ends the connection or the wait for the next one. */
  #round = new AbortController();
  /** Held here: under Deno a combined signal that nobody holds is collected, although somebody listens to it. */
  #stop = this.#round.signal;
  readonly #counters = new Counters();
  readonly #alarms: Alarms;
  readonly #rate: Rate;
  readonly #remembered: Remembered;
  readonly #queued: QueuedWatch;
  readonly #figures: BrokerFigures;
  readonly #intake: Intake;
  readonly #subscribing: Subscribing;
  readonly #takeover: TakeoverWatch;
  readonly #buffer = new ReceiveBuffer();
  readonly #backoff = new Backoff();
  readonly #protocol = new ProtocolChoice();

  constructor(private readonly options: SubscriberOptions) {
    const { settings, clock, log, files, spool, stateFile, version } = options;
    this.#settings = settings;
    this.#alarms = new Alarms(clock);
    this.#rate = new Rate(clock);
    const remembered = Remembered.open(files, stateFile, log);
    this.#remembered = remembered;
    this.#queued = new QueuedWatch(() => remembered.queueEmpty());
    this.#takeover = new TakeoverWatch(this.#alarms, log);
    const alarms = this.#alarms;
    this.#figures = new BrokerFigures({ remembered, clock, log, alarms }, settings.topics);
    const [queued, figures] = [this.#queued, this.#figures];
    const parts = { remembered, queued, figures, clock, log, alarms, agentVersion: version };
    this.#subscribing = new Subscribing(parts, settings);
    this.#intake = new Intake({
      spool,
      clock,
      counters: this.#counters,
      queued,
      figures,
      onMarker: (payload) => this.#subscribing.meetMarker(payload),
    }, intakeRules(settings));
  }

  /**
   * Connects, and connects again, until `signal` aborts; resolves when what was read is stored and acknowledged and the
   * broker was told. Rejects with LostSyncError only: the process must end then.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        this.#round = new AbortController();
        this.#stop = AbortSignal.any([signal, this.#round.signal]);
        while (!this.#stop.aborted) await this.#turn(this.#stop);
      }
    } finally {
      this.#standing = { state: "stopped" };
      await this.#remembered.save();
    }
  }

  /**
   * Takes a changed configuration: filters, QoS and limits take effect on the connection that stands; anything that CONNECT
   * or TLS needs makes a new one.
   */
  reload(settings: MqttSettings): void {
    const same = sameConnection(this.#settings, settings);
    this.#settings = settings;
    this.#intake.rules = intakeRules(settings);
    this.#figures.reload(settings.topics);
    this.#subscribing.reload(settings, same);
    if (!same || this.#standing.state !== "connected") this.#round.abort();
  }

  /** What there is to show. */
  status(): SubscriberStatus {
    const { url, clientId } = this.#settings;
    const { lastConnectedMs, gaps, sessionsLost } = this.#remembered;
    const connected = this.#standing.state === "connected";
    const broker = this.#figures.status(connected);
    const lastMs = connected ? this.options.clock.wallMs() : lastConnectedMs;
    return {
      ...this.#standing,
      ...(url === undefined ? {} : { url: shownUrl(url), clientId }),
      ...(lastMs === undefined ? {} : { lastConnectedMs: lastMs }),
      filters: this.#subscribing.filters(),
      ...this.#counters,
      possibleGaps: gaps.map(({ fromMs, toMs, why }) => ({ fromMs, toMs, why })),
      sessionsLost,
      ...(this.#lastMessageMs === undefined ? {} : { lastMessageMs: this.#lastMessageMs }),
      ...(broker === undefined ? {} : { broker }),
      ratePerS: this.#rate.perS(),
      alarms: this.#alarms.list(),
    };
  }

  /** One attempt, with the wait that follows it. */
  async #turn(stop: AbortSignal): Promise<void> {
    const { clock, fullReason } = this.options;
    if (this.#settings.url === undefined) {
      this.#standing = { state: "no broker configured" };
      return await aborted(stop);
    }
    const full = fullReason();
    if (full !== undefined) {
      const reason = `spool full: ${full}`;
      if (this.#standing.state !== "paused") this.options.log.warning("Reception pauses", { reason });
      this.#standing = { state: "paused", reason };
      return await clock.sleep(fullPollMs, stop);
    }
    this.#standing = { state: "connecting" };
    const version = this.#protocol.next(this.#remembered.protocol(clock.wallMs()));
    const end = await this.#connect(version, stop);
    if (stop.aborted || end.kind === "stopped") return;
    if (this.#protocol.ended(version, end)) {
      this.options.log.info("MQTT 5 was not accepted; trying MQTT 3.1.1", { reason: end.reason });
      return;
    }
    await this.#wait(end, stop);
  }

  async #wait(end: ConnectionEnd, stop: AbortSignal): Promise<void> {
    const { clock, log, fullReason } = this.options;
    const paused = end.kind === "full" || end.kind === "disk";
    const reason = end.kind === "full"
      ? `spool full: ${end.reason}`
      : end.kind === "disk"
      ? `the spool can't be written: ${end.reason}`
      : end.reason;
    const delayMs = paused && fullReason() !== undefined ? fullPollMs : this.#backoff.nextMs();
    const nextTryMs = clock.wallMs() + delayMs;
    this.#standing = { state: paused ? "paused" : "waiting", reason, nextTryMs };
    if (paused) log.warning("Reception pauses", { reason });
    else log.warning("Not connected to the broker", { reason, delayMs });
    await clock.sleep(delayMs, stop);
  }

  /** One connection, from the attempt to its end. */
  async #connect(version: ProtocolVersion, stop: AbortSignal): Promise<ConnectionEnd> {
    const { clock } = this.options;
    const settings = this.#settings;
    const opened = await this.#open(settings, stop);
    if ("kind" in opened) return opened;
    let ending: Promise<void> = Promise.resolve();
    let sessionPresent = false;
    const connection = new Connection({
      transport: opened,
      settings,
      version,
      clock,
      counters: this.#counters,
      intake: this.#intake,
      queued: this.#queued,
      buffer: this.#buffer,
      pace: new Pace(this.options.syncWindowMs ?? 20),
      maxPayloadBytes: () => this.#settings.maxPayloadBytes,
      fullReason: this.options.fullReason,
      onAccepted: (connack) => sessionPresent = this.#accepted(connack, version),
      onReady: (session, closed) => {
        ending = this.#ready({ session, version, sessionPresent, closed }).catch((error) => {
          this.options.log.error("Subscribing failed", { reason: reasonOf(error) });
        });
      },
      onBatch: (messages) => {
        this.#rate.add(messages);
        this.#lastMessageMs = clock.wallMs();
      },
    });
    const end = await connection.run(stop);
    await ending;
    if (end.connectedMs !== undefined) {
      await this.#stood();
      this.#takeover.ended(end);
      if (end.connectedMs >= earlyCloseMs) this.#backoff.reset();
    }
    return end;
  }

  async #open(settings: MqttSettings, stop: AbortSignal): Promise<Transport | ConnectionEnd> {
    try {
      return await connectTransport(settings, this.options.clock, stop);
    } catch (error) {
      const text = error instanceof OperationError && error.remedy !== undefined
        ? `${error.reason}; ${error.remedy}`
        : reasonOf(error);
      return { kind: "failed", reason: text, code: undefined, connectedMs: undefined };
    }
  }

  /** CONNACK said yes; no message has been looked at yet. Returns whether the broker kept our session. */
  #accepted(connack: IConnackPacket, version: ProtocolVersion): boolean {
    const { clock, log } = this.options;
    const settings = this.#settings;
    const nowMs = clock.wallMs();
    const sameSession = this.#remembered.use(settings.url!, settings.clientId);
    const { sessionPresent } = connack;
    const hadSession = this.#remembered.hasSession;
    const queuedFromMs = this.#remembered.connected(sessionPresent, nowMs);
    this.#remembered.protocolWorked(version, nowMs);
    // of another broker's session no id is held, even where that broker has a session of ours
    this.#intake.connected(version, sessionPresent && sameSession, queuedFromMs);
    this.#figures.connected();
    this.#queued.start(sessionPresent, settings.statusTopic !== undefined);
    if (this.#wasConnected) this.#counters.reconnects++;
    this.#wasConnected = true;
    const protocol = version === 5 ? "MQTT 5" : "MQTT 3.1.1";
    this.#standing = { state: "connected", protocol, connectedSinceMs: nowMs, sessionPresent };
    log.notice("Connected to the broker", { url: shownUrl(settings.url!), protocol, sessionPresent });
    const expiryS = connack.properties?.sessionExpiryInterval;
    if (expiryS !== undefined && expiryS < sessionExpiryLeastS) {
      log.warning("The broker keeps the session for a short time only", { expiryS });
    }
    if (hadSession && !sessionPresent) {
      log.warning("The broker had lost the session: messages may be missing", {});
    }
    return sessionPresent;
  }

  /** What goes on beside the reading while the connection stands. */
  async #ready(
    ready: { session: Session; version: ProtocolVersion; sessionPresent: boolean; closed: AbortSignal },
  ) {
    const { clock } = this.options;
    const { closed } = ready;
    const subscribing = this.#subscribing.begin(ready);
    await this.#remembered.save();
    const startMs = clock.bootMs();
    while (!closed.aborted) {
      await clock.sleep(connectedWriteMs, closed);
      if (closed.aborted) break;
      this.#takeover.stands(clock.bootMs() - startMs);
      await this.#stood();
    }
    await subscribing;
    await this.#subscribing.settled();
  }

  /** The connection stands, or stood until now: writes that down. */
  async #stood(): Promise<void> {
    const nowMs = this.options.clock.wallMs();
    this.#remembered.connectedAt(nowMs);
    this.#figures.stands(nowMs);
    await this.#remembered.save();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}

function shownUrl(url: string): string {
  try {
    return parseBrokerUrl(url).shown;
  } catch {
    return "mqtt.url";
  }
}
