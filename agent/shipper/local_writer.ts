/** Puts readings into the store's tables. A reading that stands there already stays as it is: its id is its key. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { inTransaction } from "./local_database.ts";
import type { StoreItem } from "./local_batch.ts";
import { rowOf } from "./local_row.ts";
import { blockReadings } from "./local_schema.ts";

/** Topics whose numbers are remembered, and their length together; beyond, all are forgotten. */
const topicsMax = 20_000;
const topicCharsMax = 2 * 1024 * 1024;
/** `newest` of a topic is a bound in whole hours: it is not written with every reading. */
const newestStepMs = 3_600_000;
const believedStepMs = 60_000;

interface Topic {
  number: number;
  /** No reading of it is from this time or later. */
  newest: number;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

export class StoreWriter {
  readonly #insert: StatementSync;
  readonly #topic: StatementSync;
  readonly #block: StatementSync;
  readonly #believed: StatementSync;
  readonly #topics = new Map<string, Topic>();
  #topicChars = 0;
  readonly #blocks = new Map<string, number>();
  #believedMs: number | undefined;

  constructor(private readonly db: DatabaseSync) {
    this.#insert = db.prepare(`
      INSERT INTO stored (id, time, topic, delivery, number, text, json, bytes, arrived, start, properties)
      VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`);
    this.#topic = db.prepare(`
      INSERT INTO topics (topic, newest) VALUES (CAST(? AS TEXT), ?)
      ON CONFLICT (topic) DO UPDATE SET newest = max(newest, excluded.newest) RETURNING number, newest`);
    this.#block = db.prepare(`
      INSERT INTO blocks (segment, block) VALUES (?, ?)
      ON CONFLICT (segment, block) DO UPDATE SET block = excluded.block RETURNING number`);
    this.#believed = db.prepare("INSERT OR REPLACE INTO facts (name, value) VALUES ('believed_ms', ?)");
    const fact = db.prepare("SELECT value FROM facts WHERE name = 'believed_ms'").get();
    this.#believedMs = fact === undefined ? undefined : Number(fact["value"]);
  }

  /** The latest arrival by a clock that was synchronised, to the minute; undefined: there was none. */
  get believedMs(): number | undefined {
    return this.#believedMs;
  }

  /** All of it is committed and synced when this returns. When it throws, nothing is. */
  write(items: Iterable<StoreItem>): void {
    const believedBefore = this.#believedMs;
    try {
      inTransaction(this.db, () => {
        for (const item of items) this.#add(item);
        if (this.#believedMs !== believedBefore) this.#believed.run(this.#believedMs!);
      });
    } catch (error) {
      this.forget();
      this.#believedMs = believedBefore;
      throw error;
    }
  }

  /** Forgets numbers of topics and blocks; they are looked up anew. */
  forget(): void {
    this.#topics.clear();
    this.#topicChars = 0;
    this.#blocks.clear();
  }

  #add(item: StoreItem): void {
    const row = rowOf(item);
    const topic = this.#topicNumber(decoder.decode(item.topic), row.timeMs);
    const block = Math.floor(item.sequence / blockReadings);
    const id = this.#blockNumber(item.segmentId, block) * blockReadings + item.sequence % blockReadings;
    const { timeMs, delivery, number, text, json, bytes, arrivedMs, startMs, properties } = row;
    this.#insert.run(id, timeMs, topic, delivery, number, text, json, bytes, arrivedMs, startMs, properties);
    if (item.mark !== "unsynced" && item.arrivalMs > (this.#believedMs ?? -Infinity)) {
      this.#believedMs = Math.ceil(item.arrivalMs / believedStepMs) * believedStepMs;
    }
  }

  #topicNumber(topic: string, timeMs: number): number {
    const known = this.#topics.get(topic);
    if (known !== undefined && timeMs < known.newest) return known.number;
    const newest = (Math.floor(timeMs / newestStepMs) + 1) * newestStepMs;
    const found = this.#topic.get(encoder.encode(topic), newest) as unknown as Topic;
    if (known === undefined) this.#topicChars += topic.length;
    if (this.#topics.size >= topicsMax || this.#topicChars > topicCharsMax) {
      this.#topics.clear();
      this.#topicChars = topic.length;
    }
    this.#topics.set(topic, found);
    return found.number;
  }

  #blockNumber(segment: string, block: number): number {
    const key = `${segment} ${block}`;
    const known = this.#blocks.get(key);
    if (known !== undefined) return known;
    const number = Number(this.#block.get(segment, block)!["number"]);
    if (this.#blocks.size >= 100) this.#blocks.clear();
    this.#blocks.set(key, number);
    return number;
  }
}
