/**
 * Work of root in a folder of another user, done as that user: what is made there is that user's, and nothing that the user
 * could have put there leads root anywhere else.
 */
import { dirname } from "node:path";
import { OperationError } from "./errors.ts";

const symbols = {
  seteuid: { parameters: ["u32"], result: "i32" },
  setegid: { parameters: ["u32"], result: "i32" },
} as const;

/** Who this process acts as; for all its threads, as the GNU C library does it (seteuid(2)). */
export class Acting {
  private constructor(
    private readonly library: Deno.DynamicLibrary<typeof symbols> | undefined,
    private readonly owner: { uid: number; gid: number },
  ) {}

  /** As the owner of a folder, or of the nearest one above it that is there. Nothing changes unless this is root. */
  static asOwnerOf(dir: string): Acting {
    const { uid, gid } = nearest(dir);
    if (Deno.uid() !== 0 || uid === 0) return new Acting(undefined, { uid: 0, gid: 0 });
    const acting = new Acting(Deno.dlopen("libc.so.6", symbols), { uid, gid });
    acting.#become(acting.owner);
    return acting;
  }

  /** What only root may do in between. */
  asRoot<T>(work: () => T): T {
    if (this.library === undefined) return work();
    this.#become({ uid: 0, gid: 0 });
    try {
      return work();
    } finally {
      this.#become(this.owner);
    }
  }

  /** Root again. */
  end(): void {
    if (this.library === undefined) return;
    this.#become({ uid: 0, gid: 0 });
    this.library.close();
  }

  #become({ uid, gid }: { uid: number; gid: number }): void {
    const { seteuid, setegid } = this.library!.symbols;
    // only root can change the group
    const results = uid === 0 ? [seteuid(uid), setegid(gid)] : [setegid(gid), seteuid(uid)];
    if (results.every((result) => result === 0)) return;
    throw new OperationError({
      ...{ operation: "act as another user", place: `user id ${uid}`, cause: "the system does not allow it" },
      remedy: "be root, without a sandbox around",
    });
  }
}

function nearest(dir: string): { uid: number; gid: number } {
  for (let here = dir;; here = dirname(here)) {
    try {
      const { uid, gid } = Deno.statSync(here);
      return { uid: uid ?? 0, gid: gid ?? 0 };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) || here === "/") throw error;
    }
  }
}
