/**
 * Which messages waited in the broker while the agent was away. MQTT does not mark them; they are those at QoS 1 or 2 on
 * a resumed session before the agent's own marker came back, which was published after CONNACK and queued behind them.
 * Without a marker they are those before the first quiet second.
 */
import { quietMs } from "../limits.ts";

export class QueuedWatch {
  #waiting = false;
  #marked = false;
  /** Time spent waiting for the broker since its last message; time in which we did not read says nothing. */
  #quietMs = 0;

  /** `onEmpty` is called once a resumed session's queue is taken to be empty. */
  constructor(private readonly onEmpty: () => void = () => {}) {}

  /** A connection begins; `marked`: a marker will be published on it. */
  start(sessionPresent: boolean, marked: boolean): void {
    this.#waiting = sessionPresent;
    this.#marked = marked;
    this.#quietMs = 0;
  }

  /** The marker came back: what follows is new. */
  markerSeen(): void {
    this.#empty();
  }

  /** The broker refuses the marker, or does not give it back: the first quiet second has to do. */
  giveUpMarker(): void {
    this.#marked = false;
  }

  /** The socket was read, after waiting that long for something to come. */
  waited(timeMs: number): void {
    if (!this.#waiting) return;
    this.#quietMs += timeMs;
    if (!this.#marked && this.#quietMs >= quietMs) this.#empty();
  }

  /** Whether a message that arrives now was queued. */
  queued(qos: number): boolean {
    if (!this.#waiting || qos === 0) return false;
    this.#quietMs = 0;
    return true;
  }

  /** Whether messages at QoS 1 and 2 are still taken for queued ones. */
  get waiting(): boolean {
    return this.#waiting;
  }

  #empty(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.onEmpty();
  }
}
