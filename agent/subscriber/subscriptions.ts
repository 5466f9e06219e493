/** Which filters to subscribe and unsubscribe on a connection: pure decisions from what is wanted and remembered. */
import { resubscribeMs } from "../limits.ts";
import type { ProtocolVersion } from "./framing.ts";

export interface Subscription {
  filter: string;
  qos: 0 | 1 | 2;
  /** What the broker answered last: the granted QoS, or a reason code from 128 on. */
  granted?: number;
}

/** What is known of the session's subscriptions. */
export interface KnownSubscriptions {
  /** Subscribed, or about to be when the agent ended. */
  filters: Subscription[];
  /** Wall time at which the broker first granted all of these, ms; undefined: not yet. */
  grantedMs?: number;
  /** Taken out; `doneMs`: when the broker first confirmed it. A killed broker may come back with a database that has them. */
  removed: { filter: string; doneMs?: number }[];
}

export interface SubscriptionPlan {
  subscribe: Subscription[];
  unsubscribe: string[];
}

/** The filters of the configuration at its QoS, each once, and the marker's own topic at QoS 1. */
export function wantedSubscriptions(
  settings: { topics: string[]; qos: 0 | 1 | 2 },
  marker: string | undefined,
): Subscription[] {
  const wanted = new Map<string, Subscription>();
  for (const filter of settings.topics) wanted.set(filter, { filter, qos: settings.qos });
  // at QoS 1, so that it queues behind the others; by name, because a shared subscription may give it to somebody else
  if (marker !== undefined && !wanted.has(marker)) wanted.set(marker, { filter: marker, qos: 1 });
  return [...wanted.values()];
}

/** Not long ago, also when the wall clock was set back since. */
function recent(atMs: number | undefined, nowMs: number): boolean {
  return atMs === undefined || nowMs - atMs < resubscribeMs;
}

/** The known subscriptions when `wanted` is to be subscribed: written down before the broker is asked. */
export function intended(
  known: KnownSubscriptions,
  wanted: Subscription[],
  nowMs: number,
): KnownSubscriptions {
  const names = new Set(wanted.map((one) => one.filter));
  const gone = known.filters.map((one) => one.filter).filter((filter) => !names.has(filter));
  const removed = [
    ...known.removed.filter((one) =>
      !names.has(one.filter) && !gone.includes(one.filter) && recent(one.doneMs, nowMs)
    ),
    ...gone.map((filter) => ({ filter })),
  ].slice(-1_000);
  const same = sameSubscriptions(known.filters, wanted);
  return {
    filters: same ? known.filters : wanted,
    removed,
    ...(same && known.grantedMs !== undefined ? { grantedMs: known.grantedMs } : {}),
  };
}

/** Whether both hold the same filters at the same QoS, in whatever order. */
export function sameSubscriptions(one: Subscription[], other: Subscription[]): boolean {
  const key = ({ filter, qos }: Subscription) => `${qos} ${filter}`;
  const keys = new Set(one.map(key));
  return keys.size === other.length && other.every((subscription) => keys.has(key(subscription)));
}

/** The known subscriptions after the broker's answer to SUBSCRIBE, one code per filter. */
export function granted(
  known: KnownSubscriptions,
  codes: Map<string, number>,
  nowMs: number,
): KnownSubscriptions {
  const filters = known.filters.map((one) => {
    const code = codes.get(one.filter);
    return code === undefined ? one : { ...one, granted: code };
  });
  const all = filters.every((one) => one.granted !== undefined && one.granted < 128);
  return { ...known, filters, ...(all && known.grantedMs === undefined ? { grantedMs: nowMs } : {}) };
}

/** The known subscriptions when the broker has a new session, in which nothing is granted yet. */
export function withoutGrants({ filters, removed }: KnownSubscriptions): KnownSubscriptions {
  return { filters: filters.map(({ filter, qos }) => ({ filter, qos })), removed };
}

/** The known subscriptions after the broker's answer to UNSUBSCRIBE. */
export function unsubscribed(known: KnownSubscriptions, nowMs: number): KnownSubscriptions {
  return {
    ...known,
    removed: known.removed.map((one) => ({ filter: one.filter, doneMs: one.doneMs ?? nowMs })),
  };
}

/**
 * The known subscriptions when `filters` are to be subscribed for one connection only. They are written down as taken out:
 * whoever goes on with the session, an agent of an earlier version too, then takes them out first.
 */
export function lent(known: KnownSubscriptions, filters: string[]): KnownSubscriptions {
  const others = known.removed.filter((one) => !filters.includes(one.filter));
  return { ...known, removed: [...others, ...filters.map((filter) => ({ filter }))] };
}

/**
 * What to ask of the broker on a new connection, from `known` as `intended` made it. MQTT 5: everything each time, which
 * costs nothing with Retain Handling 1. MQTT 3.1.1 would send all retained messages again: there only a session that may
 * lack filters is subscribed again, a new one or one whose filters changed within resubscribeMs.
 */
export function planSubscriptions(
  known: KnownSubscriptions,
  { version, sessionPresent, nowMs }: { version: ProtocolVersion; sessionPresent: boolean; nowMs: number },
): SubscriptionPlan {
  const all = version === 5 || !sessionPresent || recent(known.grantedMs, nowMs);
  return {
    subscribe: all ? known.filters : [],
    unsubscribe: sessionPresent ? known.removed.map((one) => one.filter) : [],
  };
}
