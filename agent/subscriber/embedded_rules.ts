/** What aedes asks the agent: who may connect, what may be published, subscribed and handed on. */
import { Buffer } from "node:buffer";
import type {
  AedesOptions,
  AedesPublishPacket,
  AuthenticateError,
  Client,
  PublishPacket,
  Subscription,
} from "aedes";
import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import {
  embeddedClientIdBytesMax,
  embeddedConnectMs,
  embeddedDrainMs,
  embeddedFiltersMax,
  embeddedInFlightMax,
  embeddedLogMs,
  embeddedOutgoingBytesMax,
  embeddedPacketsMax,
} from "../limits.ts";
import type { Counters } from "./counters.ts";
import type { EmbeddedAccount } from "./embedded_account.ts";
import { EmbeddedConnection, nextTurn } from "./embedded_connection.ts";
import type { EmbeddedMessage, EmbeddedMessages } from "./embedded_messages.ts";
import { TopicFilter } from "./topic_filter.ts";

/** Return codes of CONNACK (3.2.2.3). */
const returnCodes = { identifierRejected: 2, serverUnavailable: 3, badAccount: 4 };

/** A topic filter of a client, at the QoS that it asked for. */
interface Subscribed {
  filter: TopicFilter;
  qos: 0 | 1 | 2;
}

const encoder = new TextEncoder();

export interface EmbeddedRulesParts {
  log: Log;
  clock: Clock;
  counters: Counters;
  messages: EmbeddedMessages;
  /** Why nothing is stored for the time being, or undefined. */
  refusal: () => string | undefined;
  onMessage: () => void;
  letIn: (connection: EmbeddedConnection) => void;
}

export class EmbeddedRules {
  account: EmbeddedAccount | undefined;
  readonly #clients = new WeakMap<EmbeddedConnection, Client>();
  readonly #filters = new WeakMap<Client, Map<string, Subscribed>>();
  readonly #lastLogMs = new Map<string, number>();

  constructor(private readonly parts: EmbeddedRulesParts) {}

  options(): AedesOptions {
    return {
      concurrency: 0, // what is under way is bounded by what connections hand on
      connectTimeout: embeddedConnectMs,
      drainTimeout: embeddedDrainMs,
      queueLimit: 2 * embeddedPacketsMax,
      maxInflightInbound: embeddedInFlightMax,
      authenticate: (client, username, password, done) => {
        const refused = this.#refused(client, username, password);
        done(refused ?? null, refused === undefined);
      },
      authorizePublish: (client, packet, done) => this.#publish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => {
        done(null, this.#subscribe(client, subscription) ? subscription : null);
      },
      authorizeForward: (client, packet) => this.#keepsUp(client) ? this.#lowered(client, packet) : null,
      published: (packet, client, done) => {
        done();
        if (client !== null && isPublish(packet)) connectionOf(client)?.settled();
      },
    };
  }

  unsubscribed(filters: string[], client: Client): void {
    for (const filter of filters) this.#filters.get(client)?.delete(filter);
  }

  clientOf(connection: EmbeddedConnection): Client | undefined {
    return this.#clients.get(connection);
  }

  /** A client was disconnected for an error. */
  dropped(client: Client, error: Error): void {
    const fields = { ...nameOf(client), reason: reasonOf(error) };
    if (/protocol version/.test(fields.reason)) {
      return this.#warn("A client was refused: the agent's own broker speaks MQTT 3.1.1 only", fields);
    }
    this.#warn("A client of the agent's own broker was disconnected", fields);
  }

  /** A connection was not taken. */
  turnedAway(reason: string): void {
    this.#warn("The agent's own broker turns clients away", { reason });
  }

  #refused(client: Client, username?: string, password?: Uint8Array): AuthenticateError | undefined {
    const connection = connectionOf(client);
    if (connection === undefined) return refusal(returnCodes.serverUnavailable, "the agent stops");
    this.#clients.set(connection, client);
    if (Buffer.byteLength(client.id) > embeddedClientIdBytesMax) {
      return refusal(returnCodes.identifierRejected, "the client id is too long");
    }
    if (this.account?.admits(username, password) !== true) {
      return refusal(returnCodes.badAccount, "wrong user name or password");
    }
    const why = this.parts.refusal();
    if (why !== undefined) return refusal(returnCodes.serverUnavailable, why);
    this.parts.letIn(connection);
    return undefined;
  }

  #publish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const { messages, counters, onMessage } = this.parts;
    const connection = client === null ? undefined : connectionOf(client);
    if (client === null || connection === undefined) return done(new Error("the client is gone"));
    const message: EmbeddedMessage = isPublish(packet)
      ? packet
      : { ...packet, dup: false, messageId: undefined };
    const acknowledged = message.qos > 0 && message.messageId !== undefined;
    messages.take(client.id, message, (error, repetition) => {
      if (error === null && acknowledged && !connection.destroyed) counters.acknowledged++;
      try {
        done(error);
      } catch (thrown) {
        // the other messages of the batch are answered all the same
        connection.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
      // aedes does not publish a repetition, so that nothing else says that it is settled
      if (repetition === true) void nextTurn().then(() => connection.settled());
    });
    onMessage();
  }

  #subscribe(client: Client, { topic, qos }: Subscription): boolean {
    const filters = this.#filters.get(client) ?? new Map<string, Subscribed>();
    this.#filters.set(client, filters);
    if (filters.size >= embeddedFiltersMax && !filters.has(topic)) return false;
    filters.set(topic, { filter: new TopicFilter(topic), qos });
    return true;
  }

  /** At the QoS of the subscription at most (3.8.4), which aedes does for filters without wildcards only. */
  #lowered(client: Client, packet: AedesPublishPacket): AedesPublishPacket {
    if (packet.qos === 0) return packet;
    const topic = encoder.encode(packet.topic);
    let most: 0 | 1 | 2 = 0;
    for (const { filter, qos } of this.#filters.get(client)?.values() ?? []) {
      if (qos > most && filter.matches(topic, 0, topic.length)) most = qos;
    }
    return packet.qos <= most ? packet : { ...packet, qos: most };
  }

  /** A subscriber that does not read what it asked for is disconnected: the others and the publishers don't wait. */
  #keepsUp(client: Client): boolean {
    const connection = connectionOf(client);
    if (connection === undefined || connection.destroyed) return false;
    if (connection.writableLength < embeddedOutgoingBytesMax) return true;
    connection.destroy(new Error("it reads slower than it is sent to"));
    return false;
  }

  /** One line of a kind now and then, however many clients there are to complain of. */
  #warn(message: string, fields: Record<string, string>): void {
    const nowMs = this.parts.clock.bootMs();
    const lastMs = this.#lastLogMs.get(message);
    if (lastMs !== undefined && nowMs - lastMs < embeddedLogMs) return;
    this.#lastLogMs.set(message, nowMs);
    this.parts.log.warning(message, fields);
  }
}

function connectionOf(client: Client): EmbeddedConnection | undefined {
  return client.conn instanceof EmbeddedConnection ? client.conn : undefined;
}

/** A will comes the same way, without a command. */
function isPublish(packet: { cmd?: string }): boolean {
  return packet.cmd === "publish";
}

function refusal(returnCode: number, reason: string): AuthenticateError {
  return Object.assign(new Error(reason), { returnCode });
}

function nameOf(client: Client): Record<string, string> {
  const peer = connectionOf(client)?.peer;
  return {
    ...(peer === undefined ? {} : { peer }),
    ...(client.id ? { client: client.id.slice(0, 64) } : {}),
  };
}
