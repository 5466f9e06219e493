/** Median and range of a few rounds, and whether an aim is reached. Nothing is averaged or thrown away. */

export interface Spread {
  median: number;
  min: number;
  max: number;
  rounds: number;
}

/** Median and range; throws RangeError for no values or one that is not finite. */
export function spread(values: number[]): Spread {
  if (values.length === 0) throw new RangeError("no rounds, so no median");
  const bad = values.find((value) => !Number.isFinite(value));
  if (bad !== undefined) throw new RangeError(`a round measured ${bad}`);
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)!, rounds: sorted.length };
}

/** The value below which that share of all lies, 0 to 1, by the nearest rank; throws RangeError for no values. */
export function quantile(values: ArrayLike<number>, share: number): number {
  if (values.length === 0) throw new RangeError("no values, so no quantile");
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** ours / peer of each round: what disturbs the machine for a while disturbs both sides of one round. */
export function ratios(ours: number[], peer: number[]): number[] {
  if (ours.length !== peer.length) {
    throw new RangeError(`${ours.length} rounds of ours, ${peer.length} of the peer`);
  }
  return ours.map((value, round) => value / peer[round]!);
}

/** What a row should come to: at most (cost) or at least (rate). */
export interface Aim {
  kind: "at most" | "at least";
  value: number;
}

/**
 * `yes` and `no` when all rounds say so; `yes, not in all rounds` and `no, but in some rounds` when the median says one
 * thing and a round the other.
 */
export type Reached = "yes" | "no" | "yes, not in all rounds" | "no, but in some rounds";

export function reached(aim: Aim, seen: Spread): Reached {
  const holds = (value: number) => aim.kind === "at most" ? value <= aim.value : value >= aim.value;
  const best = aim.kind === "at most" ? seen.min : seen.max;
  const worst = aim.kind === "at most" ? seen.max : seen.min;
  if (holds(seen.median)) return holds(worst) ? "yes" : "yes, not in all rounds";
  return holds(best) ? "no, but in some rounds" : "no";
}
