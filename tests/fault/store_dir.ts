/** The folder of an agent's local store, looked at from outside as any SQLite tool would, while the agent writes it. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type IndexedReading, numberOf } from "./crash_check.ts";

/** What stands for the index of a reading in a store. */
export const storeIndex = "store";

/** `await using` removes it. */
export class StoreDir implements AsyncDisposable {
  readonly file: string;

  constructor(readonly dir: string) {
    this.file = join(dir, "readings.sqlite");
  }

  /** What is in the store; nothing as long as there is none. */
  documents(): IndexedReading[] {
    return this.#ask("SELECT id, topic, qos, coalesce(text, number) AS payload FROM readings").map((row) => {
      const { id, topic, qos } = row as unknown as { id: string; topic: string; qos: number };
      const payload = String(row["payload"]);
      return {
        index: storeIndex,
        id,
        topic,
        qos,
        sequence: Number(id.split("-")[1]),
        payload,
        number: numberOf(payload),
      };
    });
  }

  /** What is wrong with the database itself; a crash must damage nothing. */
  faults(): string[] {
    const found = this.#ask("PRAGMA integrity_check").map((row) => String(row["integrity_check"]));
    const aside = [...Deno.readDirSync(this.dir)].map(({ name }) => name).filter((name) =>
      /damaged/.test(name)
    );
    return [...found.filter((line) => line !== "ok"), ...aside.map((name) => `${name} was set aside`)];
  }

  #ask(sql: string): Record<string, unknown>[] {
    let db: DatabaseSync | undefined;
    try {
      if (Deno.statSync(this.file).size === 0) return [];
      db = new DatabaseSync(this.file, { readOnly: true });
      return db.prepare(sql).all();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || /no such table|locked/.test(String(error))) return [];
      throw error;
    } finally {
      db?.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}
