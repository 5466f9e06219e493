/**
 * The session at the broker, through npm:mqtt: CONNECT, keep-alive, SUBSCRIBE, UNSUBSCRIBE and the marker's PUBLISH. One
 * client lives as long as one connection; connecting again is the subscriber's.
 */
import { type IClientOptions, MqttClient } from "mqtt";
import { receiveMaximum, sessionExpiryS } from "../limits.ts";
import { reasonOf } from "../base/errors.ts";
import type { MqttSettings } from "../settings.ts";
import type { ProtocolVersion } from "./framing.ts";
import type { Gate } from "./gate.ts";
import { KeepAlive, noTimer } from "./keep_alive.ts";

/** What a broker answered for one filter: the granted QoS, or a reason code from 128 on. */
export interface Grant {
  filter: string;
  code: number;
}

export interface SessionParts {
  gate: Gate;
  settings: MqttSettings;
  version: ProtocolVersion;
  /** Whether the connection showed life since it was asked last; then a missing PINGRESP means nothing. */
  alive: () => boolean;
  /** The client gives the connection up. */
  onFailure: (reason: string) => void;
  /** The client is ready to subscribe. */
  onConnect: () => void;
}

export class Session {
  readonly #client: MqttClient;
  #keepAlive: KeepAlive | undefined;
  /** Rejects what waits for an answer: npm:mqtt forgets to, for what it was asked after the connection broke. */
  readonly #waiting = new Set<(reason: Error) => void>();

  constructor(parts: SessionParts) {
    this.#client = new MqttClient(() => parts.gate, clientOptions(parts));
    this.#client.on("error", (error) => parts.onFailure(reasonOf(error)));
    this.#client.on("close", () => parts.onFailure("the connection was closed"));
    this.#client.on("connect", () => {
      const intervalS = this.#client.keepalive ?? 0; // the broker may have named another one
      this.#keepAlive = new KeepAlive({
        intervalS,
        ping: () => this.#client.sendPing(),
        alive: parts.alive,
        onDead: () =>
          parts.onFailure(`the broker is silent: no answer to PINGREQ (keep-alive ${intervalS} s)`),
      });
      parts.onConnect();
    });
    this.#client.connect();
  }

  /**
   * Subscribes to all of them with one packet (3.8); resolves with what the broker answered for each. Retain Handling 1: the
   * retained messages come only with a subscription that is new to the session; 0: always, as in MQTT 3.1.1.
   */
  subscribe(filters: { filter: string; qos: 0 | 1 | 2 }[], retainHandling: 0 | 1 = 1): Promise<Grant[]> {
    const { promise, resolve, reject } = this.#answer<Grant[]>();
    const map = Object.fromEntries(filters.map(({ filter, qos }) => [filter, { qos, rh: retainHandling }]));
    this.#client.subscribe(map, (error, asked, packet) => {
      // a refused filter is an error to npm:mqtt; what was granted stands in the packet all the same
      const granted = packet?.granted;
      if (asked === undefined || granted === undefined || granted.length !== asked.length) {
        return reject(error ?? new Error("no answer to SUBSCRIBE"));
      }
      // in the order of the packet, which is not ours: a filter such as "7" goes before others
      resolve(asked.map(({ topic }, i) => ({ filter: topic, code: granted[i] as number })));
    });
    return promise;
  }

  /** Takes filters out of the session (3.10); resolves when the broker has answered. */
  unsubscribe(filters: string[]): Promise<void> {
    const { promise, resolve, reject } = this.#answer<void>();
    this.#client.unsubscribe(filters, (error?: Error | null) => error ? reject(error) : resolve());
    return promise;
  }

  /** Publishes at QoS 1, so that it takes its place behind what is queued. Rejects when the broker refuses. */
  publish(topic: string, payload: string): Promise<void> {
    const { promise, resolve, reject } = this.#answer<void>();
    this.#client.publish(topic, payload, { qos: 1 }, (error) => error ? reject(error) : resolve());
    return promise;
  }

  /** Lets go of the client and closes its stream. */
  end(): void {
    this.#keepAlive?.stop();
    this.#client.end(true);
    for (const reject of this.#waiting) reject(new Error("the connection was closed"));
  }

  #answer<T>(): PromiseWithResolvers<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.add(reject);
    const forget = () => this.#waiting.delete(reject);
    promise.then(forget, forget);
    return { promise, resolve, reject };
  }
}

function clientOptions({ settings, version }: SessionParts): IClientOptions {
  const { clientId, username, password, keepAliveS } = settings;
  return {
    manualConnect: true,
    protocolVersion: version,
    clientId,
    clean: false,
    keepalive: keepAliveS,
    timerVariant: noTimer,
    reconnectPeriod: 0,
    connectTimeout: 2 ** 31 - 1, // ours is shorter
    resubscribe: false,
    queueQoSZero: false,
    writeCache: false, // 65,536 buffers that nobody needs
    log: () => {},
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: password.read() }),
    ...(version === 5 ? { properties: { sessionExpiryInterval: sessionExpiryS, receiveMaximum } } : {}),
  };
}
