/** All that the demo shows, kept up from readings and snapshots. Pure. */
import { sumHolds } from "../status/render_status.ts";
import type { OutputStatus, Snapshot } from "../status/snapshot.ts";
import { Board } from "./board.ts";
import type { Sensor } from "./curves.ts";

/** Rates are means of so long, short enough to follow what happens. */
const rateWindowMs = 5_000;
/** A place where something arrived within this long is shown as moving. */
const movesMs = 400;
const troubleMs = 15_000;

/** A place on the way of the readings. */
export interface Stage {
  count: number;
  perS: number;
  moves: boolean;
}

/** Counts of one place, over time. */
class Passage {
  #samples: { atMs: number; count: number }[] = [];
  #movedMs = -Infinity;

  note(count: number, atMs: number): Stage {
    if (count > (this.#samples.at(-1)?.count ?? 0)) this.#movedMs = atMs;
    this.#samples.push({ atMs, count });
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - rateWindowMs) this.#samples.shift();
    const first = this.#samples[0]!;
    const tookMs = atMs - first.atMs;
    const perS = tookMs < 500 ? 0 : (count - first.count) * 1_000 / tookMs;
    return { count, perS, moves: atMs - this.#movedMs < movesMs };
  }
}

const places = ["received", "onDisk", "acknowledged", "inStore"] as const;
export type PlaceName = typeof places[number];

export class Model {
  readonly board: Board;
  stages: Record<PlaceName, Stage>;
  snapshot: Snapshot | undefined;
  /** Median time from a sensor's publish to its PUBACK. */
  acknowledgedAfterMs: number | undefined;
  #trouble = { text: "", untilMs: -Infinity };
  readonly #passages = Object.fromEntries(places.map((name) => [name, new Passage()])) as Record<
    PlaceName,
    Passage
  >;

  constructor(sensors: Pick<Sensor, "topic" | "units">[]) {
    this.board = new Board(sensors);
    this.stages = this.#stages({ received: 0, onDisk: 0, acknowledged: 0, inStore: 0 }, 0);
  }

  /** `nowMs`: the clock of the board. */
  update(snapshot: Snapshot, nowMs: number): void {
    this.snapshot = snapshot;
    const { subscriber, spool } = snapshot;
    const inStore = this.output?.confirmed ?? 0;
    const { received, acknowledged } = subscriber;
    this.stages = this.#stages({ received, onDisk: spool.stored, acknowledged, inStore }, nowMs);
  }

  /** A line that the pipeline logged at warning or above is shown for a while. */
  noteTrouble(text: string, nowMs: number): void {
    this.#trouble = { text, untilMs: nowMs + troubleMs };
  }

  /** The last such line; undefined when it is long ago, or alarms say what there is to say. */
  trouble(nowMs: number): string | undefined {
    const alarmed = (this.snapshot?.alarms.length ?? 0) > 0;
    return alarmed || nowMs >= this.#trouble.untilMs ? undefined : this.#trouble.text;
  }

  get output(): OutputStatus | undefined {
    return this.snapshot?.outputs[0];
  }

  get sumHolds(): boolean {
    return this.output !== undefined && sumHolds(this.output);
  }

  /** Readings below this sequence have been dealt with by the store. */
  get settledBelow(): number {
    const { snapshot, output } = this;
    return snapshot === undefined || output === undefined ? 0 : snapshot.spool.nextSequence - output.waiting;
  }

  #stages(counts: Record<PlaceName, number>, nowMs: number): Record<PlaceName, Stage> {
    return Object.fromEntries(
      places.map((name) => [name, this.#passages[name].note(counts[name], nowMs)]),
    ) as Record<PlaceName, Stage>;
  }
}
