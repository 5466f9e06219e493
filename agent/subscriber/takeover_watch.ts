/** Notices another client with our client id: the broker closes the older connection of the two, again and again. */
import type { Alarms } from "../base/alarms.ts";
import type { Log } from "../base/log.ts";
import { earlyCloseMs, earlyClosesMax, takeoverClearMs } from "../limits.ts";
import type { ConnectionEnd } from "./connection.ts";

/** Session taken over (3.14.2.1); Mosquitto closes without it. */
const sessionTakenOver = 142;

export class TakeoverWatch {
  #earlyCloses = 0;

  constructor(private readonly alarms: Alarms, private readonly log: Log) {}

  /** A connection that had been accepted is over. */
  ended({ kind, code, connectedMs }: ConnectionEnd): void {
    const early = kind === "closed" && connectedMs !== undefined && connectedMs < earlyCloseMs;
    this.#earlyCloses = early ? this.#earlyCloses + 1 : 0;
    if (code === sessionTakenOver) {
      this.#raise("another client with the same client id has taken the session over");
    } else if (this.#earlyCloses >= earlyClosesMax) {
      this.#raise(
        "the broker closes each connection soon after it accepted it: the client id is perhaps in use twice",
      );
    }
  }

  /** The connection has stood for that long. */
  stands(connectedMs: number): void {
    if (connectedMs < takeoverClearMs) return;
    this.#earlyCloses = 0;
    this.alarms.clear("client_id_in_use");
  }

  #raise(text: string): void {
    const remedy = "give each agent a client id of its own (mqtt.client_id)";
    if (this.alarms.raise("client_id_in_use", text, remedy)) {
      this.log.error("The client id is in use twice", { text });
    }
  }
}
