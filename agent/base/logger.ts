/**
 * The log on standard error, one line per event. Writing never blocks the agent and never throws: lines wait in a
 * bounded queue while nobody reads, and what does not fit is counted.
 */
import { safeJson, safeText } from "./display.ts";
import type { Fields, Level, Log } from "./log.ts";

/** journald's number of each level. */
const priorities: Record<Level, number> = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };
const colours: Partial<Record<Level, string>> = { error: "31", warning: "33", notice: "1", debug: "2" };

const queueBytesMax = 256 * 1024;
const lineCharsMax = 8_000;
/** A line that goes on repeating is counted aloud this often. */
const repeatsShownMs = 30_000;
/** How long `flush` waits for a reader. */
const flushTimeoutMs = 1_000;

export interface LoggerOptions {
  format: "text" | "json";
  level: Level;
  /** Where bytes go; returns how many were taken. Standard error unless a test brings another. */
  write?: (bytes: Uint8Array) => Promise<number>;
  /** What reads it: found out for standard error. */
  reader?: "journal" | "terminal" | "file";
  wallMs?: () => number;
}

export class Logger implements Log {
  level: Level;
  format: "text" | "json";
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #reader: "journal" | "terminal" | "file";
  readonly #wallMs: () => number;
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;
  #last: { level: Level; message: string; fields: Fields; key: string; repeats: number } | undefined;
  #timer: number | undefined;

  constructor(options: LoggerOptions) {
    this.format = options.format;
    this.level = options.level;
    this.#write = options.write ?? ((bytes) => Deno.stderr.write(bytes));
    this.#reader = options.reader ?? standardErrorReader();
    this.#wallMs = options.wallMs ?? Date.now;
  }

  error(message: string, fields?: Fields): void {
    this.#log("error", message, fields);
  }
  warning(message: string, fields?: Fields): void {
    this.#log("warning", message, fields);
  }
  notice(message: string, fields?: Fields): void {
    this.#log("notice", message, fields);
  }
  info(message: string, fields?: Fields): void {
    this.#log("info", message, fields);
  }
  debug(message: string, fields?: Fields): void {
    this.#log("debug", message, fields);
  }

  /** Waits until what was logged is written, at most a second; call it before the process ends. */
  async flush(): Promise<void> {
    this.#showRepeats();
    this.#last = undefined;
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, flushTimeoutMs);
    await Promise.race([this.#writing, patience.promise]);
    clearTimeout(timer);
  }

  #log(level: Level, message: string, fields: Fields = {}): void {
    if (priorities[level] > priorities[this.level]) return;
    const key = JSON.stringify([level, message, fields]);
    if (this.#last?.key === key) {
      this.#last.repeats++;
      if (this.#timer === undefined) {
        this.#timer = setTimeout(() => this.#showRepeats(), repeatsShownMs);
        Deno.unrefTimer(this.#timer);
      }
      return;
    }
    this.#showRepeats();
    this.#last = { level, message, fields, key, repeats: 0 };
    this.#put(this.#line(level, message, fields));
  }

  /** Says how often the last line came again since it was last shown. */
  #showRepeats(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#last === undefined || this.#last.repeats === 0) return;
    const { level, message, fields, repeats } = this.#last;
    this.#last.repeats = 0;
    this.#put(
      this.#line(level, `${message} (repeated ${repeats} ${repeats === 1 ? "time" : "times"})`, fields),
    );
  }

  #line(level: Level, message: string, fields: Fields): string {
    // journald takes the level from this prefix, and keeps the time itself
    const prefix = this.#reader === "journal" ? `<${priorities[level]}>` : "";
    if (this.format === "json") return prefix + jsonLine(level, message, fields, this.#wallMs());
    const text = safeText(textOf(message, fields)).slice(0, lineCharsMax);
    if (this.#reader === "journal") return prefix + text;
    const time = new Date(this.#wallMs()).toISOString();
    const name = level.toUpperCase().padEnd(7);
    if (this.#reader === "file") return `${time} ${name} ${text}`;
    const colour = colours[level];
    const shown = colour === undefined || Deno.noColor ? name : `\x1b[${colour}m${name}\x1b[0m`;
    return `${time.slice(11, 19)} ${shown} ${text}`;
  }

  #put(line: string): void {
    const bytes = new TextEncoder().encode(`${line}\n`);
    if (this.#queueBytes + bytes.length > queueBytesMax) {
      this.#lost++;
      return;
    }
    this.#queue.push(bytes);
    this.#queueBytes += bytes.length;
    this.#writing ??= this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const bytes = concat(this.#queue);
        this.#queue = [];
        for (let at = 0; at < bytes.length;) at += await this.#write(bytes.subarray(at));
        this.#queueBytes -= bytes.length;
        if (this.#lost > 0 && this.#queue.length === 0) {
          const lost = this.#lost;
          this.#lost = 0;
          this.#put(this.#line("warning", "Log lines were lost: nobody read them in time", { lines: lost }));
        }
      }
    } catch {
      // the reader is gone (EPIPE): there is nobody to tell
      this.#queue = [];
      this.#queueBytes = 0;
    } finally {
      this.#writing = undefined;
    }
  }
}

function concat(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** `message key=value other="a value"`. */
function textOf(message: string, fields: Fields): string {
  const parts = [message];
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = String(value);
    parts.push(`${name}=${/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`);
  }
  return parts.join(" ");
}

/** One line of Elastic Common Schema: what is the agent's own stands under `sensorlog.`. */
function jsonLine(level: Level, message: string, fields: Fields, wallMs: number): string {
  const line: Record<string, unknown> = {
    "@timestamp": new Date(wallMs).toISOString(),
    "log.level": level,
    message: message.slice(0, lineCharsMax),
    "ecs.version": "8.11.0",
    "service.name": "sensorlog-agent",
  };
  for (const [name, value] of Object.entries(fields)) {
    line[`sensorlog.${name}`] = typeof value === "string" ? value.slice(0, lineCharsMax) : value;
  }
  return safeJson(line);
}

/** JOURNAL_STREAM names device and inode of the socket to the journal: another redirection is none of its business. */
function standardErrorReader(): "journal" | "terminal" | "file" {
  const stream = Deno.env.get("JOURNAL_STREAM");
  if (stream !== undefined) {
    try {
      const { dev, ino } = Deno.statSync("/proc/self/fd/2");
      if (stream === `${dev}:${ino}`) return "journal";
    } catch {
      return "journal"; // can't be compared: only systemd sets this variable
    }
  }
  return Deno.stderr.isTerminal() ? "terminal" : "file";
}
