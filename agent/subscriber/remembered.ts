/**
 * What the subscriber must know after a restart, in `session.json` beside the spool: whose session there should be, what is
 * subscribed, which protocol works, when it was last connected, and the possible gaps.
 */
import type { Files } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { reasonOf } from "../base/errors.ts";
import { possibleGapsMax, protocolAgainMs } from "../limits.ts";
import type { ProtocolVersion } from "./framing.ts";
import { type KnownSubscriptions, withoutGrants } from "./subscriptions.ts";

/** A span of wall time in which messages may have been missed, ms. */
export interface Gap {
  fromMs: number;
  toMs: number;
  why: string;
  /** The session was lost: at every QoS; else at QoS 0 only. */
  session: boolean;
}

/** The broker's own count of messages that it dropped, and what the agent has seen of it. */
export interface KnownDrops {
  /** What the broker said last, and until when that held. */
  counter: number;
  knownMs: number;
  /** Dropped since the agent first looked. */
  sum: number;
  sinceMs: number;
  /** When it was last seen to have dropped some; undefined: never. */
  lastMs?: number;
}

interface Content {
  format: 1;
  /** Whose session the rest is about; another URL or client id is another session. */
  url: string | undefined;
  clientId: string | undefined;
  /** The broker has, or should have, our session. */
  hasSession: boolean;
  protocol: ProtocolVersion | undefined;
  protocolSinceMs: number;
  lastConnectedMs: number | undefined;
  /** While queued messages are still coming: when the agent was last connected before they began to queue. */
  queuedFromMs: number | undefined;
  subscriptions: KnownSubscriptions;
  gaps: Gap[];
  sessionsLost: number;
  drops: KnownDrops | undefined;
}

function blank(): Content {
  return {
    format: 1,
    url: undefined,
    clientId: undefined,
    hasSession: false,
    protocol: undefined,
    protocolSinceMs: 0,
    lastConnectedMs: undefined,
    queuedFromMs: undefined,
    subscriptions: { filters: [], removed: [] },
    gaps: [],
    sessionsLost: 0,
    drops: undefined,
  };
}

export class Remembered {
  #saving: Promise<void> = Promise.resolve();
  #unsaved = false;
  #failing = false;

  private constructor(
    private readonly files: Files,
    private readonly path: string,
    private readonly log: Log,
    private content: Content,
  ) {}

  /** Reads the file. One that is absent is a first start; one that can't be understood is reported and begun anew. */
  static open(files: Files, path: string, log: Log): Remembered {
    const bytes = files.read(path);
    let content = blank();
    if (bytes !== undefined) {
      const found = parse(bytes);
      if (found === undefined) {
        log.warning("What was remembered of the session can't be read and is begun anew", { path });
      } else content = found;
    }
    return new Remembered(files, path, log, content);
  }

  /**
   * The broker and client id of the next connection. Returns whether they are those of the last one; if not, nothing that
   * is remembered of the session holds.
   */
  use(url: string, clientId: string): boolean {
    const { content } = this;
    if (content.url === url && content.clientId === clientId) return true;
    const { gaps, sessionsLost, lastConnectedMs } = content;
    this.content = { ...blank(), url, clientId, gaps, sessionsLost, lastConnectedMs };
    return false;
  }

  /** The broker has our session, or should have it. */
  get hasSession(): boolean {
    return this.content.hasSession;
  }

  get lastConnectedMs(): number | undefined {
    return this.content.lastConnectedMs;
  }

  /** The connection stands, or stood until now. */
  connectedAt(nowMs: number): void {
    this.content.lastConnectedMs = nowMs;
  }

  /**
   * A connection was accepted. Adds the possible gap before it, and returns when the messages that waited in the broker
   * began to wait: when the agent was last connected and had taken all that was queued before.
   */
  connected(sessionPresent: boolean, nowMs: number): number | undefined {
    const { content } = this;
    const { lastConnectedMs, hasSession } = content;
    if (lastConnectedMs !== undefined && hasSession) {
      const toMs = Math.max(nowMs, lastConnectedMs);
      this.#addGap({
        fromMs: lastConnectedMs,
        toMs,
        session: !sessionPresent,
        why: sessionPresent
          ? "not connected: what came at QoS 0 was not kept"
          : "the broker had lost the session: messages at every QoS may be missing",
      });
    }
    if (!sessionPresent) content.subscriptions = withoutGrants(content.subscriptions);
    content.queuedFromMs = sessionPresent ? content.queuedFromMs ?? lastConnectedMs : undefined;
    content.hasSession = true;
    content.lastConnectedMs = nowMs;
    return content.queuedFromMs;
  }

  /** All that had waited in the broker has come. */
  queueEmpty(): void {
    this.content.queuedFromMs = undefined;
  }

  get subscriptions(): KnownSubscriptions {
    return this.content.subscriptions;
  }
  set subscriptions(value: KnownSubscriptions) {
    this.content.subscriptions = value;
  }

  get drops(): KnownDrops | undefined {
    return this.content.drops;
  }
  set drops(value: KnownDrops) {
    this.content.drops = value;
  }

  get gaps(): Gap[] {
    return this.content.gaps;
  }

  get sessionsLost(): number {
    return this.content.sessionsLost;
  }

  /** The protocol to begin with: the one that worked, but MQTT 5 again after a day on 3.1.1 (brokers are upgraded). */
  protocol(nowMs: number): ProtocolVersion {
    const { protocol, protocolSinceMs } = this.content;
    return protocol === 4 && Math.abs(nowMs - protocolSinceMs) < protocolAgainMs ? 4 : 5;
  }

  protocolWorked(protocol: ProtocolVersion, nowMs: number): void {
    if (this.content.protocol === protocol && this.protocol(nowMs) === protocol) return;
    this.content.protocol = protocol;
    this.content.protocolSinceMs = nowMs;
  }

  /** Makes it durable; several calls in a row cost one write. A disk that refuses is reported once and tried again. */
  save(): Promise<void> {
    if (!this.#unsaved) {
      this.#unsaved = true;
      this.#saving = this.#saving.then(() => this.#write());
    }
    return this.#saving;
  }

  /** Beyond possibleGapsMax the oldest goes, those of lost sessions last. */
  #addGap(gap: Gap): void {
    const { gaps } = this.content;
    gaps.push(gap);
    if (gap.session) this.content.sessionsLost++;
    if (gaps.length <= possibleGapsMax) return;
    const oldest = gaps.findIndex((one) => !one.session);
    gaps.splice(Math.max(oldest, 0), 1);
  }

  async #write(): Promise<void> {
    this.#unsaved = false;
    try {
      await this.files.replace(
        this.path,
        new TextEncoder().encode(JSON.stringify(this.content, null, 1) + "\n"),
      );
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) {
        this.log.warning("What is known of the session can't be written", {
          path: this.path,
          reason: reasonOf(error),
        });
      }
      this.#failing = true;
    }
  }
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isText = (value: unknown): value is string => typeof value === "string";
const isQos = (value: unknown): value is 0 | 1 | 2 => value === 0 || value === 1 || value === 2;

function parse(bytes: Uint8Array): Content | undefined {
  let found: unknown;
  try {
    found = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof found !== "object" || found === null) return undefined;
  const it = found as Partial<Content>;
  if (it.format !== 1) return undefined;
  const list = <T>(value: unknown, holds: (one: T) => boolean): T[] =>
    Array.isArray(value) ? value.filter((one) => typeof one === "object" && one !== null && holds(one)) : [];
  const { subscriptions } = it;
  return {
    format: 1,
    url: isText(it.url) ? it.url : undefined,
    clientId: isText(it.clientId) ? it.clientId : undefined,
    hasSession: it.hasSession === true,
    protocol: it.protocol === 4 || it.protocol === 5 ? it.protocol : undefined,
    protocolSinceMs: isNumber(it.protocolSinceMs) ? it.protocolSinceMs : 0,
    lastConnectedMs: isNumber(it.lastConnectedMs) ? it.lastConnectedMs : undefined,
    queuedFromMs: isNumber(it.queuedFromMs) ? it.queuedFromMs : undefined,
    subscriptions: {
      filters: list(subscriptions?.filters, (one) => isText(one.filter) && isQos(one.qos)),
      ...(isNumber(subscriptions?.grantedMs) ? { grantedMs: subscriptions.grantedMs } : {}),
      removed: list(subscriptions?.removed, (one) => isText(one.filter)),
    },
    gaps: list<Gap>(it.gaps, (one) => isNumber(one.fromMs) && isNumber(one.toMs) && isText(one.why)),
    sessionsLost: isNumber(it.sessionsLost) ? it.sessionsLost : 0,
    drops: parseDrops(it.drops),
  };
}

function parseDrops(found: Partial<KnownDrops> | null | undefined): KnownDrops | undefined {
  const { counter, knownMs, sum, sinceMs, lastMs } = found ?? {};
  if (!isNumber(counter) || !isNumber(knownMs) || !isNumber(sum) || !isNumber(sinceMs)) return undefined;
  return { counter, knownMs, sum, sinceMs, ...(isNumber(lastMs) ? { lastMs } : {}) };
}
