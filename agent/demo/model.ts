/** What the demo's screen shows, kept up from readings and snapshots. */
import { type ReadingJson } from "../status/reading_json.ts";
import { sumHolds } from "../status/render_status.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { sensors } from "./sensors.ts";

/** Values that are remembered of each topic: as many as a wide sparkline has columns. */
const valuesMax = 60;
/** Topics of others, by `mosquitto_pub`, that are shown below the sensors. */
const othersMax = 4;

export interface Row {
  topic: string;
  unit: string;
  values: number[];
  /** The last payload as it came. */
  last: string | undefined;
  lastMs: number | undefined;
  /** A longer pause than this (ms) is silence. */
  patienceMs: number;
}

export interface Counts {
  acknowledged: number;
  onDisk: number;
  stored: number;
  waiting: number;
  dead: number;
  dropped: number;
  damaged: number;
  ratePerS: number;
  /** stored = confirmed + waiting + dead + dropped + damaged */
  sumHolds: boolean;
}

export class Model {
  readonly rows: Row[] = sensors.map(({ topic, unit, everyMs }) => ({
    ...{ topic, unit, values: [], last: undefined, lastMs: undefined },
    patienceMs: 3 * everyMs + 1_000,
  }));
  counts: Counts = {
    ...{ acknowledged: 0, onDisk: 0, stored: 0, waiting: 0, dead: 0, dropped: 0, damaged: 0, ratePerS: 0 },
    sumHolds: true,
  };
  /** What wants attention, as in `status`. */
  alarms: string[] = [];

  /** A reading that is on disk. `nowMs`: any clock that `rows` are shown by. */
  add(reading: ReadingJson, nowMs: number): void {
    const row = this.rows.find(({ topic }) => topic === reading.topic) ?? this.#another(reading.topic);
    const payload = reading.payload ?? `base64:${reading.payload_base64 ?? ""}`;
    const sensor = sensors.find(({ topic }) => topic === reading.topic);
    const value = sensor === undefined ? asNumber(payload) : sensor.value(payload);
    if (value !== undefined) row.values.push(value);
    if (row.values.length > valuesMax) row.values.shift();
    row.last = payload;
    row.lastMs = nowMs;
  }

  update({ subscriber, spool, outputs, alarms }: Snapshot): void {
    const output = outputs[0]!;
    const { confirmed, waiting, dead, dropped, damaged } = output;
    this.counts = {
      acknowledged: subscriber.acknowledged,
      onDisk: spool.stored,
      stored: confirmed,
      ...{ waiting, dead, dropped, damaged },
      ratePerS: subscriber.ratePerS,
      sumHolds: sumHolds(output),
    };
    this.alarms = alarms.map(({ text }) => text);
  }

  #another(topic: string): Row {
    if (this.rows.length >= sensors.length + othersMax) this.rows.splice(sensors.length, 1);
    const row = { topic, unit: "", values: [], last: undefined, lastMs: undefined, patienceMs: Infinity };
    this.rows.push(row);
    return row;
  }
}

function asNumber(payload: string): number | undefined {
  return /^-?\d+(\.\d+)?$/.test(payload.trim()) ? Number(payload) : undefined;
}
