/** One line per event, in levels that journald understands. Implemented in `base/logger.ts`. */

export type Level = "error" | "warning" | "notice" | "info" | "debug";

/** Values that go beside the message; never a secret. */
export type Fields = Record<string, string | number | boolean | undefined>;

/** Writes one event. `message` is a constant sentence; what varies goes into `fields`. */
export interface Log {
  error(message: string, fields?: Fields): void;
  warning(message: string, fields?: Fields): void;
  notice(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
}
