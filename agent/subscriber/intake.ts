/**
 * What becomes of each message: stored, recognised as a repetition, or passed over; and which acknowledgement it gets once
 * the batch is durable. Knows QoS and sessions, no sockets.
 */
import type { Clock } from "../base/clock.ts";
import type { Arrival, IncomingReading, SpoolApi } from "../spool/spool_types.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import type { BrokerFigures } from "./broker_figures.ts";
import type { Counters } from "./counters.ts";
import type { ProtocolVersion } from "./framing.ts";
import type { QueuedWatch } from "./queued_watch.ts";
import { sameBytes, type TopicFilter } from "./topic_filter.ts";

/** What of the configuration the intake heeds; may change between two messages. */
export interface IntakeRules {
  exclude: TopicFilter[];
  /** The topic under which the agent publishes: its messages are dropped on arrival. */
  marker: Uint8Array | undefined;
}

const dollar = 0x24;

export interface IntakeParts {
  spool: SpoolApi;
  clock: Clock;
  counters: Counters;
  queued: QueuedWatch;
  figures: Pick<BrokerFigures, "hear" | "own">;
  /** Called with the payload of each message under the marker's topic. */
  onMarker: (payload: Uint8Array) => void;
}

export class Intake {
  readonly acknowledgements = new Acknowledgements();
  /** Ids of messages at QoS 2 that were acknowledged without a record, until they are released. */
  readonly #unrecorded = new Set<number>();
  #version: ProtocolVersion = 5;
  #lastConnectedMs: number | undefined;
  #arrivals: { live: Arrival; queued: Arrival } | undefined;
  #qos0Pending = 0;
  #commitNeeded = false;
  /** Stays set when the disk was full, until a connection on which forgetting became durable. */
  #forgetNeeded = false;

  constructor(private readonly parts: IntakeParts, public rules: IntakeRules) {}

  /** A new connection begins: nothing of the last one is acknowledged on it. */
  reset(): void {
    this.acknowledgements.clear();
  }

  /** CONNACK came. Without a session the broker knows none of the held ids: they are forgotten before anything else. */
  connected(version: ProtocolVersion, sessionKept: boolean, lastConnectedMs: number | undefined): void {
    this.#version = version;
    this.#lastConnectedMs = lastConnectedMs;
    if (!sessionKept) {
      this.#unrecorded.clear();
      this.#forgetNeeded = true;
    }
    if (!this.#forgetNeeded) return;
    if (this.parts.spool.heldCount() === 0) {
      this.#forgetNeeded = false;
      return;
    }
    this.parts.spool.addForget();
    this.#commitNeeded = true;
  }

  /** What is read from now on arrives now. */
  beginBatch(): void {
    this.#arrivals = undefined;
  }

  /** One PUBLISH. The arrays of `reading` are read during the call only. */
  message(reading: IncomingReading): void {
    const { counters, spool, queued, figures } = this.parts;
    const { topic, qos, packetId } = reading;
    const { marker } = this.rules;
    if (marker !== undefined && sameBytes(marker, topic, 0, topic.length)) {
      this.parts.onMarker(reading.payload);
      return this.#passOver(qos, packetId);
    }
    if (topic[0] === dollar) {
      if (!reading.duplicate) figures.hear(topic, reading.payload); // a repetition may be older than what was heard
      if (figures.own(topic, qos)) return;
    }
    counters.received++;
    const waited = queued.queued(qos);
    if (this.#excluded(topic)) {
      counters.excluded++;
      return this.#passOver(qos, packetId);
    }
    if (qos === 2) {
      // With DUP 0 a held id names a new message: the broker lost its state and began to count at 1 again
      if (reading.duplicate && (spool.isHeld(packetId) || this.#unrecorded.has(packetId))) {
        counters.duplicates++;
        return this.acknowledgements.pubrec(packetId);
      }
      this.#unrecorded.delete(packetId);
    }
    const arrivals = this.#arrivals ??= this.#arriveNow();
    spool.addReading(reading, waited ? arrivals.queued : arrivals.live);
    this.#commitNeeded = true;
    if (reading.truncated) counters.truncated++;
    if (qos === 0) this.#qos0Pending++;
    else if (qos === 1) this.acknowledgements.puback(packetId);
    else this.acknowledgements.pubrec(packetId);
  }

  /** One PUBLISH that was read and can't be stored any more: the broker repeats it, unless it came at QoS 0. */
  lose(reading: IncomingReading): void {
    const { topic, qos } = reading;
    if (qos === 0 && !this.#excluded(topic) && !this.parts.figures.own(topic, qos)) {
      this.parts.counters.qos0Lost++;
    }
  }

  /** One PUBREL. */
  release(packetId: number): void {
    const { spool } = this.parts;
    if (spool.isHeld(packetId)) {
      spool.addRelease(packetId);
      this.#commitNeeded = true;
    } else if (!this.#unrecorded.delete(packetId) && this.#version === 5) {
      return this.acknowledgements.pubcompNotFound(packetId);
    }
    this.acknowledgements.pubcomp(packetId);
  }

  /** Makes the batch durable; the acknowledgements may leave when this returns. Throws what `SpoolApi.commit` throws. */
  async commit(): Promise<void> {
    if (!this.#commitNeeded) return;
    this.#commitNeeded = false;
    try {
      await this.parts.spool.commit();
      this.#forgetNeeded = false;
    } catch (error) {
      this.parts.counters.qos0Lost += this.#qos0Pending;
      this.acknowledgements.clear();
      throw error;
    } finally {
      this.#qos0Pending = 0;
    }
  }

  #excluded(topic: Uint8Array): boolean {
    const { exclude } = this.rules;
    for (let i = 0; i < exclude.length; i++) {
      if (exclude[i]!.matches(topic, 0, topic.length)) return true;
    }
    return false;
  }

  /** A message without a record is acknowledged all the same. */
  #passOver(qos: 0 | 1 | 2, packetId: number): void {
    if (qos === 1) this.acknowledgements.puback(packetId);
    if (qos !== 2) return;
    this.#unrecorded.add(packetId);
    this.acknowledgements.pubrec(packetId);
  }

  #arriveNow(): { live: Arrival; queued: Arrival } {
    const { clock } = this.parts;
    const live: Arrival = {
      wallMs: clock.wallMs(),
      bootMs: clock.bootMs(),
      bootId: clock.bootId,
      synchronised: clock.synchronised(),
      queued: false,
      lastConnectedMs: undefined,
    };
    return { live, queued: { ...live, queued: true, lastConnectedMs: this.#lastConnectedMs } };
  }
}
