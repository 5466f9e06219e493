/** The machine's clocks. Each thing is asked in several ways, because a confined service may not use all of them. */
import type { Clock, Synchronised } from "./clock.ts";
import { bootClock, clockNs, libc } from "./libc.ts";

/** Taken once: at each use Deno looks through the stack for who asks, because a Node module would get others. */
const { setTimeout, clearTimeout } = globalThis;
/** How often it is asked whether the wall clock is synchronised. */
const refreshDefaultMs = 5_000;
/** Asking timedatectl starts a process; it is asked less often once it said yes. */
const askAgainMs = 60_000;
const timedatectlTimeoutMs = 5_000;
/** setTimeout takes 31 bits. */
const timerMsMax = 2 ** 31 - 1;

/** The ways to ask; the real ones unless a test brings others. */
export interface ClockSources {
  /** CLOCK_BOOTTIME in ms, or undefined. */
  bootMs(): number | undefined;
  /** Identity of the boot as the system writes it, or undefined. */
  bootId(): string | undefined;
  /** What adjtimex(2) returns: 0 to 4 synchronised, 5 not; undefined when it may not be asked. */
  adjtimex(): number | undefined;
  /** Whether systemd-timesyncd is known to have synchronised since boot. */
  timesyncMark(): boolean;
  /** What timedatectl says, or undefined. */
  timedatectl(): Promise<boolean | undefined>;
}

export class SystemClock implements Clock {
  readonly bootId: string;
  readonly #bootMs: () => number;
  readonly #timer: number;
  #synchronised: Synchronised = "unknown";
  #askedMs = -Infinity;
  #asking: Promise<void> | undefined;

  constructor(private readonly sources: ClockSources = systemSources, refreshMs: number = refreshDefaultMs) {
    const bootId = normalBootId(sources.bootId());
    if (bootId !== undefined && sources.bootMs() !== undefined) {
      this.bootId = bootId;
      this.#bootMs = () => sources.bootMs()!;
    } else {
      // without both, times of two lives of the agent can't be compared: then each life counts as a boot of its own
      this.bootId = crypto.getRandomValues(new Uint8Array(16)).toHex();
      this.#bootMs = () => performance.now();
    }
    this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), refreshMs);
    Deno.unrefTimer(this.#timer);
  }

  wallMs(): number {
    return Date.now();
  }

  bootMs(): number {
    return this.#bootMs();
  }

  synchronised(): Synchronised {
    return this.#synchronised;
  }

  sleep(timeMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((done) => {
      if (signal?.aborted) return done();
      const sleepers = signal === undefined ? undefined : sleepersOf(signal);
      const timer = setTimeout(() => {
        sleepers?.delete(wake);
        done();
      }, Math.min(Math.max(timeMs, 0), timerMsMax));
      const wake = () => {
        clearTimeout(timer);
        done();
      };
      sleepers?.add(wake);
    });
  }

  /** Ends the asking in the background; resolves when a question that is under way is answered. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#asking;
  }

  #refresh(): void {
    const state = this.sources.adjtimex();
    if (state !== undefined) {
      this.#synchronised = state === 5 ? "no" : "yes";
      return;
    }
    if (this.sources.timesyncMark()) {
      this.#synchronised = "yes";
      return;
    }
    const nowMs = this.bootMs();
    const waitMs = this.#synchronised === "yes" ? askAgainMs : 0;
    if (this.#asking !== undefined || nowMs - this.#askedMs < waitMs) return;
    this.#askedMs = nowMs;
    this.#asking = this.sources.timedatectl().then((answer) => {
      this.#synchronised = answer === undefined ? "unknown" : answer ? "yes" : "no";
      this.#asking = undefined;
    });
  }
}

/** 32 lower-case hex digits, or undefined. */
function normalBootId(text: string | undefined): string | undefined {
  const id = text?.trim().replaceAll("-", "").toLowerCase();
  return id !== undefined && /^[0-9a-f]{32}$/.test(id) ? id : undefined;
}

/** Those that sleep until a signal aborts. One listener serves them all: adding and removing one costs more than a timer. */
const sleepersBySignal = new WeakMap<AbortSignal, Set<() => void>>();

function sleepersOf(signal: AbortSignal): Set<() => void> {
  const known = sleepersBySignal.get(signal);
  if (known !== undefined) return known;
  const sleepers = new Set<() => void>();
  sleepersBySignal.set(signal, sleepers);
  signal.addEventListener("abort", () => sleepers.forEach((wake) => wake()), { once: true });
  return sleepers;
}

/** The file's text, or undefined when it can't be read, whatever the reason. */
function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/** struct timex of 64-bit Linux; `modes` 0 asks without changing anything. */
const timex = new Uint8Array(208);

const systemSources: ClockSources = {
  bootMs() {
    const ns = clockNs(bootClock);
    if (ns !== undefined) return Number(ns) / 1e6;
    const uptimeS = Number.parseFloat(textOf("/proc/uptime") ?? "");
    return Number.isNaN(uptimeS) ? undefined : uptimeS * 1_000;
  },
  bootId() {
    // SENSORLOG_BOOT_ID: `Environment=SENSORLOG_BOOT_ID=%b` of a unit that hides /proc/sys
    return normalBootId(textOf("/proc/sys/kernel/random/boot_id")) ?? Deno.env.get("SENSORLOG_BOOT_ID");
  },
  adjtimex() {
    const state = libc?.adjtimex(timex.fill(0)) ?? -1;
    return state < 0 ? undefined : state;
  },
  timesyncMark() {
    try {
      Deno.statSync("/run/systemd/timesync/synchronized");
      return true;
    } catch {
      return false;
    }
  },
  async timedatectl() {
    try {
      const command = new Deno.Command("timedatectl", {
        args: ["show", "--property=NTPSynchronized", "--value"],
        stdin: "null",
        stderr: "null",
        signal: AbortSignal.timeout(timedatectlTimeoutMs),
      });
      const answer = new TextDecoder().decode((await command.output()).stdout).trim();
      return answer === "yes" ? true : answer === "no" ? false : undefined;
    } catch {
      return undefined; // not installed, or not allowed
    }
  },
};
