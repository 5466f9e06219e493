/**
 * How far each message file was read into the spool: `import/progress.json` beside the segments, replaced in one step. What
 * a segment brings is noted with the segment's name before it comes into the stream; should the process end in between,
 * the segment's file itself tells whether it did.
 */
import { join } from "node:path";
import { OperationError } from "../base/errors.ts";
import type { Files } from "../base/files.ts";

/** How far one file was read. A file of the same name with another inode is another file. */
export interface FileProgress {
  inode: number;
  /** Everything before this offset is in the spool, or was refused. */
  bytes: number;
  messages: number;
  /** Lines that were no messages. */
  refused: number;
}

/** By path. */
export type Standing = Record<string, FileProgress>;

interface Content {
  version: number;
  files: Standing;
  /** A segment that comes into the stream next, and how far the files are read when it has. */
  coming?: { segment: string; files: Standing };
}

const version = 1;
const nameOf = (makingDir: string) => join(makingDir, "progress.json");

/** How far the files are read, for people: an import that was cut off in the middle of a step counts from before it. */
export function readProgress(files: Files, spoolDir: string): Standing {
  const path = nameOf(join(spoolDir, importFolder));
  const bytes = files.read(path);
  return bytes === undefined ? {} : parse(path, bytes).files;
}

/** Beside the segments; holds progress, and a segment while it is made. */
export const importFolder = "import";

export class ImportProgress {
  private constructor(
    private readonly files: Files,
    private readonly path: string,
    /** What holds now. */
    private standing: Standing,
  ) {}

  /** `isMade` tells of a segment whether it was made and did not come into the stream. */
  static async open(
    files: Files,
    dir: string,
    isMade: (segment: string) => boolean,
  ): Promise<ImportProgress> {
    files.makeFolder(dir);
    await files.syncFolder(dir); // what a killed import has renamed counts from now on
    const path = nameOf(dir);
    const bytes = files.read(path);
    const content = bytes === undefined ? { version, files: {} } : parse(path, bytes);
    const { coming } = content;
    const came = coming !== undefined && !isMade(coming.segment);
    const progress = new ImportProgress(files, path, came ? coming.files : content.files);
    // a segment that did not come is made anew, under another name
    if (coming !== undefined) await progress.settle(progress.standing);
    return progress;
  }

  /** How far this file was read; undefined: not at all. */
  of(path: string, inode: number): FileProgress | undefined {
    const found = this.standing[path];
    return found?.inode === inode ? found : undefined;
  }

  get all(): Standing {
    return this.standing;
  }

  /** The segment of that name is about to come into the stream. Durable when it returns. */
  async expect(segment: string, files: Standing): Promise<void> {
    await this.#write({ version, files: this.standing, coming: { segment, files } });
  }

  /** This holds now. Durable when it returns. */
  async settle(files: Standing): Promise<void> {
    await this.#write({ version, files });
    this.standing = files;
  }

  /** The segment that was expected has come; noted on disk with the next one. */
  came(files: Standing): void {
    this.standing = files;
  }

  async #write(content: Content): Promise<void> {
    await this.files.replace(this.path, new TextEncoder().encode(JSON.stringify(content, null, 1) + "\n"));
  }
}

function parse(path: string, bytes: Uint8Array): Content {
  try {
    const content = JSON.parse(new TextDecoder().decode(bytes)) as Content;
    const sound = content.version === version && isStanding(content.files) &&
      (content.coming === undefined ||
        (typeof content.coming.segment === "string" && isStanding(content.coming.files)));
    if (sound) return content;
  } catch {
    // told below
  }
  throw new OperationError({
    ...{ operation: "read how far message files were imported", place: path, cause: "it is damaged" },
    remedy:
      "remove it only when reading all files again, each message twice, is better than leaving them out",
  });
}

function isStanding(files: unknown): files is Standing {
  return typeof files === "object" && files !== null && Object.values(files).every((one) => {
    return [one?.inode, one?.bytes, one?.messages, one?.refused].every((number) => {
      return Number.isSafeInteger(number) && number >= 0;
    });
  });
}
