/** Readings, and a shipper's surroundings, for unit tests: the real spool and states on a disk in memory. */
import { ClockDecisions } from "../../agent/shipper/clock_decisions.ts";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { OutputStates } from "../../agent/shipper/output_state.ts";
import { Reserve } from "../../agent/base/reserve.ts";
import { Spool } from "../../agent/spool/spool.ts";
import type { Arrival, IncomingReading, Reading } from "../../agent/spool/spool_types.ts";
import { setImmediate } from "node:timers";
import { FakeClock } from "../fakes/fake_clock.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

export const encoder = new TextEncoder();
export const none = new Uint8Array(0);
export const bytes = (content: string | Uint8Array) =>
  typeof content === "string" ? encoder.encode(content) : content;

/** 2 January 2026, 03:04:05.678 UTC. */
export const arrivalMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

export type ReadingParts = Partial<Omit<Reading, "topic" | "payload">> & {
  topic?: string | Uint8Array;
  payload?: string | Uint8Array;
};

export function makeReading(parts: ReadingParts = {}): Reading {
  return {
    ...{ segmentId: "0123456789abcdef", sequence: 77, qos: 1, retain: false, duplicate: false },
    ...{ truncated: false, queued: false, packetId: 9, bootId: "ab".repeat(16), bootMs: 5_000 },
    ...{ wallMs: arrivalMs, synchronised: "yes", properties: none },
    ...parts,
    topic: bytes(parts.topic ?? "hall/press/temperature"),
    payload: bytes(parts.payload ?? "21.5"),
  };
}

export function makeOutgoing(parts: ReadingParts = {}, more: Partial<Outgoing> = {}): Outgoing {
  const reading = makeReading(parts);
  return {
    reading,
    arrivalMs: reading.wallMs,
    mark: "synced",
    startMs: undefined,
    target: "mqtt-%Y.%m.%d",
    ...more,
  };
}

export interface Message {
  topic?: string;
  payload?: string | Uint8Array;
  qos?: 0 | 1 | 2;
  retain?: boolean;
  queued?: boolean;
  lastConnectedMs?: number;
  properties?: Uint8Array;
}

/** Nothing here waits for more than promises, so that a turn of the event loop is enough for what is due to have run. */
export class QuickClock extends FakeClock {
  override async settle(): Promise<void> {
    for (let i = 0; i < 3; i++) await new Promise<void>((done) => void setImmediate(done));
  }
}

/** Spool, states and clock decisions over one disk; `reopen` is what a restart does. */
export class Surroundings {
  spool!: Spool;
  states!: OutputStates;
  reserve!: Reserve;
  decisions!: ClockDecisions;

  private constructor(
    readonly files: FakeFiles,
    readonly clock: FakeClock,
    readonly log: MemoryLog,
    private readonly segmentBytes: number | undefined,
  ) {}

  static async open(
    parts: { files?: FakeFiles; clock?: FakeClock; segmentBytes?: number } = {},
  ): Promise<Surroundings> {
    const { files = new FakeFiles(), clock = new QuickClock(), segmentBytes } = parts;
    const made = new Surroundings(files, clock, new MemoryLog(), segmentBytes);
    await made.reopen();
    return made;
  }

  async reopen(): Promise<void> {
    const { files, log, clock, segmentBytes } = this;
    files.makeFolder("/spool");
    this.reserve = await Reserve.open(files, "/spool/reserve", 64 * 1024);
    this.states = await OutputStates.open({ files, dir: "/spool/outputs", reserve: this.reserve, log });
    const floorSequence = this.states.floorSequence();
    this.spool = await Spool.open({
      files,
      dir: "/spool",
      log,
      floorSequence,
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
    });
    const { reserve, spool } = this;
    this.decisions = await ClockDecisions.open({
      files,
      path: "/spool/clock.json",
      reserve,
      clock,
      log,
      spool,
    });
  }

  /** Stores messages in one batch, as they would arrive now. */
  async store(...messages: Message[]): Promise<void> {
    const { clock, spool } = this;
    for (const message of messages) {
      const arrival: Arrival = {
        wallMs: clock.wallMs(),
        bootMs: clock.bootMs(),
        bootId: clock.bootId,
        synchronised: clock.synchronised(),
        queued: message.queued ?? false,
        lastConnectedMs: message.lastConnectedMs,
      };
      const incoming: IncomingReading = {
        ...{ qos: message.qos ?? 1, retain: message.retain ?? false, duplicate: false, packetId: 1 },
        ...{ properties: message.properties ?? none, truncated: false },
        topic: bytes(message.topic ?? "hall/press/temperature"),
        payload: bytes(message.payload ?? "21.5"),
      };
      spool.addReading(incoming, arrival);
    }
    await spool.commit();
  }

  /** Stores that many messages with the payloads "1", "2", … */
  async storeNumbers(count: number): Promise<void> {
    await this.store(...Array.from({ length: count }, (_, i) => ({ payload: String(i + 1) })));
  }

  /** All readings on disk. */
  readings(): Reading[] {
    const reader = this.spool.reader(this.spool.oldestSequence());
    const { readings } = reader.next(100_000, 100_000_000);
    reader.close();
    return readings;
  }
}
