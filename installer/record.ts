/**
 * What the installer remembers from one run to the next: the sums of the files that it wrote, so that it knows one that a
 * person has edited since, and which services have yet to be started again. It stands in a folder that only root can
 * write: what the agent's user could change, root must not rely on.
 */
import { dirname } from "node:path";
import { OperationError } from "../agent/base/errors.ts";
import type { Machine } from "./machine.ts";
import { places } from "./plan.ts";

export const recordPath = `${places.configDir}/installed.json`;

export interface Recorded {
  /** By path, the SHA-256 of what was written there, and of what was about to be. */
  sums: { [path: string]: string[] };
  /** Units that have not been seen well since something of theirs changed. */
  pending: string[];
  /** What the configuration was made from; no secrets. */
  answers: { [name: string]: unknown };
}

export class InstallRecord {
  private constructor(
    private readonly machine: Machine,
    private readonly content: Recorded,
    private written: string,
  ) {}

  /** What was remembered; nothing when there is no record. Throws OperationError when it can't be read. */
  static load(machine: Machine): InstallRecord {
    const bytes = machine.read(recordPath);
    const empty: Recorded = { sums: {}, pending: [], answers: {} };
    if (bytes === undefined) return new InstallRecord(machine, empty, "");
    const text = new TextDecoder().decode(bytes);
    try {
      return new InstallRecord(machine, { ...empty, ...JSON.parse(text) as Partial<Recorded> }, text);
    } catch {
      throw new OperationError({
        ...{ operation: "read the record of what is installed", place: recordPath, cause: "it is damaged" },
        remedy: "remove it; then files of the agent that differ from the new ones count as yours",
      });
    }
  }

  get answers(): Recorded["answers"] {
    return this.content.answers;
  }

  /** Whether what stands there is the installer's own. */
  wrote(path: string, sum: string): boolean {
    return this.content.sums[path]?.includes(sum) ?? false;
  }

  isPending(unit: string): boolean {
    return this.content.pending.includes(unit);
  }

  setAnswers(answers: Recorded["answers"]): void {
    this.content.answers = answers;
  }

  /** This will be written: known as ours even when the machine stops right after it. */
  expect(path: string, sum: string): void {
    const sums = this.content.sums[path] ?? [];
    if (!sums.includes(sum)) this.content.sums[path] = [...sums, sum];
  }

  /** This was written, and nothing else of ours is there. */
  settle(path: string, sum: string): void {
    this.content.sums[path] = [sum];
  }

  forget(path: string): void {
    delete this.content.sums[path];
  }

  setPending(unit: string, pending: boolean): void {
    const others = this.content.pending.filter((one) => one !== unit);
    this.content.pending = pending ? [...others, unit] : others;
  }

  /** Writes it when it has changed, and its folder when there is none. */
  async save(): Promise<void> {
    const text = JSON.stringify(this.content, null, 2) + "\n";
    if (text === this.written) return;
    const dir = dirname(recordPath);
    const access = { uid: 0, gid: 0 };
    if (this.machine.look(dir) === undefined) await this.machine.makeFolder(dir, { mode: 0o700, ...access });
    await this.machine.write(recordPath, new TextEncoder().encode(text), { mode: 0o600, ...access });
    this.written = text;
  }
}
