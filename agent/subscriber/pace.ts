/**
 * How long to wait before the socket is read again. A pause lets what trickles in gather, so that one sync serves many
 * messages; but a broker that sends no more than 20 unacknowledged messages would be held to 20 a pause. So now and then the
 * pause is left out for a moment, and for longer where that brings clearly more messages.
 */
import { largeBatchBytes, paceCheckMs, paceIdleMs, paceProbeMs, paceRunMs, paceSkipMax } from "../limits.ts";

/** Messages over a span of time that begins with a batch whose own messages belong to what was before. */
class Span {
  #startMs: number | undefined;
  #messages = 0;
  elapsedMs = 0;

  clear(): void {
    this.#startMs = undefined;
    this.#messages = 0;
    this.elapsedMs = 0;
  }

  add(messages: number, nowMs: number): void {
    if (this.#startMs === undefined) this.#startMs = nowMs;
    else this.#messages += messages;
    this.elapsedMs = nowMs - this.#startMs;
  }

  get perMs(): number {
    return this.elapsedMs > 0 ? this.#messages / this.elapsedMs : 0;
  }
}

export class Pace {
  #state: "pausing" | "probing" | "running" = "pausing";
  /** With pauses, and without. The broker's system may hold small packets back during a pause: they come right after it. */
  readonly #pausing = new Span();
  readonly #unpaused = new Span();
  /** Pauses before the next probe; doubles with each that is in vain. */
  #pauses = 2;
  #left = 2;
  #runUntilMs = 0;

  /** `nowMs` never steps and shows fractions of a millisecond. */
  constructor(
    private readonly windowMs: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /**
   * A batch has been acknowledged: how long to wait before the next read, ms. `waitedMs`: how long its read had to wait for
   * the first byte.
   */
  pauseMs(batchBytes: number, batchMessages: number, waitedMs: number): number {
    const nowMs = this.nowMs();
    if (batchBytes >= largeBatchBytes) {
      (this.#state === "pausing" ? this.#pausing : this.#unpaused).add(batchMessages, nowMs);
      return 0;
    }
    if (this.#state === "pausing") {
      // nothing was there after the pause: the broker had no more to send, so the pause held nothing up
      if (waitedMs > paceIdleMs) return this.#pause(this.#pauses);
      // what a connection begins with says nothing about how many messages come in pauses
      if (batchMessages === 0) return this.windowMs;
      this.#pausing.add(batchMessages, nowMs);
      if (this.#left-- > 0) return this.windowMs;
      this.#state = "probing";
      this.#unpaused.clear();
      return 0;
    }
    this.#unpaused.add(batchMessages, nowMs);
    const { elapsedMs, perMs } = this.#unpaused;
    if (elapsedMs < (this.#state === "probing" ? paceProbeMs : paceCheckMs)) return 0;
    const worthwhile = perMs > 2 * this.#pausing.perMs;
    if (!worthwhile) return this.#pause(Math.min(this.#pauses * 2, paceSkipMax));
    if (this.#state === "probing") this.#runUntilMs = nowMs + paceRunMs;
    else if (nowMs >= this.#runUntilMs) return this.#pause(2); // what pauses would bring by now shows only with pauses
    this.#state = "running";
    this.#unpaused.clear();
    return 0;
  }

  #pause(pauses: number): number {
    this.#state = "pausing";
    this.#pauses = pauses;
    this.#left = pauses - 1;
    this.#pausing.clear();
    this.#pausing.add(0, this.nowMs());
    return this.windowMs;
  }
}
