/** Which topics of a store a filter wants, kept in a table in memory for the statements of one query. */
import type { DatabaseSync } from "node:sqlite";
import { TopicFilter } from "../base/topic_filter.ts";

let queries = 0;

export class WantedTopics {
  readonly #filter: TopicFilter | undefined;
  readonly #table = `temp.wanted_${++queries}`;
  #seen = 0;

  /** Without a filter all are wanted. */
  constructor(private readonly db: DatabaseSync, filter: string | undefined) {
    if (filter === undefined) return;
    this.#filter = new TopicFilter(filter);
    db.exec(`CREATE TABLE ${this.#table} (number INTEGER PRIMARY KEY)`);
  }

  /** A condition on `stored`. Topics that came since the last call are looked at first. */
  condition(): string {
    const filter = this.#filter;
    if (filter === undefined) return "true";
    const found = this.db.prepare("SELECT number, CAST(topic AS BLOB) AS topic FROM topics WHERE number > ?");
    const add = this.db.prepare(`INSERT INTO ${this.#table} (number) VALUES (?)`);
    const wanted: number[] = [];
    for (const row of found.iterate(this.#seen)) {
      const topic = row["topic"] as Uint8Array;
      this.#seen = Number(row["number"]);
      if (filter.matches(topic, 0, topic.length)) wanted.push(this.#seen);
    }
    if (wanted.length > 0) {
      this.db.exec("BEGIN");
      for (const number of wanted) add.run(number);
      this.db.exec("COMMIT");
    }
    return `stored.topic IN (SELECT number FROM ${this.#table})`;
  }
}
