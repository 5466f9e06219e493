/** A disk of the test's own that is small enough to fill: a mounted tmpfs. */
import { join } from "node:path";
import { finish, succeed } from "../lab/command.ts";
import { isRoot, makeLabDir } from "../lab/paths.ts";

const asRoot = (program: string, ...args: string[]): [string, string[]] =>
  isRoot ? [program, args] : ["sudo", ["-n", program, ...args]];

/** `await using` unmounts it. Mounting takes root or a passwordless sudo, as the lab's packages do. */
export class SmallDisk implements AsyncDisposable {
  /** A folder on it of this process's user. */
  readonly dir: string;

  private constructor(private readonly mountPoint: string) {
    this.dir = join(mountPoint, "spool");
  }

  static async mount(mebibytes: number): Promise<SmallDisk> {
    const mountPoint = await makeLabDir("disk");
    const options = `size=${mebibytes}m,uid=${Deno.uid()},gid=${Deno.gid()},mode=0700`;
    await succeed(...asRoot("mount", "-t", "tmpfs", "-o", options, "sensorlog-lab", mountPoint));
    const disk = new SmallDisk(mountPoint);
    await Deno.mkdir(disk.dir, { mode: 0o700 });
    return disk;
  }

  /** Makes the disk read-only or writable; only while no file on it is open for writing. */
  async setReadOnly(readOnly: boolean): Promise<void> {
    await succeed(...asRoot("mount", "-o", `remount,${readOnly ? "ro" : "rw"}`, this.mountPoint));
  }

  /** Takes all the room that is left, to the last byte. */
  async fill(): Promise<void> {
    using file = await Deno.open(join(this.mountPoint, "filler"), {
      create: true,
      write: true,
      append: true,
    });
    for (const block of [1024 * 1024, 4096, 1]) {
      try {
        while (true) await file.write(new Uint8Array(block));
      } catch (error) {
        if ((error as { code?: string }).code !== "ENOSPC") throw error;
      }
    }
  }

  /** Gives the room back that `fill` took. */
  async empty(): Promise<void> {
    await Deno.remove(join(this.mountPoint, "filler"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await finish(...asRoot("umount", "-l", this.mountPoint));
    await Deno.remove(this.mountPoint, { recursive: true });
  }
}
