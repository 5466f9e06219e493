/** What the demo shows, running: the agent's pipeline with its own broker and store, and the sensors before it. */
import { assertLimits } from "../limits.ts";
import { realFiles } from "../base/files.ts";
import type { Fields, Log } from "../base/log.ts";
import { SystemClock } from "../base/system_clock.ts";
import { loadSettings } from "../config.ts";
import { Pipeline } from "../pipeline.ts";
import { readingJson } from "../status/reading_json.ts";
import { SocketServer } from "../status/socket_server.ts";
import { makeSensors } from "./curves.ts";
import { Model } from "./model.ts";
import { Sensors } from "./sensors.ts";

const listenPollMs = 10;

/** A clock that nobody keeps in step would hold the readings back for ten minutes: no demo lasts so long. */
class DemoClock extends SystemClock {
  override synchronised(): "yes" {
    return "yes";
  }
}

export class Plant {
  readonly model = new Model(makeSensors(Math.random));
  readonly #clock = new DemoClock();
  readonly #stop = new AbortController();
  #pipeline: Pipeline | undefined;
  #running: Promise<void> | undefined;
  #socket: SocketServer | undefined;
  #sensors: Sensors | undefined;
  #following: Promise<void> = Promise.resolve();

  /** Starts everything by the configuration in `configFile`. Returns the broker's URL. Throws OperationErrors. */
  async start(configFile: string, version: string): Promise<string> {
    assertLimits();
    const log = new TroubleLog((text) => this.model.noteTrouble(text, performance.now()));
    const settings = loadSettings(configFile);
    const machine = { files: realFiles, clock: this.#clock, log, version };
    const pipeline = this.#pipeline = await Pipeline.open(settings, machine);
    this.#running = pipeline.run(this.#stop.signal);
    this.#running.catch(() => {}); // `failed` and `end` tell
    this.#following = this.#follow(pipeline);
    this.#following.catch(() => {}); // `failed` tells
    this.#socket = await SocketServer.open(settings.socket, pipeline, log);
    const url = await this.#listening(pipeline, this.#running);
    this.#sensors = Sensors.start(url);
    return url;
  }

  /** Rejects when the pipeline can't go on. */
  async failed(): Promise<void> {
    await Promise.all([this.#running, this.#following]);
  }

  /** Brings the model up to date. */
  async look(): Promise<void> {
    if (this.#pipeline === undefined) return;
    this.model.acknowledgedAfterMs = this.#sensors?.acknowledgedAfterMs() ?? this.model.acknowledgedAfterMs;
    this.model.update(await this.#pipeline.snapshot(), performance.now());
  }

  /** The sensors fall silent, what was read arrives, and all ends. Throws why it could not go on. */
  async end(): Promise<void> {
    try {
      await this.#sensors?.stop();
    } finally {
      this.#stop.abort();
      await Promise.allSettled([this.#running, this.#following]);
      await this.#socket?.close();
      await this.#clock.close();
    }
    await this.look();
    await this.failed();
  }

  async #listening(pipeline: Pipeline, running: Promise<void>): Promise<string> {
    while (true) {
      const { subscriber } = await pipeline.snapshot();
      if (subscriber.state === "listening" && subscriber.url !== undefined) return subscriber.url;
      // it fails by itself when it can't listen
      await Promise.race([new Promise((done) => setTimeout(done, listenPollMs)), running]);
      this.#stop.signal.throwIfAborted();
    }
  }

  /** Readings as they become durable. */
  async #follow(pipeline: Pipeline): Promise<void> {
    for await (const { readings } of pipeline.tail(this.#stop.signal)) {
      for (const reading of readings) this.model.board.add(readingJson(reading), performance.now());
    }
  }
}

/** A log that is part of the picture: lines on standard error would tear it. */
class TroubleLog implements Log {
  constructor(private readonly onTrouble: (text: string) => void) {}

  error(message: string, fields: Fields = {}): void {
    const reason = fields["reason"];
    this.onTrouble(reason === undefined ? message : `${message}: ${reason}`);
  }
  warning(message: string, fields?: Fields): void {
    this.error(message, fields);
  }
  notice(): void {}
  info(): void {}
  debug(): void {}
}
