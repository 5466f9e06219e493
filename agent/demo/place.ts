/** The demo's folder: configuration, spool and store, for as long as it runs. */
import { join } from "node:path";
import { OperationError, reasonOf } from "../base/errors.ts";
import { type Lock, lockFolder } from "../base/lock.ts";

const prefix = "sensorlog-demo-";
const attempts = 10;
/** A socket's path has 107 bytes at most: so many are left for the folder of temporary files. */
const topBytesMax = 60;
/** The store's thread may still be at a file of it. */
const removeAttempts = 5;

export class Place {
  private constructor(readonly dir: string, private readonly lock: Lock) {}

  /**
   * Makes a folder that only this user can enter, and removes those of demos that were killed: the system frees a lock
   * when its process is gone, however it went. Throws an OperationError when it can't be made.
   */
  static async make(top: string = temporaryFolder()): Promise<Place> {
    let reason: unknown;
    await removeLeftOvers(top);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const dir = join(top, `${prefix}${crypto.getRandomValues(new Uint8Array(2)).toHex()}`);
      try {
        Deno.mkdirSync(dir, { mode: 0o700 });
        const place = new Place(dir, await lockFolder(dir));
        place.#writeConfiguration();
        return place;
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) tryRemove(dir); // another demo may have taken it for a left-over
        reason = error;
      }
    }
    throw new OperationError({
      operation: "make a folder for the demo",
      place: top,
      cause: reasonOf(reason),
      remedy: "the folder for temporary files must be writable; name another one in TMPDIR",
      from: reason,
    });
  }

  /** The configuration that the other commands find the demo by. */
  get configFile(): string {
    return join(this.dir, "agent.yaml");
  }

  /** Removes the folder, at once. What can't be removed now, the next demo removes. */
  remove(): void {
    for (let attempt = 0; attempt < removeAttempts && !tryRemove(this.dir); attempt++);
    this.lock.release();
  }

  #writeConfiguration(): void {
    const path = (name: string) => JSON.stringify(join(this.dir, name));
    const text = `# Of a demo that runs; it goes with it.
plant: demo
mqtt:
  listen: 127.0.0.1:0 # a free port
spool:
  dir: ${path("spool")}
  max_size: 64MiB
  min_free: 1MiB
outputs:
  here:
    type: local
    dir: ${path("store")}
    max_size: 64MiB
`;
    Deno.writeTextFileSync(this.configFile, text, { mode: 0o600, createNew: true });
  }
}

/** Returns whether it is gone. */
function tryRemove(dir: string): boolean {
  try {
    Deno.removeSync(dir, { recursive: true });
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

function temporaryFolder(): string {
  const top = Deno.env.get("TMPDIR") || "/tmp";
  return new TextEncoder().encode(top).length > topBytesMax ? "/tmp" : top;
}

/** Folders of this user's whose process is gone go; anything else is left alone. */
async function removeLeftOvers(top: string): Promise<void> {
  let names: string[];
  try {
    names = [...Deno.readDirSync(top)].filter(({ name, isDirectory }) => {
      return isDirectory && name.startsWith(prefix);
    }).map(({ name }) => name);
  } catch {
    return; // making one says why
  }
  for (const name of names) await removeIfLeft(join(top, name));
}

async function removeIfLeft(dir: string): Promise<void> {
  try {
    if (Deno.lstatSync(dir).uid !== Deno.uid()) return;
    if (!Deno.lstatSync(join(dir, "lock")).isFile) return; // somebody is just making it, or it is no demo's
    const lock = await lockFolder(dir);
    try {
      Deno.removeSync(dir, { recursive: true });
    } finally {
      lock.release();
    }
  } catch {
    // its demo runs, or another one is just removing it
  }
}
