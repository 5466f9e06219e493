/** How far something long is: one line on a terminal's standard error that is drawn again and again. */
import { countText, durationText } from "../base/display.ts";
import type { Terminal } from "./terminal.ts";

const intervalMs = 200;

export class Progress {
  #done = 0;
  #drawnMs = -Infinity;
  readonly #startMs: number;

  /** `total` readings are to come; it may become more. */
  constructor(
    private readonly terminal: Terminal,
    private readonly total: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#startMs = nowMs();
  }

  /** So many more are done. Draws five times a second at most. */
  async add(count: number): Promise<void> {
    this.#done += count;
    const nowMs = this.nowMs();
    if (nowMs - this.#drawnMs < intervalMs) return;
    this.#drawnMs = nowMs;
    await this.terminal.err(`\r${this.line()}\x1b[K`);
  }

  /** `41 %, 123,000 of 300,000 readings, 85,000/s, 2 s left` */
  line(): string {
    const elapsedMs = Math.max(1, this.nowMs() - this.#startMs);
    const perMs = this.#done / elapsedMs;
    const share = this.total === 0 ? 1 : Math.min(1, this.#done / this.total);
    const left = Math.max(0, this.total - this.#done);
    const parts = [
      `${String(Math.floor(share * 100)).padStart(3)} %`,
      `${countText(this.#done)} of ${countText(Math.max(this.total, this.#done))} readings`,
      `${countText(perMs * 1_000)}/s`,
      `${durationText(left / perMs)} left`,
    ];
    return parts.join(", ");
  }

  /** Takes the line away. */
  async clear(): Promise<void> {
    await this.terminal.err("\r\x1b[K");
  }
}
