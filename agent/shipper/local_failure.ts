/** What SQLite and the system say, as an error of the agent's with what to do. Pure. */
import { errorCode, OperationError, reasonOf } from "../base/errors.ts";

export type StoreFault = "damaged" | "full" | "busy" | "io" | "disk" | "forbidden" | "other";

/** SQLite's own words (sqlite3_errstr); the binding passes no number on. */
const words: [RegExp, StoreFault][] = [
  [/database disk image is malformed|file is not a database|malformed database schema/, "damaged"],
  [/database or disk is full/, "full"],
  [/database (table )?is locked|database schema is locked|locking protocol/, "busy"],
  [/attempt to write a readonly database|access permission denied/, "forbidden"],
  [/disk I\/O error/, "io"],
  [/unable to open database file|large file support/, "disk"],
];

const codes: Record<string, StoreFault> = {
  ENOSPC: "full",
  EDQUOT: "full",
  EACCES: "forbidden",
  EPERM: "forbidden",
  EROFS: "forbidden",
};

/** What kind of failure it is. */
export function faultOf(error: unknown): StoreFault {
  const code = errorCode(error);
  if (code !== undefined && Object.hasOwn(codes, code)) return codes[code]!;
  if (error instanceof Deno.errors.PermissionDenied) return "forbidden";
  const text = reasonOf(error);
  return words.find(([pattern]) => pattern.test(text))?.[1] ?? (code?.startsWith("E") ? "disk" : "other");
}

const explanations: Record<StoreFault, { cause?: string; remedy?: string; retryable: boolean }> = {
  damaged: { cause: "the database is damaged", retryable: true },
  full: {
    cause: "the disk is full",
    remedy: "make room on it; the store gives up its oldest readings as far as it may",
    retryable: true,
  },
  busy: {
    cause: "another program holds the database",
    remedy: "close it there; reading needs no lock",
    retryable: true,
  },
  io: { remedy: "check the disk, and whether it is full", retryable: true },
  disk: { remedy: "check the disk and that the folder is there", retryable: true },
  forbidden: {
    remedy: "make folder and database writable for the agent's user, or name another dir",
    retryable: false,
  },
  other: { remedy: "please report this", retryable: true },
};

/** The failure of `operation` at `place` as an OperationError; one that is one already stays as it is. */
export function storeFailed(operation: string, place: string, error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  const { cause, remedy, retryable } = explanations[faultOf(error)];
  return new OperationError({
    operation,
    place,
    cause: cause ?? reasonOf(error),
    ...(remedy === undefined ? {} : { remedy }),
    retryable,
    from: error,
  });
}
