/**
 * Room set aside beforehand, so that cursors and dead letters can be written on a full disk: when the disk refuses for
 * want of room, the reserve's file is given up and the write is tried once more. The cleaner makes it anew later.
 */
import { reserveBytes } from "../limits.ts";
import { DiskFullError, errorCode, reasonOf } from "./errors.ts";
import type { Files, OpenFile } from "./files.ts";

const pieceBytes = 64 * 1024;

/** Whether the disk refused for want of room (ENOSPC, EDQUOT). */
export function isDiskFull(error: unknown): boolean {
  const code = errorCode(error);
  return error instanceof DiskFullError || code === "ENOSPC" || code === "EDQUOT";
}

export class Reserve {
  #held = false;

  private constructor(
    private readonly files: Files,
    private readonly path: string,
    private readonly sizeBytes: number,
  ) {}

  /** Makes the reserve, or takes the one of an earlier run. Never fails for want of room: then there is none for now. */
  static async open(files: Files, path: string, sizeBytes: number = reserveBytes): Promise<Reserve> {
    const reserve = new Reserve(files, path, sizeBytes);
    await reserve.restore();
    return reserve;
  }

  /** Whether the room is set aside at present. */
  get held(): boolean {
    return this.#held;
  }

  /** Sets the room aside again when there is some. Returns whether it is set aside now. Throws what is not ENOSPC. */
  async restore(): Promise<boolean> {
    if (this.#held) return true;
    try {
      if (this.#sizeOnDisk() !== this.sizeBytes) await this.#make();
      this.#held = true;
    } catch (error) {
      this.#remove();
      if (!isDiskFull(error)) throw error;
    }
    return this.#held;
  }

  /** Like Files.replace, with the reserve behind it. Throws DiskFullError when even that was not enough. */
  async replace(path: string, content: Uint8Array): Promise<void> {
    try {
      return await this.files.replace(path, content);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
    this.#giveUp();
    try {
      await this.files.replace(path, content);
    } catch (error) {
      throw isDiskFull(error) ? fullError("write", path, error) : error;
    }
  }

  /**
   * Adds bytes at the end of a file and makes them durable, with the reserve behind it. Throws DiskFullError when even
   * that was not enough, else what the disk said; the file then has the length that it had before, if it can be cut.
   */
  async append(file: OpenFile, path: string, bytes: Uint8Array): Promise<void> {
    const sizeBytes = file.size();
    try {
      return await this.#append(file, bytes, sizeBytes);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
    this.#giveUp();
    try {
      await this.#append(file, bytes, sizeBytes);
    } catch (error) {
      throw isDiskFull(error) ? fullError("append to", path, error) : error;
    }
  }

  /** Writing anew after a failed sync makes the pages dirty again, so the next sync tells the truth about them. */
  async #append(file: OpenFile, bytes: Uint8Array, sizeBytes: number): Promise<void> {
    try {
      file.append(bytes);
      await file.syncData();
    } catch (error) {
      file.truncate(sizeBytes);
      throw error;
    }
  }

  #sizeOnDisk(): number {
    try {
      const file = this.files.open(this.path, "read");
      const sizeBytes = file.size();
      file.close();
      return sizeBytes;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return -1;
      throw error;
    }
  }

  /** Random bytes: zeros take no room on a file system that compresses. */
  async #make(): Promise<void> {
    this.#remove();
    const file = this.files.open(this.path, "create");
    try {
      const piece = crypto.getRandomValues(new Uint8Array(Math.min(pieceBytes, this.sizeBytes)));
      for (let at = 0; at < this.sizeBytes; at += piece.length) {
        file.append(piece.subarray(0, Math.min(piece.length, this.sizeBytes - at)));
      }
      await file.syncData();
    } finally {
      file.close();
    }
  }

  #giveUp(): void {
    this.#held = false;
    this.#remove();
  }

  #remove(): void {
    try {
      this.files.unlink(this.path);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }
}

function fullError(operation: string, place: string, from: unknown): DiskFullError {
  return new DiskFullError({
    operation,
    place,
    cause: `the disk is full, the agent's reserve included (${reasonOf(from)})`,
    remedy: "make room on this file system",
    retryable: true,
    from,
  });
}
