/**
 * Keep-alive (3.1.2.10), in place of npm:mqtt's: that one knows nothing of the messages that the gate takes, nor that the
 * disk may be waited for, and puts its next PINGREQ off when an answer comes late.
 */

export interface KeepAliveParts {
  /** The interval that the broker expects; 0 means none. */
  intervalS: number;
  ping: () => void;
  /** Whether the connection showed life since this was asked last. */
  alive: () => boolean;
  onDead: () => void;
}

/** Halves of an interval without a sign of life that end the connection: in them a PINGREQ stayed without an answer. */
const silentMax = 3;

/** Sends PINGREQ once per interval, and gives the connection up after one and a half intervals of silence. */
export class KeepAlive {
  #ticks = 0;
  #silent = 0;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly parts: KeepAliveParts) {
    if (parts.intervalS > 0) this.#timer = setInterval(() => this.#tick(), parts.intervalS * 500);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const { alive, ping, onDead } = this.parts;
    this.#silent = alive() ? 0 : this.#silent + 1;
    if (this.#silent >= silentMax) {
      this.stop();
      return onDead();
    }
    if (++this.#ticks % 2 === 0) ping();
  }
}

/** A timer for npm:mqtt's own keep-alive that never runs. */
export const noTimer = { set: () => 0, clear: () => {} };
