/** The newest of each topic, from readings as they become durable: what the demo shows of its sensors. Pure. */
import type { ReadingJson } from "../status/reading_json.ts";
import type { Sensor } from "./curves.ts";
import { Sparkline } from "./sparkline.ts";

/** Numbers of a JSON payload that are shown. */
const numbersMax = 3;
/** A larger payload is shown as text, and not looked into. */
const parsedCharsMax = 4_096;
const decimalsMax = 4;
/** Of a text this much is kept. */
const textCharsMax = 200;
/** Topics beside those of the sensors; of more, those that were silent for longest go. */
const othersMax = 6;
/** Readings whose way is shown. */
const recentMax = 60;
/** Whoever publishes regularly and then nothing for so long, or for so many times its usual pause, is silent. */
const silentLeastMs = 4_000;
const silentPauses = 5;

export interface NumberLine {
  /** Name within a JSON payload; "": the payload is the number. */
  name: string;
  unit: string;
  /** The latest value, with as many decimals as this number has had. */
  shown: string;
  decimals: number;
  line: Sparkline;
}

export class TopicView {
  numbers: NumberLine[] = [];
  /** The payload when there are no numbers in it. */
  text = "";
  count = 0;
  sequence = 0;
  lastMs = 0;
  #pauseMs: number | undefined;

  constructor(readonly topic: string, private readonly units: Record<string, string>) {}

  add(reading: ReadingJson, nowMs: number): void {
    this.#notePause(nowMs);
    this.count++;
    this.sequence = reading.sequence;
    this.lastMs = nowMs;
    const found = numbersIn(reading.payload);
    this.text = found.length > 0 ? "" : textOf(reading);
    this.numbers = found.map(([name, latest]) => {
      const earlier = this.numbers.find((one) => one.name === name);
      const line = earlier?.line ?? new Sparkline();
      line.add(latest, nowMs);
      const decimals = Math.max(earlier?.decimals ?? 0, decimalsOf(latest));
      return { name, unit: this.units[name] ?? "", shown: numberText(latest, decimals), decimals, line };
    });
  }

  /** A pause up to this is an ordinary one; undefined when that can't be told yet. */
  get patienceMs(): number | undefined {
    return this.#pauseMs === undefined ? undefined : Math.max(silentLeastMs, silentPauses * this.#pauseMs);
  }

  isSilent(nowMs: number): boolean {
    return this.count > 2 && nowMs - this.lastMs > (this.patienceMs ?? Infinity);
  }

  #notePause(nowMs: number): void {
    if (this.count === 0) return;
    const pauseMs = nowMs - this.lastMs;
    if (pauseMs > (this.patienceMs ?? Infinity)) return; // a silence is no pause
    this.#pauseMs = this.#pauseMs === undefined ? pauseMs : 0.8 * this.#pauseMs + 0.2 * pauseMs;
  }
}

/** One reading on its way. */
export interface Passing {
  sequence: number;
  topic: string;
  text: string;
  qos: 0 | 1 | 2;
  arrivedMs: number;
}

export class Board {
  readonly topics: TopicView[];
  /** The newest last. */
  readonly recent: Passing[] = [];
  /** Readings at QoS 0, for which nobody wants an acknowledgement. */
  unacknowledged = 0;
  readonly #own: number;

  constructor(sensors: Pick<Sensor, "topic" | "units">[]) {
    this.topics = sensors.map(({ topic, units }) => new TopicView(topic, units));
    this.#own = sensors.length;
  }

  /** A reading that is on disk. `nowMs`: any clock that never goes back, the one that is shown by. */
  add(reading: ReadingJson, nowMs: number): void {
    const view = this.topics.find(({ topic }) => topic === reading.topic) ?? this.#another(reading.topic);
    view.add(reading, nowMs);
    const { sequence, topic, qos } = reading;
    const unit = view.numbers.length === 1 ? ` ${view.numbers[0]!.unit}` : "";
    const text = `${textOf(reading)}${unit}`.trimEnd();
    if (qos === 0) this.unacknowledged++;
    this.recent.push({ sequence, topic, text, qos, arrivedMs: Date.parse(reading.arrived) });
    if (this.recent.length > recentMax) this.recent.shift();
  }

  #another(topic: string): TopicView {
    const others = this.topics.slice(this.#own);
    if (others.length >= othersMax) {
      const quietest = others.reduce((a, b) => b.lastMs < a.lastMs ? b : a);
      this.topics.splice(this.topics.indexOf(quietest), 1);
    }
    const view = new TopicView(topic, {});
    this.topics.push(view);
    return view;
  }
}

/** Digits behind the point, as far as they are shown; of 1e-7 none. */
function decimalsOf(value: number): number {
  return Math.min(decimalsMax, /^-?\d+\.(\d+)$/.exec(String(value))?.[1]?.length ?? 0);
}

function numberText(value: number, decimals: number): string {
  return /e/.test(String(value)) ? String(value) : value.toFixed(decimals);
}

function textOf({ payload, payload_base64: base64 }: ReadingJson): string {
  const text = payload ?? `base64:${base64 ?? ""}`;
  return text === "" ? "(empty)" : text.slice(0, textCharsMax);
}

/** The number that a payload is, or the first ones of a JSON object, with their names. */
function numbersIn(payload: string | undefined): [string, number][] {
  if (payload === undefined || payload.length > parsedCharsMax) return [];
  let json: unknown;
  try {
    json = JSON.parse(payload);
  } catch {
    return [];
  }
  const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
  if (isNumber(json)) return [["", json]];
  if (typeof json !== "object" || json === null || Array.isArray(json)) return [];
  return Object.entries(json).filter((entry): entry is [string, number] => isNumber(entry[1])).slice(
    0,
    numbersMax,
  );
}
