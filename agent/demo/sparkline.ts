/** The last values of a number, a column for each second, so that silence is seen as a gap. */

const bars = [..."▁▂▃▄▅▆▇█"];
const slotMs = 1_000;
const slotsMax = 160;

interface Slot {
  number: number;
  mean: number;
  count: number;
}

export class Sparkline {
  #slots: Slot[] = [];

  /** `nowMs`: any clock that never goes back. */
  add(value: number, nowMs: number): void {
    const number = Math.floor(nowMs / slotMs);
    const last = this.#slots.at(-1);
    if (last?.number === number) {
      last.count++;
      last.mean = last.mean * ((last.count - 1) / last.count) + value / last.count; // no sum that overflows
      return;
    }
    this.#slots.push({ number, mean: value, count: 1 });
    if (this.#slots.length > slotsMax) this.#slots.shift();
  }

  /**
   * So many columns, from the least to the greatest value shown; the last one is this second. A pause up to `bridgedMs` is
   * no gap.
   */
  text(columns: number, nowMs: number, bridgedMs: number): string {
    const first = Math.floor(nowMs / slotMs) - columns + 1;
    const means = this.#means(first, columns, Math.ceil(bridgedMs / slotMs));
    const known = means.filter((mean) => mean !== undefined);
    const least = Math.min(...known) / 2; // half of it: the range of two doubles may be none
    const range = Math.max(...known) / 2 - least;
    return means.map((mean) => {
      if (mean === undefined) return " ";
      const share = range === 0 ? 0.4 : (mean / 2 - least) / range;
      return bars[Math.min(bars.length - 1, Math.floor(share * bars.length))]!;
    }).join("");
  }

  #means(first: number, columns: number, bridged: number): (number | undefined)[] {
    const means = new Array<number | undefined>(columns).fill(undefined);
    for (const [at, { number, mean }] of this.#slots.entries()) {
      const next = this.#slots[at + 1]?.number ?? Infinity;
      // until the next value, when that comes in time; the newest one stands for a moment
      const until = next - number <= bridged ? next : number + (next === Infinity ? Math.min(bridged, 2) : 1);
      for (let slot = Math.max(number, first); slot < Math.min(until, first + columns); slot++) {
        means[slot - first] = mean;
      }
    }
    return means;
  }
}
