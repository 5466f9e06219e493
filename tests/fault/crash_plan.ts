/** What happens in one crash run, drawn from its seed: readings, how the agent dies, what goes wrong around it. */
import { seededRandom } from "../fakes/seeded_random.ts";
import type { KillPoint, PointKind, PointWhen } from "../lab/shim.ts";

export interface PlannedReading {
  number: number;
  topic: string;
  qos: 0 | 1 | 2;
  payload: string;
}

/** Some readings at once, then a pause. */
export interface Batch {
  readings: PlannedReading[];
  pauseMs: number;
}

/** How one life of the agent ends: at a point in its work, counted from its start, or after a time. */
export interface Death {
  point: KillPoint | undefined;
  /** The end of the life when no point was given or it was not reached; counted from here. */
  since: "start" | "connected";
  afterMs: number;
  signal: "SIGKILL" | "SIGTERM";
}

/** What the sink does wrong, for the bulk requests with these numbers. */
export interface SinkFault {
  fromRequest: number;
  untilRequest: number;
  kind: "503" | "429 for some" | "cut before" | "cut after" | "slow";
}

export interface CrashPlan {
  seed: number;
  /** A real Elasticsearch instead of the sink. */
  elasticsearch: boolean;
  outputs: ("cloud" | "local")[];
  batches: Batch[];
  /** The last life comes after these and is not killed. */
  deaths: Death[];
  sinkFault: SinkFault | undefined;
  /** Times after the first subscription at which the connection to the broker is cut. */
  cutsMs: number[];
  syncWindowMs: number;
  statusTopic: boolean;
  /** `max_inflight_messages` of the broker; 0 is unlimited. */
  brokerInFlight: number;
}

/** Every so many runs one goes into a real Elasticsearch, when there is one. */
export const elasticsearchEvery = 12;

/** By seed, in turn. */
const outputsOf: CrashPlan["outputs"][] = [["cloud"], ["local"], ["cloud", "local"]];

class Draw {
  constructor(private readonly random: () => number) {}

  /** Whole number from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }
  chance(probability: number): boolean {
    return this.random() < probability;
  }
  of<T>(choices: readonly T[]): T {
    return choices[this.int(0, choices.length - 1)]!;
  }
  list<T>(count: number, make: (i: number) => T): T[] {
    return Array.from({ length: count }, (_, i) => make(i));
  }
  /** 1 and upwards, small ones much more often. */
  small(mean: number): number {
    return 1 + Math.floor(-Math.log(1 - this.random()) * mean);
  }
}

/** Where the agent can be killed: kinds of calls, part of the file's path (or the connection's name). */
interface Place {
  kinds: PointKind[];
  place: string;
  weight: number;
  often: boolean;
}

const places: Place[] = [
  { kinds: ["write"], place: ".seg", weight: 6, often: true },
  { kinds: ["sync"], place: ".seg", weight: 6, often: true },
  { kinds: ["create"], place: ".seg", weight: 2, often: false },
  { kinds: ["truncate", "unlink"], place: ".seg", weight: 2, often: false },
  { kinds: ["sync"], place: ".", weight: 3, often: false },
  ...(["create", "write", "sync", "rename"] as const).flatMap((kind) => [
    { kinds: [kind], place: "outputs/", weight: 2, often: false },
    { kinds: [kind], place: "session.json", weight: 1, often: false },
  ]),
  { kinds: ["sync", "rename"], place: "clock.json", weight: 1, often: false },
  { kinds: ["create", "write", "sync", "rename", "unlink"], place: "", weight: 3, often: true },
  { kinds: ["send"], place: "broker", weight: 8, often: true },
];
const placesOf: Record<CrashPlan["outputs"][number], Place[]> = {
  cloud: [{ kinds: ["send"], place: "output", weight: 5, often: true }],
  local: [
    { kinds: ["write"], place: "readings.sqlite-wal", weight: 5, often: true },
    { kinds: ["sync"], place: "readings.sqlite-wal", weight: 5, often: true },
    { kinds: ["write", "sync", "truncate"], place: "readings.sqlite", weight: 3, often: false },
    { kinds: ["create", "unlink", "truncate", "write", "sync"], place: "store", weight: 4, often: true },
  ],
};

function drawPoint(draw: Draw, outputs: CrashPlan["outputs"]): KillPoint {
  const possible = [...places, ...outputs.flatMap((output) => placesOf[output])];
  const weighted = possible.flatMap((place) => Array.from({ length: place.weight }, () => place));
  const { kinds, place, often } = draw.of(weighted);
  const n = draw.small(often ? draw.chance(0.5) ? 2 : 12 : 0.7);
  return { kinds, place, n, when: draw.of<PointWhen>(["before", "half", "after"]) };
}

function drawDeath(draw: Draw, outputs: CrashPlan["outputs"]): Death {
  const signal = draw.chance(0.1) ? "SIGTERM" : "SIGKILL";
  if (draw.chance(0.75)) {
    return { point: drawPoint(draw, outputs), since: "connected", afterMs: draw.int(300, 700), signal };
  }
  // while it starts and recovers, or at any moment of its work
  const since = draw.chance(0.5) ? "start" : "connected";
  return { point: undefined, since, afterMs: draw.int(0, since === "start" ? 250 : 500), signal };
}

/** `lastMs`: about how long the agent will be killed again and again; so long there is something to do. */
function drawBatches(draw: Draw, lastMs: number): Batch[] {
  // some runs carry so many bytes that segments are sealed, shipped and removed while the agent is killed
  const large = draw.chance(0.25);
  const topics = draw.list(draw.int(1, 6), (i) => `r/${i}`);
  const lowestQos = draw.chance(0.5) ? 1 : 0;
  let number = 0;
  const count = large ? draw.int(8, 14) : draw.int(15, 50);
  return draw.list(count, () => ({
    readings: draw.list(large ? draw.int(2, 5) : draw.small(20), () => {
      const padBytes = large ? draw.int(100_000, 700_000) : draw.chance(0.1) ? draw.int(1, 3_000) : 0;
      number++;
      return {
        number,
        topic: draw.of(topics),
        qos: draw.int(lowestQos, 2) as 0 | 1 | 2,
        payload: padBytes === 0 ? String(number) : `${number}|${"x".repeat(padBytes)}`,
      };
    }),
    pauseMs: draw.int(0, Math.round(2 * lastMs / count)),
  }));
}

function drawSinkFault(draw: Draw): SinkFault {
  const fromRequest = draw.int(1, 6);
  return {
    fromRequest,
    untilRequest: fromRequest + draw.int(0, 1),
    kind: draw.of(["503", "429 for some", "cut before", "cut after", "slow"]),
  };
}

/** The same seed gives the same plan. */
export function planOf(seed: number): CrashPlan {
  const draw = new Draw(seededRandom(seed));
  const outputs = outputsOf[seed % outputsOf.length]!;
  const deaths = draw.list(draw.int(3, 6), () => drawDeath(draw, outputs));
  return {
    seed,
    outputs,
    elasticsearch: seed % elasticsearchEvery === 0,
    batches: drawBatches(draw, 400 * deaths.length),
    deaths,
    sinkFault: draw.chance(0.25) ? drawSinkFault(draw) : undefined,
    cutsMs: draw.chance(0.2) ? draw.list(draw.int(1, 2), () => draw.int(50, 2_000)) : [],
    syncWindowMs: draw.of([0, 5, 20]),
    statusTopic: draw.chance(0.5),
    brokerInFlight: draw.of([20, 0, 200]),
  };
}
