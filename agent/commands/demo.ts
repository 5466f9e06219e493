/** `demo`: the real pipeline between four simulated sensors and a store, in one process, in a folder that goes with it. */
import { basename } from "node:path";
import { countText, durationText } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import type { Log } from "../base/log.ts";
import { SystemClock } from "../base/system_clock.ts";
import { loadSettings } from "../config.ts";
import { Model } from "../demo/model.ts";
import { makePlace, writeConfiguration } from "../demo/place.ts";
import { plainLine, screen } from "../demo/screen.ts";
import { runSensors } from "../demo/sensors.ts";
import { Pipeline } from "../pipeline.ts";
import { readingJson } from "../status/reading_json.ts";
import { SocketServer } from "../status/socket_server.ts";
import { pause } from "./pause.ts";
import type { Host } from "./program.ts";
import type { Terminal } from "./terminal.ts";

const drawMs = 250;
const plainMs = 1_000;
const listenMs = 10_000;
const secondsMax = 86_400;

/** Ends with 0 on Ctrl-C or after `--seconds`, when every reading is accounted for; else with 1. */
export async function demo({ terminal, version }: Host, options: { seconds?: string }): Promise<number> {
  const seconds = secondsOf(options.seconds);
  const hangUp = new AbortController(); // the terminal was closed
  const onHangUp = () => hangUp.abort();
  const ends = [terminal.stop, hangUp.signal];
  if (seconds !== undefined) ends.push(AbortSignal.timeout(seconds * 1_000));
  const dir = makePlace();
  Deno.addSignalListener("SIGHUP", onHangUp);
  try {
    const config = writeConfiguration(dir);
    return await new Demo(terminal, version, config, AbortSignal.any(ends)).run();
  } finally {
    Deno.removeSignalListener("SIGHUP", onHangUp);
    Deno.removeSync(dir, { recursive: true });
  }
}

function secondsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds > 0 && seconds <= secondsMax) return seconds;
  throw new ConfigError({
    operation: "demo",
    place: "--seconds",
    cause: `found ${JSON.stringify(text)}; allowed: more than 0, at most ${secondsMax}`,
  });
}

/** A clock that nobody has set would keep the store waiting for ten minutes: no demo lasts so long. */
class DemoClock extends SystemClock {
  override synchronised(): "yes" {
    return "yes";
  }
}

class Demo {
  readonly #model = new Model();
  readonly #clock = new DemoClock();
  readonly #startMs = performance.now();

  constructor(
    private readonly terminal: Terminal,
    private readonly version: string,
    private readonly config: string,
    private readonly stop: AbortSignal,
  ) {}

  async run(): Promise<number> {
    const settings = loadSettings(this.config);
    const machine = { files: realFiles, clock: this.#clock, log: silent, version: this.version };
    const pipeline = await Pipeline.open(settings, machine);
    const socket = await SocketServer.open(settings.socket, pipeline, silent);
    const over = new AbortController();
    const sensorsOver = new AbortController();
    this.stop.addEventListener("abort", () => sensorsOver.abort(), { once: true });
    if (this.stop.aborted) sensorsOver.abort();
    const running = pipeline.run(over.signal);
    try {
      const url = await this.#listening(pipeline, running);
      const work = Promise.all([
        runSensors(url, sensorsOver.signal),
        this.#follow(pipeline, sensorsOver.signal),
        this.#show(pipeline, url, sensorsOver.signal),
      ]);
      await Promise.race([work, running.then(() => work)]);
      over.abort();
      await running;
      this.#model.update(await pipeline.snapshot());
      return await this.#sumUp();
    } finally {
      sensorsOver.abort();
      over.abort();
      await Promise.allSettled([running]);
      await socket.close();
      await this.#clock.close();
    }
  }

  async #listening(pipeline: Pipeline, running: Promise<void>): Promise<string> {
    const lateMs = performance.now() + listenMs;
    while (performance.now() < lateMs) {
      const { subscriber } = await pipeline.snapshot();
      if (subscriber.state === "listening" && subscriber.url !== undefined) {
        return subscriber.url;
      }
      await Promise.race([pause(20, this.stop), running]);
    }
    throw new OperationError({ operation: "demo", place: "127.0.0.1", cause: "the broker does not listen" });
  }

  /** Readings as they become durable. */
  async #follow(pipeline: Pipeline, signal: AbortSignal): Promise<void> {
    for await (const { readings } of pipeline.tail(signal)) {
      for (const reading of readings) this.#model.add(readingJson(reading), performance.now());
    }
  }

  async #show(pipeline: Pipeline, url: string, signal: AbortSignal): Promise<void> {
    const { terminal } = this;
    const inPlace = terminal.interactive;
    if (inPlace) await terminal.out("\x1b[?1049h\x1b[?25l\x1b[?7l");
    else await this.#introduce(url);
    try {
      while (!signal.aborted) {
        this.#model.update(await pipeline.snapshot());
        await terminal.out(inPlace ? this.#frame(url) : `${plainLine(this.#model, this.#elapsedMs())}\n`);
        await pause(inPlace ? drawMs : plainMs, signal);
      }
    } finally {
      if (inPlace) await terminal.out("\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
  }

  async #introduce(url: string): Promise<void> {
    const steps = nextSteps(url, this.config).map(([command, what]) => `  ${command}  # ${what}`);
    await this.terminal.out(`broker ${url}; in another terminal:\n${steps.join("\n")}\n`);
  }

  /** Draws over what is there, line by line, in one write: nothing is cleared first, so nothing flickers. */
  #frame(url: string): string {
    const { columns, rows } = this.terminal.size();
    const lines = screen(this.#model, {
      ...{ columns, rows, colour: this.terminal.colour, url },
      elapsedMs: this.#elapsedMs(),
      nowMs: performance.now(),
      nextSteps: nextSteps(url, this.config),
    });
    return `\x1b[?2026h\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J\x1b[?2026l`;
  }

  #elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  async #sumUp(): Promise<number> {
    const { acknowledged, onDisk, stored, waiting, sumHolds } = this.#model.counts;
    const well = sumHolds && acknowledged === onDisk && waiting === 0;
    const lines = [
      `The demo ran for ${durationText(this.#elapsedMs())}: ${
        countText(acknowledged)
      } readings acknowledged, ` +
      `${countText(onDisk)} on disk, ${countText(stored)} stored${
        well ? ": every one is accounted for." : "."
      }`,
      'Its folder is gone. With a broker and an Elasticsearch of your own: README, "five minutes".',
    ];
    await this.terminal.out(`${lines.join("\n")}\n`);
    return well ? 0 : 1;
  }
}

/** What a user can type while the demo runs, as this program was started. */
function nextSteps(url: string, config: string): [string, string][] {
  const compiled = basename(Deno.execPath()).startsWith("sensorlog-agent");
  const agent = compiled ? Deno.execPath() : "npx --yes deno@2.6.8 task agent";
  return [
    [
      `mosquitto_pub -p ${new URL(url).port} -t my/sensor -m 21.5 -q 1`,
      "a reading of your own; it shows up above",
    ],
    [`${agent} status --config ${config}`, "what the agent says of itself"],
    [`${agent} export --config ${config} | head`, "the store as CSV"],
  ];
}

const nothing = () => {};
/** Log lines would tear the screen; what wants attention is an alarm, and shown. */
const silent: Log = { error: nothing, warning: nothing, notice: nothing, info: nothing, debug: nothing };
