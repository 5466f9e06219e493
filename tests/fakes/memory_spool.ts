/** A spool without a disk: for faults and stalls at chosen moments, which the real one can't be made to show. */
import type {
  Arrival,
  IncomingReading,
  SegmentInfo,
  SpoolApi,
  SpoolReader,
} from "../../agent/spool/spool_types.ts";

/** A stored reading, with copies of its bytes and the circumstances of its arrival. */
export interface Kept extends IncomingReading {
  arrival: Arrival;
}

type Pending = { kept: Kept } | { released: number } | "forget";

export class MemorySpool implements SpoolApi {
  readonly readings: Kept[] = [];
  /** Ids in the order in which their release became durable. */
  readonly releases: number[] = [];
  forgets = 0;
  commits = 0;
  /** Called by each commit before anything is stored; may wait, or throw what a disk throws. */
  onCommit: () => Promise<void> = () => Promise.resolve();
  #held = new Set<number>();
  #pending: Pending[] = [];
  #committing = false;

  isHeld(packetId: number): boolean {
    return this.#heldWithPending().has(packetId);
  }

  heldCount(): number {
    return this.#heldWithPending().size;
  }

  addReading(reading: IncomingReading, arrival: Arrival): void {
    const { topic, payload, properties } = reading;
    const copies = { topic: topic.slice(), payload: payload.slice(), properties: properties.slice() };
    this.#pending.push({ kept: { ...reading, ...copies, arrival } });
  }

  addRelease(packetId: number): void {
    this.#pending.push({ released: packetId });
  }

  addForget(): void {
    this.#pending.push("forget");
  }

  pendingBytes(): number {
    return this.#pending.length * 100;
  }

  pendingReadings(): number {
    return this.#pending.filter((one) => one !== "forget" && "kept" in one).length;
  }

  async commit(): Promise<void> {
    if (this.#committing) throw new Error("two commits at once");
    this.#committing = true;
    const pending = this.#pending;
    try {
      await this.onCommit();
      this.#held = this.#heldWithPending();
      this.#pending = [];
      this.commits++;
      for (const one of pending) {
        if (one === "forget") this.forgets++;
        else if ("kept" in one) this.readings.push(one.kept);
        else this.releases.push(one.released);
      }
    } catch (error) {
      this.#pending = [];
      throw error;
    } finally {
      this.#committing = false;
    }
  }

  nextSequence(): number {
    return this.readings.length + 1;
  }
  oldestSequence(): number {
    return 1;
  }
  sizeBytes(): number {
    return this.readings.reduce((sum, one) => sum + one.payload.length + one.topic.length + 80, 0);
  }
  segments(): SegmentInfo[] {
    return [];
  }
  reader(): SpoolReader {
    throw new Error("the memory spool is not read this way");
  }
  waitBeyond(): Promise<void> {
    throw new Error("the memory spool is not waited for");
  }
  remove(): Promise<void> {
    throw new Error("the memory spool has no segments");
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Held ids as of the last commit: what a restart would recover. */
  durablyHeld(): number[] {
    return [...this.#held];
  }

  #heldWithPending(): Set<number> {
    if (this.#pending.length === 0) return this.#held;
    const held = new Set(this.#held);
    for (const one of this.#pending) {
      if (one === "forget") held.clear();
      else if ("released" in one) held.delete(one.released);
      else if (one.kept.qos === 2) held.add(one.kept.packetId);
    }
    return held;
  }
}
