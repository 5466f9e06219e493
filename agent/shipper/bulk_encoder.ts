/** A batch as the body of a bulk request: for each reading one line that names index and id, and one with the document. */
import { Buffer } from "node:buffer";
import { reasonOf } from "../base/errors.ts";
import { bytesOf, ByteWriter } from "./byte_writer.ts";
import { documentTime, DocumentWriter } from "./document.ts";
import type { DocumentFacts } from "./document_parts.ts";
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

/** The index of the last time asked for, and the beginning of the action line for it and the last segment. */
class ActionLine {
  #pattern: string | undefined;
  #segmentId = "";
  #from = 0;
  #to = 0;
  index = "";
  /** `{"create":{"_index":"…","_id":"SEGMENT-`. */
  beginning = new Uint8Array(0);

  /** Sets `index` and `beginning`. */
  choose(pattern: string, timeMs: number, segmentId: string): void {
    const sameIndex = pattern === this.#pattern && timeMs >= this.#from && timeMs < this.#to;
    if (sameIndex && segmentId === this.#segmentId) return;
    if (!sameIndex) {
      const period = periodMs(pattern);
      this.#pattern = pattern;
      this.#from = Math.floor(timeMs / period) * period;
      this.#to = this.#from + period;
      this.index = indexAt(pattern, timeMs);
    }
    this.#segmentId = segmentId;
    this.beginning = bytesOf(`{"create":{"_index":${JSON.stringify(this.index)},"_id":"${segmentId}-`);
  }
}

export class BulkEncoder {
  readonly #writer = new ByteWriter();
  readonly #documents: DocumentWriter;
  readonly #action = new ActionLine();

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
      indices.push(this.#action.index);
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
    this.#action.choose(outgoing.target, time.timestampMs, reading.segmentId);
    writer.put(this.#action.beginning);
    const digitsFrom = writer.length;
    writer.putDecimal(reading.sequence);
    this.#documents.write(writer, outgoing, content, time, digitsFrom);
  }
}
