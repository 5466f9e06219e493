/** A log that a test can read. */
import type { Fields, Level, Log } from "../../agent/base/log.ts";

export interface Line {
  level: Level;
  message: string;
  fields: Fields;
}

export class MemoryLog implements Log {
  readonly lines: Line[] = [];

  #add = (level: Level) => (message: string, fields: Fields = {}): void => {
    this.lines.push({ level, message, fields });
  };
  error = this.#add("error");
  warning = this.#add("warning");
  notice = this.#add("notice");
  info = this.#add("info");
  debug = this.#add("debug");

  /** All lines as text, for messages of failed tests and for looking for a word. */
  get text(): string {
    return this.lines.map((line) => `${line.level} ${line.message} ${JSON.stringify(line.fields)}`).join(
      "\n",
    );
  }
}
