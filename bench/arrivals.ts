/** What arrived at the place where documents go: which reading, when, how often. Pure, tested in tests/unit. */

/** A document of a bulk body: the number of its reading (-1: none), and the id that the client chose, if any. */
export interface BulkDocument {
  seq: number;
  id: string | undefined;
}

const number = /"seq":(\d+)/;
const id = /"_id":"((?:[^"\\]|\\.)*)"/;

/** Reads a bulk body of `create` and `index` actions, each with its document in the line behind it. */
export function bulkDocuments(body: string): BulkDocument[] {
  const documents: BulkDocument[] = [];
  for (let at = 0; at < body.length;) {
    const actionEnd = body.indexOf("\n", at);
    const documentEnd = body.indexOf("\n", actionEnd + 1);
    if (actionEnd < 0 || documentEnd < 0) {
      throw new Error(`a bulk body that does not end with whole lines: ${body.slice(at, at + 200)}`);
    }
    const seq = number.exec(body.slice(actionEnd + 1, documentEnd))?.[1];
    documents.push({
      seq: seq === undefined ? -1 : Number(seq),
      id: id.exec(body.slice(at, actionEnd))?.[1],
    });
    at = documentEnd + 1;
  }
  return documents;
}

/** HTTP status of each item of a bulk answer; undefined when the answer says that all went well. */
export function bulkStatuses(answer: string): number[] | undefined {
  if (/"errors"\s*:\s*false/.test(answer)) return undefined;
  const { items } = JSON.parse(answer) as { items: Record<string, { status: number }>[] };
  return items.map((item) => Object.values(item)[0]!.status);
}

/** What is known of the readings 0 to n-1. */
export interface Arrived {
  /** When each was first indexed, ms since 1970; 0: not yet. */
  firstMs: Float64Array;
  /** How many documents each has. */
  documents: Uint16Array;
}

export class Arrivals {
  readonly seen: Arrived;
  /** Readings that have a document at least. */
  distinct = 0;
  readonly #ids = new Set<string>();

  constructor(readings: number) {
    this.seen = { firstMs: new Float64Array(readings), documents: new Uint16Array(readings) };
  }

  /** Whether an index would refuse this id with 409, because it has it. Knows it from now on. */
  refuses(document: BulkDocument): boolean {
    if (document.id === undefined) return false;
    if (this.#ids.has(document.id)) return true;
    this.#ids.add(document.id);
    return false;
  }

  /** Counts a document that was indexed; those without a number are not the bench's. */
  indexed({ seq }: BulkDocument, atMs: number): void {
    const { firstMs, documents } = this.seen;
    if (seq < 0 || seq >= documents.length) return;
    if (documents[seq]!++ > 0) return;
    firstMs[seq] = atMs;
    this.distinct++;
  }
}

/** Readings of which no document is there, and documents beyond the first of each. */
export function lostAndDoubled(documents: ArrayLike<number>): { lost: number; doubled: number } {
  let lost = 0;
  let doubled = 0;
  for (let seq = 0; seq < documents.length; seq++) {
    if (documents[seq] === 0) lost++;
    else doubled += documents[seq]! - 1;
  }
  return { lost, doubled };
}
