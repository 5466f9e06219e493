/** `demo`: the real pipeline between four simulated sensors and a store, in one process, in a folder that goes with it. */
import { ConfigError } from "../base/errors.ts";
import { Keyboard } from "../demo/keyboard.ts";
import { Place } from "../demo/place.ts";
import { Plant } from "../demo/plant.ts";
import { introduction, isComplete, plainLine, summary } from "../demo/plain.ts";
import { screen } from "../demo/screen.ts";
import { type Step, stepsFor, thisProcess } from "../demo/steps.ts";
import { pause } from "./pause.ts";
import type { CommonOptions, Host } from "./program.ts";
import { catchStrayErrors } from "./stray_errors.ts";
import { outLines, type Terminal } from "./terminal.ts";

const drawMs = 200;
const plainMs = 1_000;
/** The other screen, no cursor, no line that breaks by itself; and back. */
const enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/** Headings of the README. */
const nextStep = 'README.md, "Five minutes" with a broker of your own, or "Without a cloud".';
const leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/** Ends with 0 on Ctrl-C or after `--seconds`, when every reading is accounted for; else with 1. */
export async function demo(
  { terminal, version }: Host,
  options: CommonOptions & { seconds?: number },
): Promise<number> {
  if (options.config !== undefined) {
    throw new ConfigError({
      operation: "demo",
      place: "--config",
      cause: "the demo brings a configuration of its own",
      remedy: "leave it out, or use run",
    });
  }
  const fatal = catchStrayErrors();
  const place = await Place.make();
  const view = new DemoView(terminal, place, version, options.seconds);
  // a second Ctrl-C ends the process at once, and even then nothing may be left behind
  const atOnce = () => {
    view.leaveAtOnce();
    place.remove();
  };
  globalThis.addEventListener("unload", atOnce);
  const hangUp = () => view.end(); // the terminal was closed
  Deno.addSignalListener("SIGHUP", hangUp);
  try {
    return await Promise.race([view.run(), fatal.promise]);
  } finally {
    Deno.removeSignalListener("SIGHUP", hangUp);
    globalThis.removeEventListener("unload", atOnce);
    fatal.release();
    view.leaveAtOnce();
    place.remove();
  }
}

class DemoView {
  readonly #plant = new Plant();
  readonly #end = new AbortController();
  readonly #startMs = performance.now();
  readonly #inPlace: boolean;
  #keyboard: Keyboard | undefined;
  #url: string | undefined;
  #steps: Step[] = [];
  #ends = false;
  #entered = false;

  constructor(
    private readonly terminal: Terminal,
    private readonly place: Place,
    private readonly version: string,
    private readonly seconds: number | undefined,
  ) {
    this.#inPlace = terminal.interactive && Deno.env.get("TERM") !== "dumb";
    terminal.stop.addEventListener("abort", () => this.end(), { once: true });
    if (terminal.stop.aborted) this.end();
  }

  end(): void {
    this.#end.abort();
  }

  async run(): Promise<number> {
    const plant = this.#plant;
    try {
      if (this.#inPlace) await this.#enter();
      await Promise.all([this.#start(), this.#inPlace ? this.#draw() : undefined]);
      this.#ends = true;
      if (this.#inPlace) await this.terminal.out(this.#frame());
    } finally {
      this.end(); // the others stop drawing when one has failed
      await plant.end();
    }
    const { model } = plant;
    await this.#leave();
    await outLines(this.terminal, summary(model, this.#elapsedMs(), nextStep));
    return isComplete(model) ? 0 : 1;
  }

  /** Takes the terminal back as it was, without waiting for anything; does nothing when that is done. */
  leaveAtOnce(): void {
    this.#keyboard?.release();
    if (!this.#entered) return;
    this.#entered = false;
    try {
      Deno.stdout.writeSync(new TextEncoder().encode(leaveScreen));
    } catch {
      // the terminal is gone
    }
  }

  /** Starts the plant and lets it run until the end is wanted. Throws why it can't go on. */
  async #start(): Promise<void> {
    const plant = this.#plant;
    const ended = new Promise<void>((done) => {
      if (this.#end.signal.aborted) done();
      this.#end.signal.addEventListener("abort", () => done(), { once: true });
    });
    let timer: number | undefined;
    try {
      const url = await Promise.race([plant.start(this.place.configFile, this.version), ended]);
      if (url === undefined) return;
      if (this.seconds !== undefined) timer = setTimeout(() => this.end(), this.seconds * 1_000);
      this.#steps = stepsFor(url, this.place.configFile, thisProcess());
      this.#url = url;
      if (!this.#inPlace) await outLines(this.terminal, introduction(url, this.#steps));
      await Promise.race([this.#inPlace ? ended : this.#tell(), plant.failed()]);
    } finally {
      clearTimeout(timer);
      this.end();
    }
  }

  /** In a pipe: a line every second. */
  async #tell(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await pause(plainMs, this.#end.signal);
      await this.#plant.look();
      const line = plainLine(this.#plant.model, this.#elapsedMs(), performance.now());
      await outLines(this.terminal, [line]);
    }
  }

  /** On a terminal: the picture, drawn again and again, and at once when the window changes. */
  async #draw(): Promise<void> {
    let next = new AbortController();
    const resized = () => next.abort();
    Deno.addSignalListener("SIGWINCH", resized);
    try {
      while (!this.#end.signal.aborted) {
        await this.#plant.look();
        await this.terminal.out(this.#frame());
        next = new AbortController();
        await pause(drawMs, AbortSignal.any([next.signal, this.#end.signal]));
      }
    } finally {
      Deno.removeSignalListener("SIGWINCH", resized);
    }
  }

  /** Draws over what is there, line by line, in one write: nothing is cleared first, so nothing flickers. */
  #frame(): string {
    const { terminal } = this;
    const lines = screen(this.#plant.model, {
      ...terminal.size(),
      colour: terminal.colour,
      elapsedMs: this.#elapsedMs(),
      nowMs: performance.now(),
      ends: this.#ends,
      url: this.#url,
      steps: this.#steps,
    });
    return `\x1b[?2026h\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J\x1b[?2026l`;
  }

  async #enter(): Promise<void> {
    this.#entered = true;
    await this.terminal.out(enterScreen);
    // as Ctrl-C without a keyboard of our own: the second one ends the process at once
    this.#keyboard = new Keyboard(() => Deno.kill(Deno.pid, "SIGINT"));
  }

  async #leave(): Promise<void> {
    this.#keyboard?.release();
    if (!this.#entered) return;
    this.#entered = false;
    await this.terminal.out(leaveScreen);
  }

  #elapsedMs(): number {
    return performance.now() - this.#startMs;
  }
}
