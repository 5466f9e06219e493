/**
 * The marker: a message of the agent's own that queues behind everything that waited in the broker. It is published after
 * the subscriptions stand, and again until it comes back.
 */
import type { Clock } from "../base/clock.ts";
import { markerFirstMs, markerMissingMs, markerRepeatMaxMs } from "../limits.ts";
import { reasonOf } from "../base/errors.ts";
import { sameBytes } from "./topic_filter.ts";

/** Where the marker is published below `mqtt.status_topic`. */
export function markerTopic(statusTopic: string | undefined): string | undefined {
  return statusTopic === undefined ? undefined : `${statusTopic}/marker`;
}

export interface MarkerParts {
  topic: string;
  version: string;
  clock: Pick<Clock, "sleep" | "bootMs">;
  publish: (topic: string, payload: string) => Promise<void>;
  /** The broker refuses it, or lets it vanish: something else must tell when the queue is empty. */
  onHopeless: () => void;
  onMissing: (reason: string) => void;
}

export class Marker {
  readonly #payload: string;
  readonly #bytes: Uint8Array;
  readonly #seen = new AbortController();

  constructor(private readonly parts: MarkerParts) {
    // another one on each connection: an older marker may wait in the queue itself
    this.#payload = JSON.stringify({
      agent: `sensorlog-agent ${parts.version}`,
      marker: crypto.randomUUID(),
    });
    this.#bytes = new TextEncoder().encode(this.#payload);
  }

  /** A message came under the marker's topic. Returns whether it is this marker. */
  meets(payload: Uint8Array): boolean {
    const found = sameBytes(this.#bytes, payload, 0, payload.length);
    if (found) this.#seen.abort();
    return found;
  }

  /** Publishes until the marker was seen or `closed` aborts. Never rejects. */
  async run(closed: AbortSignal): Promise<void> {
    const { topic, clock, publish, onHopeless, onMissing } = this.parts;
    const over = AbortSignal.any([closed, this.#seen.signal]);
    const startMs = clock.bootMs();
    let reported = false;
    for (let tries = 1; !over.aborted; tries++) {
      publish(topic, this.#payload).catch((error) => {
        if (over.aborted) return;
        reported = true;
        onHopeless();
        onMissing(`the broker does not take it (${reasonOf(error)})`);
      });
      await clock.sleep(Math.min(markerFirstMs * 2 ** (tries - 1), markerRepeatMaxMs), over);
      if (over.aborted) return;
      if (tries === 3) onHopeless();
      if (!reported && clock.bootMs() - startMs >= markerMissingMs) {
        reported = true;
        onMissing("it was published and has not come back");
      }
    }
  }
}
