/** A demo's model that a test has filled, and the window it is drawn into. */
import { makeSensors } from "../../agent/demo/curves.ts";
import { Model } from "../../agent/demo/model.ts";
import { screen, type View } from "../../agent/demo/screen.ts";
import type { ReadingJson } from "../../agent/status/reading_json.ts";
import type { OutputStatus, Snapshot } from "../../agent/status/snapshot.ts";
import { wellOutput, wellSnapshot } from "../fakes/snapshot.ts";

export function readingOf(topic: string, payload: string, sequence = 1): ReadingJson {
  return {
    ...{ id: "a-1", sequence, topic, payload, qos: 1, retain: false },
    ...{ arrived: "2026-01-01T12:34:56.789Z", clock_synchronised: "yes" },
  };
}

/** A snapshot in which `stored` readings have come, and all but `waiting` are in the store. */
export function snapshotOf(stored: number, waiting = 0, more: Partial<OutputStatus> = {}): Snapshot {
  const output = {
    ...wellOutput,
    stored,
    waiting,
    confirmed: stored - waiting,
    dead: 0,
    dropped: 0,
    damaged: 0,
  };
  return {
    ...wellSnapshot,
    subscriber: {
      ...wellSnapshot.subscriber,
      state: "listening",
      clients: 4,
      received: stored,
      acknowledged: stored,
    },
    spool: { ...wellSnapshot.spool, stored, nextSequence: stored + 1 },
    outputs: [{ ...output, ...more }],
    alarms: [],
  };
}

export function emptyModel(): Model {
  return new Model(makeSensors(() => 0.5));
}

/** As it is after a minute of `makeSensors`. */
export function filledModel(): Model {
  const model = emptyModel();
  let stored = 0;
  const sensors = makeSensors(() => 0.5);
  for (let timeMs = 0; timeMs < 60_000; timeMs += 500) {
    for (const sensor of sensors.filter(({ everyMs }) => timeMs % everyMs === 0)) {
      const payload = sensor.payload(timeMs);
      if (payload !== undefined) model.board.add(readingOf(sensor.topic, payload, ++stored), timeMs);
    }
  }
  model.update(snapshotOf(stored, 3), 60_000);
  return model;
}

export const steps = [
  { command: "mosquitto_pub -h 127.0.0.1 -p 40123 -q 1 -t my/desk -m 21.5", what: "a reading of your own" },
  { command: "sensorlog-agent status --config /tmp/sensorlog-demo-ab12/agent.yaml", what: "its status" },
  { command: "sensorlog-agent export --config /tmp/sensorlog-demo-ab12/agent.yaml", what: "CSV" },
];

export function draw(model: Model, more: Partial<View> = {}): string[] {
  return screen(model, {
    ...{ columns: 100, rows: 30, colour: false, elapsedMs: 60_000, nowMs: 60_100, ends: false },
    ...{ url: "mqtt://127.0.0.1:40123", steps },
    ...more,
  });
}
