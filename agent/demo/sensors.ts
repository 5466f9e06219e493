/** The simulated sensors as MQTT clients: each with a connection of its own, at QoS 1. */
import { connect, type MqttClient } from "mqtt";
import { makeSensors, type Sensor } from "./curves.ts";

/** Messages of a sensor that may wait for their PUBACK; beyond, it leaves out what it measures, as small devices do. */
const unacknowledgedMax = 50;
const timesKept = 40;
const endPatienceMs = 1_000;
const reconnectMs = 500;

export class Sensors {
  readonly #clients: Connected[] = [];
  readonly #times: number[] = [];
  readonly #timers: number[] = [];

  private constructor(private readonly startMs: number) {}

  /** Lets them connect to the broker at `url`, and again whenever they lose it; they publish from then on. */
  static start(url: string, random: () => number = Math.random): Sensors {
    const all = new Sensors(performance.now());
    for (const sensor of makeSensors(random)) all.#add(sensor, url);
    return all;
  }

  /** The median of the last times from publish to PUBACK, ms; undefined before the first. */
  acknowledgedAfterMs(): number | undefined {
    return [...this.#times].sort((a, b) => a - b)[this.#times.length >> 1];
  }

  /** They fall silent; what is under way may still be acknowledged, for a moment. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#clients.map((client) => client.end()));
  }

  #add(sensor: Sensor, url: string): void {
    const clientId = `demo-${sensor.topic.replaceAll("/", "-")}`;
    const mqtt = connect(url, {
      clientId,
      protocolVersion: 4,
      reconnectPeriod: reconnectMs,
      reconnectOnConnackError: true, // a full disk makes the broker refuse, until there is room
    });
    const client = new Connected(mqtt, sensor.topic);
    this.#clients.push(client);
    const measure = () => {
      const payload = sensor.payload(performance.now() - this.startMs);
      if (payload !== undefined) client.publish(payload, (timeMs) => this.#note(timeMs));
    };
    mqtt.once("connect", measure);
    this.#timers.push(setInterval(measure, sensor.everyMs));
  }

  #note(timeMs: number): void {
    this.#times.push(timeMs);
    if (this.#times.length > timesKept) this.#times.shift();
  }
}

class Connected {
  #unacknowledged = 0;
  #idle: (() => void) | undefined;

  constructor(private readonly mqtt: MqttClient, private readonly topic: string) {
    mqtt.on("error", () => {}); // it connects again by itself
  }

  publish(payload: string, onAcknowledged: (timeMs: number) => void): void {
    if (!this.mqtt.connected || this.#unacknowledged >= unacknowledgedMax) return;
    const startMs = performance.now();
    this.#unacknowledged++;
    this.mqtt.publish(this.topic, payload, { qos: 1 }, (error) => {
      this.#unacknowledged--;
      if (error === null || error === undefined) onAcknowledged(performance.now() - startMs);
      if (this.#unacknowledged === 0) this.#idle?.();
    });
  }

  async end(): Promise<void> {
    if (this.mqtt.connected && this.#unacknowledged > 0) {
      const patience = Promise.withResolvers<void>();
      const timer = setTimeout(patience.resolve, endPatienceMs);
      this.#idle = patience.resolve;
      await patience.promise;
      clearTimeout(timer);
    }
    await this.mqtt.endAsync(true);
  }
}
