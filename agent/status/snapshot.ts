/**
 * The one snapshot that socket, CLI and (later) metrics and web page show. Times are ms since 1970, durations ms,
 * sizes bytes. Stages import these types only (`import type`); the pipeline assembles the whole.
 */
import type { Alarm } from "../base/alarms.ts";
import type { Synchronised } from "../base/clock.ts";

export type { Alarm };

export interface SubscriberStatus {
  state: "no broker configured" | "connecting" | "connected" | "listening" | "paused" | "waiting" | "stopped";
  /** Why it is paused or waiting: "spool full", the last error. */
  reason?: string;
  url?: string;
  /** Connected to the agent's own broker. */
  clients?: number;
  clientId?: string;
  protocol?: "MQTT 5" | "MQTT 3.1.1";
  connectedSinceMs?: number;
  lastConnectedMs?: number;
  nextTryMs?: number;
  sessionPresent?: boolean;
  filters: { filter: string; granted: "pending" | "refused" | 0 | 1 | 2 }[];
  /** Since start. */
  received: number;
  acknowledged: number;
  excluded: number;
  duplicates: number;
  truncated: number;
  /** QoS 0 messages that were read but could not be stored. */
  qos0Lost: number;
  reconnects: number;
  /** Spans in which messages may have been missed: lost sessions at every QoS, disconnected times at QoS 0; persisted. */
  possibleGaps: { fromMs: number; toMs: number; why: string }[];
  /** How often a session that should have been there was not, persisted. */
  sessionsLost?: number;
  lastMessageMs?: number;
  broker?: BrokerStatus;
  /** Mean of the last minute, messages per second. */
  ratePerS: number;
  alarms: Alarm[];
}

/** What the broker tells of itself under `$SYS`; each part is absent where it does not, or has not yet. */
export interface BrokerStatus {
  /** As it calls itself: `mosquitto version 2.0.11`. */
  version?: string;
  /** Clients connected, the agent among them. */
  clientsConnected?: number;
  /** Clients that are away and for whose sessions it keeps messages. */
  clientsAway?: number;
  /** Payloads that it holds: queued for clients, and retained. */
  heldBytes?: number;
  /** Messages that it dropped since `droppedSinceMs`, when the agent first looked; persisted. */
  dropped?: number;
  droppedSinceMs?: number;
  /** When the agent last saw that it had dropped some. */
  lastDropMs?: number;
}

export interface SpoolStatus {
  dir: string;
  sizeBytes: number;
  maxSizeBytes: number;
  freeBytes: number;
  minFreeBytes: number;
  segments: number;
  oldestSequence: number;
  nextSequence: number;
  /** All readings ever stored: nextSequence - 1. */
  stored: number;
  full: boolean;
  fullReason?: string;
  whenFull: "block" | "drop_oldest";
  /** At the growth of the last minutes, if nothing were shipped; undefined when nothing grows. */
  lastsMs?: number;
  bytesPerS: number;
  setAside: string[];
  heldIds: number;
  alarms: Alarm[];
}

export interface OutputStatus {
  name: string;
  type: string;
  place: string;
  state: "starting" | "well" | "waiting for clock" | "retrying" | "paused";
  reason?: string;
  sinceMs?: number;
  nextTryMs?: number;
  /** stored = confirmed + waiting + dead + dropped + damaged */
  stored: number;
  confirmed: number;
  waiting: number;
  dead: number;
  dropped: number;
  damaged: number;
  droppedWhy: Record<string, number>;
  /** Age of the oldest waiting reading's arrival, ms. */
  lagMs?: number;
  lastConfirmedMs?: number;
  lastError?: { atMs: number; text: string };
  ratePerS: number;
  alarms: Alarm[];
}

export interface Snapshot {
  version: string;
  plant: string;
  pid: number;
  startedMs: number;
  nowMs: number;
  clock: { synchronised: Synchronised; bootId: string; decision: string };
  memoryBytes: number;
  subscriber: SubscriberStatus;
  spool: SpoolStatus;
  outputs: OutputStatus[];
  /** All alarms of all parts, what needs attention first. */
  alarms: Alarm[];
}
