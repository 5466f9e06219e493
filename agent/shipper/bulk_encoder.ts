/** A batch as the body of a bulk request: for each reading one line that names index and id, and one with the document. */
import { Buffer } from "node:buffer";
import { reasonOf } from "../base/errors.ts";
import { bytesOf, ByteWriter } from "./byte_writer.ts";
import { type DocumentFacts, documentTime, DocumentWriter } from "./document.ts";
import { indexAt, periodMs } from "./index_pattern.ts";
import type { Outgoing } from "./output.ts";
import { contentOf } from "./payload_content.ts";

/** One request's worth of a batch. */
export interface BulkBody {
  /** NDJSON; valid until the next call. */
  body: Uint8Array<ArrayBuffer>;
  /** How many readings of the batch are in it. */
  count: number;
  /** For each of them the index or data stream that it goes to. */
  indices: string[];
  /** Why the one reading that this is about (count 1, no body) can't be made a document: a defect, but it must not hold up the others. */
  unfit?: string;
}

const afterId = bytesOf(`"}}\n`);

/** The index of the last time asked for, and the action line's beginning for it. */
class IndexName {
  #pattern: string | undefined;
  #from = 0;
  #to = 0;
  name = "";
  action = new Uint8Array(0);

  /** Sets `name` and `action` for a time. */
  choose(pattern: string, timeMs: number): void {
    if (pattern === this.#pattern && timeMs >= this.#from && timeMs < this.#to) return;
    this.#pattern = pattern;
    const period = periodMs(pattern);
    this.#from = Math.floor(timeMs / period) * period;
    this.#to = this.#from + period;
    this.name = indexAt(pattern, timeMs);
    this.action = bytesOf(`{"create":{"_index":${JSON.stringify(this.name)},"_id":"`);
  }
}

export class BulkEncoder {
  readonly #writer = new ByteWriter();
  readonly #documents: DocumentWriter;
  readonly #index = new IndexName();
  #segmentId = "";
  #idPrefix = new Uint8Array(0);

  constructor(facts: DocumentFacts) {
    this.#documents = new DocumentWriter(facts);
  }

  /** Encodes readings of `batch` from `from` on, as many as fit in `bytesMax`, but at least one. */
  encode(batch: readonly Outgoing[], from: number, bytesMax: number): BulkBody {
    const writer = this.#writer;
    writer.reset();
    const indices: string[] = [];
    for (let at = from; at < batch.length; at++) {
      const before = writer.length;
      try {
        this.#add(batch[at]!);
      } catch (error) {
        if (indices.length === 0) {
          return { body: writer.view(writer.length), count: 1, indices, unfit: reasonOf(error) };
        }
        writer.cut(before);
        break;
      }
      if (writer.length > bytesMax && indices.length > 0) {
        writer.cut(before);
        break;
      }
      indices.push(this.#index.name);
    }
    return { body: writer.view(), count: indices.length, indices };
  }

  /** One reading's two lines, as bytes of their own. */
  encodeOne(outgoing: Outgoing): Buffer {
    this.#writer.reset();
    this.#add(outgoing);
    return Buffer.from(this.#writer.view());
  }

  #add(outgoing: Outgoing): void {
    const writer = this.#writer;
    const { reading } = outgoing;
    const content = contentOf(reading.payload, reading.truncated);
    const time = documentTime(outgoing, content);
    this.#index.choose(outgoing.target, time.timestampMs);
    if (reading.segmentId !== this.#segmentId) {
      this.#segmentId = reading.segmentId;
      this.#idPrefix = bytesOf(`${reading.segmentId}-`);
    }
    writer.put(this.#index.action);
    const idFrom = writer.length;
    writer.put(this.#idPrefix);
    const sequenceFrom = writer.length;
    writer.putDecimal(reading.sequence);
    const id = { from: idFrom, sequenceFrom, to: writer.length };
    writer.put(afterId);
    this.#documents.write(writer, outgoing, content, time, id);
  }
}
