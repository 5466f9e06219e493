/** What happens on a new connection once the broker has accepted it: subscriptions, then the marker; and again after a reload. */
import type { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { refusedRetryMs } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import type { SubscriberStatus } from "../status/snapshot.ts";
import type { BrokerFigures } from "./broker_figures.ts";
import { reasonName } from "./control_packet.ts";
import type { ProtocolVersion } from "./framing.ts";
import { Marker, markerTopic } from "./marker.ts";
import type { QueuedWatch } from "./queued_watch.ts";
import type { Remembered } from "./remembered.ts";
import type { Session } from "./session.ts";
import {
  granted,
  intended,
  lent,
  planSubscriptions,
  sameSubscriptions,
  type Subscription,
  unsubscribed,
  wantedSubscriptions,
} from "./subscriptions.ts";

export interface SubscribingParts {
  remembered: Remembered;
  queued: QueuedWatch;
  figures: BrokerFigures;
  clock: Clock;
  log: Log;
  alarms: Alarms;
  agentVersion: string;
}

/** The connection on which to subscribe. */
export interface Ready {
  session: Session;
  version: ProtocolVersion;
  sessionPresent: boolean;
  closed: AbortSignal;
}

export class Subscribing {
  #ready: Ready | undefined;
  #marker: Marker | undefined;
  /** One exchange with the broker at a time. */
  #turn: Promise<void> = Promise.resolve();

  constructor(private readonly parts: SubscribingParts, private settings: MqttSettings) {}

  /** Topics, QoS or status topic may have changed; takes effect at once where there is a connection that stays. */
  reload(settings: MqttSettings, connectionStays: boolean): void {
    this.settings = settings;
    const ready = this.#ready;
    if (!connectionStays || ready === undefined || ready.closed.aborted) return;
    const { filters } = this.parts.remembered.subscriptions;
    const changed = !sameSubscriptions(filters, this.#wanted());
    if (changed) this.#next(() => this.#subscribe({ ...ready, sessionPresent: true }, true));
  }

  /** A connection stands: subscribes, keeps trying for refused filters, and sends the marker. Never rejects. */
  async begin(ready: Ready): Promise<void> {
    this.#ready = ready;
    await this.#next(() => this.#subscribe(ready, false));
    if (ready.sessionPresent) this.#sendMarker(ready);
    while (!ready.closed.aborted) {
      await this.parts.clock.sleep(refusedRetryMs, ready.closed);
      if (!ready.closed.aborted && this.#refused().length > 0) {
        await this.#next(() => this.#ask(ready, this.#refused()));
      }
    }
  }

  /** A message came under the marker's topic. */
  meetMarker(payload: Uint8Array): void {
    if (this.#marker?.meets(payload) !== true) return;
    this.parts.queued.markerSeen();
    this.parts.alarms.clear("marker_missing");
  }

  /** For status: each configured filter and what the broker granted. */
  filters(): SubscriberStatus["filters"] {
    const known = new Map(this.parts.remembered.subscriptions.filters.map((one) => [one.filter, one]));
    return [...new Set(this.settings.topics)].map((filter) => ({
      filter,
      granted: shownGrant(known.get(filter)),
    }));
  }

  #wanted(): Subscription[] {
    return wantedSubscriptions(this.settings, markerTopic(this.settings.statusTopic));
  }

  #next(work: () => Promise<void>): Promise<void> {
    return this.#turn = this.#turn.then(work);
  }

  async #subscribe(ready: Ready, everything: boolean): Promise<void> {
    const { remembered, clock, log } = this.parts;
    const { session, version, sessionPresent, closed } = ready;
    const nowMs = clock.wallMs();
    const wanted = this.#wanted();
    const known = remembered.subscriptions;
    remembered.subscriptions = intended(known, wanted, nowMs);
    if (remembered.subscriptions.filters !== known.filters || remembered.subscriptions.removed.length > 0) {
      await remembered.save(); // before the broker learns of it: what it has and we don't know would never be taken out
    }
    const plan = planSubscriptions(remembered.subscriptions, { version, sessionPresent, nowMs });
    if (plan.unsubscribe.length > 0 && !closed.aborted) {
      try {
        await session.unsubscribe(plan.unsubscribe);
        remembered.subscriptions = unsubscribed(remembered.subscriptions, clock.wallMs());
        await remembered.save();
      } catch (error) {
        if (!closed.aborted) {
          log.warning("Old filters could not be unsubscribed", { reason: reasonOf(error) });
        }
      }
    }
    await this.#ask(ready, everything ? remembered.subscriptions.filters : plan.subscribe);
    await this.#askFigures(ready);
  }

  /** Asks what the broker says of itself. That it refuses is no fault, and nothing waits for its answer. */
  async #askFigures({ session, closed }: Ready): Promise<void> {
    const { remembered, figures, log } = this.parts;
    const filters = figures.filters();
    if (closed.aborted || filters.length === 0) return;
    remembered.subscriptions = lent(remembered.subscriptions, filters);
    await remembered.save();
    if (closed.aborted) return;
    figures.asked();
    const asked = session.subscribe(filters.map((filter) => ({ filter, qos: 0 })), 0);
    this.#asking = asked.then((grants) => {
      figures.answered();
      const refused = grants.filter(({ code }) => code >= 128).map(({ filter }) => filter);
      if (refused.length === 0) return;
      log.info("The broker does not tell everything of itself", { refused: refused.join(", ") });
    }, () => {}); // the connection is over
  }

  async #ask({ session, closed }: Ready, subscriptions: Subscription[]): Promise<void> {
    const { remembered, clock, log } = this.parts;
    if (closed.aborted || subscriptions.length === 0) return;
    try {
      const grants = await session.subscribe(subscriptions);
      const codes = new Map(grants.map(({ filter, code }) => [filter, code]));
      remembered.subscriptions = granted(remembered.subscriptions, codes, clock.wallMs());
      this.#report(subscriptions, codes);
      await remembered.save();
    } catch (error) {
      if (!closed.aborted) log.warning("The broker did not answer SUBSCRIBE", { reason: reasonOf(error) });
    }
  }

  #refused(): Subscription[] {
    return this.parts.remembered.subscriptions.filters.filter((one) => (one.granted ?? 0) >= 128);
  }

  #report(asked: Subscription[], codes: Map<string, number>): void {
    const { alarms, log } = this.parts;
    for (const { filter, qos } of asked) {
      const code = codes.get(filter)!;
      if (code < qos) {
        log.warning("The broker grants a filter less than was asked", { filter, qos, granted: code });
      }
    }
    const refused = this.#refused();
    if (refused.length === 0) {
      alarms.clear("filter_refused");
      return;
    }
    const text = refused.map((one) => `${one.filter}: ${reasonName(one.granted!)}`).join("; ");
    const remedy =
      "let the broker's access list grant the agent these filters, or take them out of mqtt.topics";
    if (alarms.raise("filter_refused", `the broker refuses to deliver ${text}`, remedy)) {
      log.error("The broker refuses a filter", { filters: text });
    }
  }

  #sendMarker({ session, closed }: Ready): void {
    const { queued, clock, alarms, log, agentVersion } = this.parts;
    const topic = markerTopic(this.settings.statusTopic);
    if (topic === undefined || !queued.waiting) return;
    const marker = new Marker({
      topic,
      version: agentVersion,
      clock,
      publish: (to, payload) => session.publish(to, payload),
      onHopeless: () => queued.giveUpMarker(),
      onMissing: (reason) => {
        const text = `the agent's marker under ${topic} did not come back: ${reason}`;
        const remedy =
          `let the broker's access list grant the agent to write and read ${topic}, or remove mqtt.status_topic`;
        if (alarms.raise("marker_missing", text, remedy)) {
          log.warning("The marker did not come back", { topic, reason });
        }
      },
    });
    this.#marker = marker;
    // it ends with the connection and never rejects
    this.#running = marker.run(closed);
  }

  #running: Promise<void> = Promise.resolve();
  #asking: Promise<void> = Promise.resolve();

  /** Resolves when nothing of the last connection is under way any more. */
  async settled(): Promise<void> {
    await this.#turn;
    await Promise.all([this.#running, this.#asking]);
  }
}

function shownGrant(subscription: Subscription | undefined): SubscriberStatus["filters"][number]["granted"] {
  const code = subscription?.granted;
  if (code === undefined) return "pending";
  return code === 0 || code === 1 || code === 2 ? code : "refused";
}
