/**
 * Reads a store, while the agent writes it or when none runs. Nothing is written, and no read lasts long: the writer's log
 * grows for as long as one goes on.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { join } from "node:path";
import { storeReadBytes, storeReadReadings } from "../limits.ts";
import { openForReading, readFailed } from "./local_open_reader.ts";
import { columns, type RawRow, readingOf, rowBytes, type StoredReading } from "./local_reading.ts";
import { blockReadings, storeFile } from "./local_schema.ts";
import { WantedTopics } from "./local_topics.ts";

export type { StoredReading } from "./local_reading.ts";

export interface StoreQuery {
  /** An MQTT topic filter; without one, all topics. */
  filter?: string;
  /** from ≤ time < to, ms since 1970. */
  fromMs?: number;
  toMs?: number;
}

/** The place of a reading in the order of times. */
type Key = [timeMs: number, id: number];

const endMs = Number.MAX_SAFE_INTEGER;
/** Readings that are looked at in one go while matching ones are searched for. */
const spanReadings = 20_000;
/**
 * Places behind (?1, ?2), before the time ?3, in order: however many readings have the same time, none is looked at twice.
 */
const places = `SELECT time, id FROM stored WHERE time = ?1 AND id > ?2 AND time < ?3
  UNION ALL SELECT time, id FROM stored WHERE time > ?1 AND time < ?3 ORDER BY time, id`;
/** The inner loop is the right one of a CROSS JOIN: rows come out in the order of the places. */
const span = `FROM (${places} LIMIT ?4) AS span`;
const inSpan = `${span} CROSS JOIN stored ON stored.id = span.id`;
const named = `JOIN topics ON topics.number = stored.topic
  JOIN blocks ON blocks.number = stored.id / ${blockReadings}`;

export class StoreReader {
  readonly #statements = new Map<string, StatementSync>();

  private constructor(private readonly path: string, private readonly db: DatabaseSync) {}

  /** Opens the store of a folder. Throws an OperationError when there is none, or none that can be read. */
  static open(dir: string): StoreReader {
    const path = join(dir, storeFile);
    return new StoreReader(path, openForReading(path));
  }

  /** How many readings match. Memory stays flat; it may take a while. */
  count(query: StoreQuery): number {
    const wanted = this.#run(() => new WantedTopics(this.db, query.filter));
    const { start, toMs } = bounds(query);
    let count = 0;
    for (let after: Key | undefined = start; after !== undefined; after = this.#ahead(after, toMs)) {
      const sql = query.filter === undefined
        ? `SELECT count(*) AS count ${span}`
        : `SELECT count(*) AS count ${inSpan} WHERE ${this.#run(() => wanted.condition())}`;
      const [timeMs, id] = after;
      count += Number(this.#run(() => this.#statement(sql).get(timeMs, id, toMs, spanReadings))!["count"]);
    }
    return count;
  }

  /** What matches, by time, then id, up to `batch` readings at a time. Memory stays flat whatever the size. */
  *read(query: StoreQuery, batch = storeReadReadings): Iterable<StoredReading[]> {
    const wanted = this.#run(() => new WantedTopics(this.db, query.filter));
    const { start, toMs } = bounds(query);
    for (let after: Key | undefined = start; after !== undefined;) {
      const rows = this.#rows(after, toMs, this.#run(() => wanted.condition()), batch);
      if (rows.readings.length > 0) yield rows.readings;
      after = rows.cutAt ?? this.#ahead(after, toMs);
    }
  }

  /** The newest reading of up to `limit` topics, the newest first. */
  latest(limit: number): { topic: string; timeMs: number; reading: StoredReading }[] {
    const found = new Map<number, number>();
    const back = this.#statement(`SELECT time, id, topic FROM stored WHERE (time, id) < (?, ?)
      ORDER BY time DESC, id DESC LIMIT ${storeReadReadings}`);
    // a topic's `newest` is later than all of its readings, by an hour at most
    const bound = this.#statement(`SELECT newest FROM topics
      WHERE number NOT IN (SELECT value FROM json_each(?)) ORDER BY newest DESC LIMIT 1`);
    for (let before: Key = [endMs, 0]; found.size < limit;) {
      const newest = this.#run(() => bound.get(JSON.stringify([...found.keys()])))?.["newest"];
      if (newest === undefined) break;
      if (Number(newest) < before[0]) before = [Number(newest), 0];
      const rows = this.#run(() => back.all(...before));
      if (rows.length === 0) break;
      for (const row of rows) {
        const topic = Number(row["topic"]);
        before = [Number(row["time"]), Number(row["id"])];
        if (!found.has(topic) && found.size < limit) found.set(topic, before[1]);
      }
    }
    const one = this.#statement(`SELECT ${columns} FROM stored ${named} WHERE stored.id = ?`);
    return [...found.values()].flatMap((id) => {
      const row = this.#run(() => one.get(id)); // it may have been removed meanwhile
      const reading = row === undefined ? undefined : readingOf(row as unknown as RawRow);
      return reading === undefined ? [] : [{ topic: reading.topic, timeMs: reading.timeMs, reading }];
    });
  }

  close(): void {
    this.#statements.clear();
    this.db.close();
  }

  /** Where the span of readings behind `after` ends; undefined: there is none behind it. */
  #ahead([timeMs, id]: Key, toMs: number): Key | undefined {
    const statement = this.#statement(`${places} LIMIT 1 OFFSET ?4`);
    const row = this.#run(() => statement.get(timeMs, id, toMs, spanReadings - 1));
    return row === undefined ? undefined : [Number(row["time"]), Number(row["id"])];
  }

  /** Matching readings of the span behind `after`, as many as may be held at once; `cutAt`: it goes on behind that. */
  #rows(
    [timeMs, id]: Key,
    toMs: number,
    condition: string,
    max: number,
  ): { readings: StoredReading[]; cutAt?: Key } {
    const sql = `SELECT ${columns} ${inSpan} ${named} WHERE ${condition}`;
    return this.#run(() => {
      const readings: StoredReading[] = [];
      let bytes = 0;
      for (const found of this.#statement(sql).iterate(timeMs, id, toMs, spanReadings)) {
        const row = found as unknown as RawRow;
        readings.push(readingOf(row));
        bytes += rowBytes(row);
        if (bytes >= storeReadBytes || readings.length >= max) {
          return { readings, cutAt: [row.time, row.key] };
        }
      }
      return { readings };
    });
  }

  /** Statements that any query may use are prepared once. */
  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#run(() => this.db.prepare(sql));
    if (!sql.includes("temp.")) this.#statements.set(sql, statement); // those of one query are of no use to others
    return statement;
  }

  #run<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw readFailed(this.path, error);
    }
  }
}

function bounds({ fromMs, toMs }: StoreQuery): { start: Key; toMs: number } {
  return { start: [Math.ceil(fromMs ?? 0), -1], toMs: Math.ceil(toMs ?? endMs) };
}
