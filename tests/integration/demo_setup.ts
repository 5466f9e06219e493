/** The folders of demos that run as processes of their own. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { makeLabDir } from "../lab/paths.ts";
import { waitUntil } from "../lab/wait.ts";

/** A temporary folder for the demos of one test: at the end nothing may be left in it. */
export class DemoTmp implements AsyncDisposable {
  private constructor(readonly dir: string) {}

  static async make(): Promise<DemoTmp> {
    return new DemoTmp(await makeLabDir("demo"));
  }

  get env(): Record<string, string> {
    return { TMPDIR: this.dir };
  }

  /** What demos have there. */
  left(): string[] {
    return [...Deno.readDirSync(this.dir)].map(({ name }) => name);
  }

  /** The folder and process id of the one demo that runs. */
  async running(): Promise<{ dir: string; pid: number }> {
    await waitUntil(() => this.left().length === 1, 20_000, "one demo's folder");
    const dir = join(this.dir, this.left()[0]!);
    const pid = await waitUntil(() => Number(Deno.readTextFileSync(join(dir, "lock"))), 20_000, "its lock");
    return { dir, pid };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const left = this.left();
    await Deno.remove(this.dir, { recursive: true });
    assert.deepEqual(left, [], "nothing is left behind");
  }
}
