/** An output as the model sees it: it reads from a cursor, puts each reading into an index once, and saves the cursor. */
import assert from "node:assert/strict";
import type { Spool } from "../../agent/spool/spool.ts";
import { recordId } from "../../agent/spool/spool_types.ts";

interface Counts {
  cursor: number;
  confirmed: number;
  damaged: number;
}

export class Consumer {
  /** Text by record id: what the index holds. */
  readonly index = new Map<string, string>();
  #now: Counts = { cursor: 1, confirmed: 0, damaged: 0 };
  #saved: Counts = this.#now;

  get savedCursor(): number {
    return this.#saved.cursor;
  }

  /** Reads some and confirms them; `isDurable` says whether a text may come out of the spool. */
  read(spool: Spool, readingsMax: number, isDurable: (text: string) => boolean): void {
    const reader = spool.reader(this.#now.cursor);
    const batch = reader.next(readingsMax, 2_000);
    reader.close();
    assert.equal(batch.readings.length + batch.damaged + batch.gone, batch.nextSequence - batch.fromSequence);
    assert.equal(batch.gone, 0, "the cleaner only removes what was confirmed");
    for (const reading of batch.readings) {
      const [id, text] = [recordId(reading), new TextDecoder().decode(reading.payload)];
      assert.ok(isDurable(text), `"${text}" was read before it was durable`);
      assert.equal(this.index.get(id) ?? text, text, `the id ${id} was used for two readings`);
      this.index.set(id, text);
    }
    this.#now = {
      cursor: batch.nextSequence,
      confirmed: this.#now.confirmed + batch.readings.length,
      damaged: this.#now.damaged + batch.damaged,
    };
    const stored = spool.nextSequence() - 1;
    const waiting = spool.nextSequence() - this.#now.cursor;
    assert.equal(stored, this.#now.confirmed + waiting + this.#now.damaged, "the numbers add up");
  }

  save(): void {
    this.#saved = this.#now;
  }

  /** The process ended: the cursor is the saved one. */
  restart(): void {
    this.#now = this.#saved;
  }

  /** Texts by sequence; no sequence is there twice. */
  inOrder(): string[] {
    const bySequence = new Map([...this.index].map(([id, text]) => [Number(id.split("-")[1]), text]));
    assert.equal(bySequence.size, this.index.size, "a sequence was confirmed for two readings");
    return [...bySequence].sort(([a], [b]) => a - b).map(([, text]) => text);
  }

  copiesOf(text: string): number {
    return [...this.index.values()].filter((one) => one === text).length;
  }
}
