/** Four sensors as one might meet them, without the network: what each publishes, and when. Pure but for `random`. */

export interface Sensor {
  topic: string;
  everyMs: number;
  /** Units of its numbers by name; "": the payload is the number. */
  units: Record<string, string>;
  /** The payload at a time since the demo's start, asked in order; undefined: it says nothing then. */
  payload(timeMs: number): string | undefined;
}

/** A day passes in so long, so that a curve is seen. */
const dayMs = 48_000;
const pumpCycleMs = 21_000;
const pumpRunsMs = 13_000;
/** The tank's sensor has a battery: it talks for a while and then sleeps. */
const tankCycleMs = 30_000;
const tankTalksMs = 14_000;
const tankFillMs = 70_000;

/** `random` gives 0 to 1. */
export function makeSensors(random: () => number): Sensor[] {
  return [temperature(random), humidity(random), pump(random), tank(random)];
}

/** Degrees without noise: a demo begins in the morning. */
function warmth(timeMs: number): number {
  const phase = 2 * Math.PI * (timeMs / dayMs - 0.06);
  return 21.5 + 6 * Math.sin(phase) + 0.9 * Math.sin(2 * phase + 1);
}

function temperature(random: () => number): Sensor {
  const noise = drifting(random, 0.12);
  return {
    topic: "greenhouse/temperature",
    everyMs: 500,
    units: { "": "°C" },
    payload: (timeMs) => (warmth(timeMs) + noise()).toFixed(2),
  };
}

function humidity(random: () => number): Sensor {
  const noise = drifting(random, 0.5);
  return {
    topic: "greenhouse/humidity",
    everyMs: 500,
    units: { "": "%" },
    // warm air holds more water
    payload: (timeMs) => between(62 - 2.8 * (warmth(timeMs) - 21.5) + noise(), 20, 98).toFixed(1),
  };
}

function pump(random: () => number): Sensor {
  const noise = drifting(random, 0.15);
  let flow = 0;
  let lastMs = 0;
  return {
    topic: "hall1/pump",
    everyMs: 500,
    units: { flow: "l/min", pressure: "bar", rpm: "" },
    payload(timeMs) {
      const runs = timeMs % pumpCycleMs < pumpRunsMs;
      const wanted = runs ? 14 + 1.2 * Math.sin(timeMs / 1_700) : 0;
      flow += (wanted - flow) * (1 - Math.exp(-(timeMs - lastMs) / 1_100));
      lastMs = timeMs;
      const wobble = flow > 0.5 ? noise() : 0;
      const shown = Math.max(0, flow + wobble);
      return JSON.stringify({
        flow: Number(shown.toFixed(1)),
        pressure: Number((0.4 + 2.6 * (shown / 14) ** 2).toFixed(2)),
        rpm: Math.round(shown * 103),
      });
    },
  };
}

function tank(random: () => number): Sensor {
  const noise = drifting(random, 0.2);
  return {
    topic: "tank/level",
    everyMs: 1_000,
    units: { "": "%" },
    payload(timeMs) {
      if (timeMs % tankCycleMs >= tankTalksMs) return undefined;
      const share = (timeMs / tankFillMs + 0.25) % 1;
      const filled = share < 0.6 ? share / 0.6 : (1 - share) / 0.4;
      return (38 + 50 * filled + noise()).toFixed(1);
    },
  };
}

/** Noise that wanders about 0, mostly within `size`. */
function drifting(random: () => number, size: number): () => number {
  let at = 0;
  return () => at = 0.7 * at + (random() + random() - 1) * size;
}

function between(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
