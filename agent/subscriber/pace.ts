/**
 * How long to wait before the socket is read again. A pause lets what trickles in gather, so that one sync serves many
 * messages; but a broker that sends no more than 20 unacknowledged messages would be held to 20 a pause. So now and then the
 * pause is left out for a moment, and for longer where that brings clearly more messages.
 */
import { largeBatchBytes, paceProbeMs, paceRunMs, paceSkipMax } from "../limits.ts";

export class Pace {
  #state: "pausing" | "probing" | "running" = "pausing";
  /** Messages per ms of the last cycle with a pause. */
  #pausingRate = 0;
  #cyclesToProbe = 1;
  #skip = 1;
  #cycleStartMs: number;
  #sliceStartMs = 0;
  #sliceMessages = 0;

  /** `nowMs` never steps and shows fractions of a millisecond. */
  constructor(
    private readonly windowMs: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#cycleStartMs = nowMs();
  }

  /** A batch has been acknowledged: how long to wait before the next read, ms. */
  pauseMs(batchBytes: number, batchMessages: number): number {
    const nowMs = this.nowMs();
    if (batchBytes >= largeBatchBytes) {
      this.#cycleStartMs = nowMs;
      return 0;
    }
    if (this.#state !== "pausing") return this.#runOn(nowMs, batchMessages);
    this.#pausingRate = batchMessages / Math.max(nowMs - this.#cycleStartMs, 0.001);
    this.#cycleStartMs = nowMs;
    if (--this.#cyclesToProbe > 0) return this.windowMs;
    this.#state = "probing";
    this.#startSlice(nowMs);
    return 0;
  }

  #runOn(nowMs: number, batchMessages: number): number {
    this.#sliceMessages += batchMessages;
    const elapsedMs = nowMs - this.#sliceStartMs;
    if (elapsedMs < (this.#state === "probing" ? paceProbeMs : paceRunMs)) return 0;
    const worthwhile = this.#state === "probing" && this.#sliceMessages > 2 * this.#pausingRate * elapsedMs;
    if (worthwhile && this.#sliceMessages > 1) {
      this.#state = "running";
      this.#skip = 1;
      this.#startSlice(nowMs);
      return 0;
    }
    // a probe in vain makes the next one rarer; after a run one pause shows what pausing brings now
    if (this.#state === "probing") this.#skip = Math.min(this.#skip * 2, paceSkipMax);
    this.#state = "pausing";
    this.#cyclesToProbe = this.#skip;
    this.#cycleStartMs = nowMs;
    return this.windowMs;
  }

  #startSlice(nowMs: number): void {
    this.#sliceStartMs = nowMs;
    this.#sliceMessages = 0;
  }
}
