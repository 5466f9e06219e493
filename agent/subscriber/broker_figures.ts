/**
 * What the broker says of itself under `$SYS`, as Mosquitto publishes it: who is connected, what it holds, and how many
 * messages it dropped. Other brokers say other things there, or nothing: then there is nothing to show, and nothing is wrong.
 */
import type { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { countText, timeText } from "../base/display.ts";
import type { Log } from "../base/log.ts";
import { brokerDropsQuietMs, figureBytesMax, figuresAgainMs, figuresInVainMax } from "../limits.ts";
import type { BrokerStatus } from "../status/snapshot.ts";
import type { Remembered } from "./remembered.ts";
import { sameBytes, TopicFilter } from "./topic_filter.ts";

/** Each is published when it has changed, every `sys_interval` (10 s) at most, and retained. */
const figures = {
  "$SYS/broker/version": "version",
  "$SYS/broker/clients/connected": "connected",
  "$SYS/broker/clients/disconnected": "away",
  "$SYS/broker/store/messages/bytes": "heldBytes",
  "$SYS/broker/publish/messages/dropped": "dropped",
} as const;

type Figure = (typeof figures)[keyof typeof figures];
type Counts = Partial<Record<Exclude<Figure, "version">, number>>;

const encoder = new TextEncoder();
const topics = Object.entries(figures).map(([topic, figure]) => ({
  topic,
  figure,
  bytes: encoder.encode(topic),
}));
const dollar = 0x24;

export interface BrokerFiguresParts {
  remembered: Remembered;
  clock: Clock;
  log: Log;
  alarms: Alarms;
}

/** Drops that are no further apart than brokerDropsQuietMs. */
interface Episode {
  messages: number;
  fromMs: number;
  toMs: number;
  /** Boot-clock time of the last of them. */
  lastBootMs: number;
}

export class BrokerFigures {
  /** Topics that come for this only: the user's filters have the others, whose messages are stored as any. */
  #own: typeof topics = [];
  #version: string | undefined;
  #counts: Counts = {};
  #episode: Episode | undefined;
  /** Requests that the broker did not answer before the connection ended. */
  #inVain = 0;
  #askedMs = 0;

  constructor(private readonly parts: BrokerFiguresParts, userTopics: string[]) {
    this.reload(userTopics);
  }

  /** The user's filters have changed. */
  reload(userTopics: string[]): void {
    const filters = userTopics.map((filter) => new TopicFilter(filter));
    this.#own = topics.filter(({ bytes }) => !filters.some((one) => one.matches(bytes, 0, bytes.length)));
  }

  /** A connection begins: what the last broker said is over. */
  connected(): void {
    this.#version = undefined;
    this.#counts = {};
  }

  /** The connection stands, or stood until now. */
  stands(nowMs: number): void {
    const { drops } = this.parts.remembered;
    // the broker speaks up when the figure changes, so it has not
    if (drops !== undefined && this.#counts.dropped !== undefined) drops.knownMs = nowMs;
  }

  /** What to subscribe to at QoS 0, for one connection; none where asking has ended connections. */
  filters(): string[] {
    const nowMs = this.parts.clock.bootMs();
    if (this.#inVain >= figuresInVainMax && nowMs - this.#askedMs < figuresAgainMs) return [];
    return this.#own.map(({ topic }) => topic);
  }

  /** The broker is asked for them. There are brokers that close the connection instead of refusing. */
  asked(): void {
    this.#inVain++;
    this.#askedMs = this.parts.clock.bootMs();
  }

  /** It has answered, whatever it was: what it refuses is not shown. */
  answered(): void {
    this.#inVain = 0;
  }

  /** Whether a message comes for this only, so that it is neither counted nor stored. */
  own(topic: Uint8Array, qos: number): boolean {
    if (topic[0] !== dollar || qos !== 0) return false;
    return this.#own.some(({ bytes }) => sameTopic(bytes, topic));
  }

  /** A message came under a topic that begins with $; any other topic than the ones above is passed over. */
  hear(topic: Uint8Array, payload: Uint8Array): void {
    const figure = topics.find(({ bytes }) => sameTopic(bytes, topic))?.figure;
    if (figure === undefined || payload.length === 0 || payload.length > figureBytesMax) return;
    const text = new TextDecoder().decode(payload);
    if (figure === "version") {
      this.#version = text;
      return;
    }
    if (!/^\d{1,15}$/.test(text)) return;
    if (figure === "dropped") this.#hearDropped(Number(text));
    this.#counts[figure] = Number(text);
  }

  /** Undefined: the broker has told nothing. `connected`: what it said last still holds. */
  status(connected: boolean): BrokerStatus | undefined {
    this.#judge();
    const { drops } = this.parts.remembered;
    const counts: Counts = connected ? this.#counts : {};
    const { connected: clients, away, heldBytes } = counts;
    const shown: BrokerStatus = {
      ...(connected && this.#version !== undefined ? { version: this.#version } : {}),
      ...(clients === undefined ? {} : { clientsConnected: clients }),
      ...(away === undefined ? {} : { clientsAway: away }),
      ...(heldBytes === undefined ? {} : { heldBytes }),
      ...(drops === undefined ? {} : { dropped: drops.sum, droppedSinceMs: drops.sinceMs }),
      ...(drops?.lastMs === undefined ? {} : { lastDropMs: drops.lastMs }),
    };
    return Object.keys(shown).length === 0 ? undefined : shown;
  }

  #hearDropped(counter: number): void {
    const { remembered, clock } = this.parts;
    const nowMs = clock.wallMs();
    const known = remembered.drops;
    if (known === undefined) { // what was dropped before the agent came is nobody's news
      remembered.drops = { counter, knownMs: nowMs, sum: 0, sinceMs: nowMs };
      return;
    }
    // a broker that was started again counts from 0
    const messages = counter >= known.counter ? counter - known.counter : counter;
    // the same as before may be what it retained, from before the drops that it tells of next: that holds no longer than known
    if (messages === 0) return void (known.counter = counter);
    const { sum, sinceMs } = known;
    remembered.drops = { counter, knownMs: nowMs, sum: sum + messages, sinceMs, lastMs: nowMs };
    this.#judge();
    this.#raise({
      messages: (this.#episode?.messages ?? 0) + messages,
      fromMs: this.#episode?.fromMs ?? Math.min(known.knownMs, nowMs),
      toMs: nowMs,
      lastBootMs: clock.bootMs(),
    });
  }

  #raise(episode: Episode): void {
    const { alarms, log } = this.parts;
    this.#episode = episode;
    const { messages, fromMs, toMs } = episode;
    const count = `${countText(messages)} ${messages === 1 ? "message" : "messages"}`;
    const when = fromMs === toMs
      ? `at ${timeText(toMs)}`
      : `between ${timeText(fromMs)} and ${timeText(toMs)}`;
    const text = `the broker dropped ${count} ${when}: a client is away or slow, and its queue is full`;
    const remedy =
      'the broker\'s log names the client ("Outgoing messages are being dropped for client"): bring it back or end ' +
      "its session, or raise max_queued_messages (and max_queued_bytes) in the broker's configuration";
    if (alarms.raise("broker_drops", text, remedy)) log.warning("The broker drops messages", { messages });
  }

  /** Ends the alarm when nothing was dropped for long enough. */
  #judge(): void {
    const { alarms, clock } = this.parts;
    if (this.#episode === undefined) return;
    if (clock.bootMs() - this.#episode.lastBootMs < brokerDropsQuietMs) return;
    this.#episode = undefined;
    alarms.clear("broker_drops");
  }
}

function sameTopic(expected: Uint8Array, topic: Uint8Array): boolean {
  return sameBytes(expected, topic, 0, topic.length);
}
