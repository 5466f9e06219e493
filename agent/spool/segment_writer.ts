/** One segment while it is written: append, make durable, cut back to what is durable when that fails. */
import { join } from "node:path";
import { LostSyncError, reasonOf } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import { checksumSeed, encodeHeader, headerBytes, segmentName } from "./format.ts";
import type { SegmentIdentity } from "./format.ts";
import type { ReadableSegment } from "./reader.ts";

export class SegmentWriter implements ReadableSegment {
  readonly id: string;
  readonly firstSequence: number;
  readonly path: string;
  readonly recordsFrom = headerBytes;
  readonly seed: number;
  /** Everything before this offset is on disk for good; 0 until the first sync. */
  durableBytes = 0;
  #writtenBytes = 0;
  #dirty = false;

  private constructor(
    private readonly files: Files,
    private readonly folder: string,
    readonly identity: SegmentIdentity,
    private readonly file: OpenFile,
  ) {
    this.id = identity.id;
    this.firstSequence = identity.firstSequence;
    this.seed = checksumSeed(identity.id);
    this.path = join(folder, segmentName(identity));
  }

  /** Makes the file, empty; throws the system's error, and then there is none. */
  static create(files: Files, folder: string, identity: SegmentIdentity): SegmentWriter {
    const file = files.open(join(folder, segmentName(identity)), "create");
    return new SegmentWriter(files, folder, identity, file);
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Writes the header and the record of held ids that a segment begins with; throws as `append` does. */
  begin(heldRecord: Uint8Array): void {
    const first = new Uint8Array(headerBytes + heldRecord.length);
    first.set(encodeHeader(this.identity));
    first.set(heldRecord, headerBytes);
    this.append(first);
  }

  /** Writes behind what is there; throws the system's error (the caller then calls `cutBack`). */
  append(bytes: Uint8Array): void {
    this.#dirty = true;
    this.file.append(bytes);
    this.#writtenBytes += bytes.length;
  }

  /**
   * Makes durable what is written, and the file's name when it is new. Throws LostSyncError when the disk can't: then
   * the unsynced bytes are cut off, so that the next life does not find in the page cache what is not on the disk.
   * `onDurable` is called in the same turn in which `durableBytes` moves: a reader sees both or neither.
   */
  async sync(onDurable: () => void): Promise<void> {
    const writtenBytes = this.#writtenBytes;
    try {
      await this.file.syncData();
      if (this.durableBytes === 0) await this.files.syncFolder(this.folder);
    } catch (error) {
      const cut = this.cutBack();
      throw new LostSyncError({
        operation: "sync segment",
        place: this.path,
        cause: `${reasonOf(error)}${cut === undefined ? "" : ` (and not cut back: ${cut})`}`,
        remedy:
          "what the disk holds of the last messages is unknown; they were not acknowledged and come again",
        from: error,
      });
    }
    this.durableBytes = writtenBytes;
    this.#dirty = false;
    onDurable();
  }

  /** Takes back what is not durable: a new file is removed. Returns why it can't, or undefined when it is done. */
  cutBack(): string | undefined {
    if (!this.#dirty && this.durableBytes > 0) return undefined;
    try {
      if (this.durableBytes === 0) this.files.unlink(this.path);
      else this.file.truncate(this.durableBytes);
      this.#writtenBytes = this.durableBytes;
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  close(): void {
    this.file.close();
  }
}
