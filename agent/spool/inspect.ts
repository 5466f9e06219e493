/**
 * What `spool ls`, `verify` and `cat` show: a folder of segments read from outside, while an agent writes to it or not.
 * Nothing is changed. Segments that the agent removes meanwhile are passed over.
 */
import { errorCode } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import { getUint53, kinds } from "./format.ts";
import { StreamReader } from "./reader.ts";
import type { Place, ReadableSegment, SpoolView } from "./reader.ts";
import { setAsideNames } from "./repair.ts";
import { findSegments, scanSegment, withFile } from "./segment_files.ts";
import type { FoundSegment, SegmentScan } from "./segment_files.ts";
import { SegmentList } from "./segment_list.ts";
import type { ReadBatch } from "./spool_types.ts";

/** One line of `spool ls`. */
export interface SegmentListing {
  name: string;
  id: string;
  number: number;
  firstSequence: number;
  /** Behind its last reading: the next segment's first; of the newest one, as far as it is written. */
  nextSequence: number;
  sizeBytes: number;
  headerWhole: boolean;
}

export interface SpoolListing {
  segments: SegmentListing[];
  /** Names of the files that recovery set aside. */
  setAside: string[];
  sizeBytes: number;
}

/** What `spool verify` finds in one segment. */
export interface SegmentVerdict {
  name: string;
  readings: number;
  /** Readings that should stand between its first sequence and the next segment's, and do not. */
  damagedReadings: number;
  /** Records of released, forgotten and held ids. */
  otherRecords: number;
  /** Bytes behind the last whole record: of the newest segment a batch that is being written, or a torn tail. */
  restBytes: number;
  /** Wall time of the first and last reading, ms since 1970. */
  firstWallMs: number | undefined;
  lastWallMs: number | undefined;
  /** What is wrong, in words; empty when the segment is whole. */
  problems: string[];
}

/** All segments in order. Throws OperationError for a newer format or a folder that can't be read. */
export function listSpool(files: Files, dir: string): SpoolListing {
  const found = findSegments(files, dir);
  const segments = found.map((segment, i) => ({
    name: segment.name,
    id: segment.id,
    number: segment.identity.number,
    firstSequence: segment.firstSequence,
    nextSequence: found[i + 1]?.firstSequence ?? endOf(files, segment),
    sizeBytes: segment.durableBytes,
    headerWhole: segment.headerWhole,
  }));
  const sizeBytes = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  return { segments, setAside: setAsideNames(files, dir), sizeBytes };
}

/** Reads every record of every segment, one segment at a time. Throws as listSpool does. */
export function* verifySpool(files: Files, dir: string): Generator<SegmentVerdict> {
  const found = findSegments(files, dir);
  for (const [i, segment] of found.entries()) {
    const limitSequence = found[i + 1]?.firstSequence;
    const verdict = verifySegment(files, segment, limitSequence);
    if (verdict !== undefined) yield verdict;
  }
}

/** All readings from `fromSequence` on (1: all), in batches of about `bytesMax` bytes. Throws as listSpool does. */
export function* catSpool(
  files: Files,
  dir: string,
  fromSequence: number,
  bytesMax: number,
): Generator<ReadBatch> {
  const view = new OutsideView(files, findSegments(files, dir));
  const reader = new StreamReader(view, Math.max(fromSequence, 1));
  try {
    while (true) {
      const batch = reader.next(Infinity, bytesMax);
      if (batch.nextSequence === batch.fromSequence) return;
      yield batch;
    }
  } finally {
    reader.close();
  }
}

/** The segments as they stood when the folder was read. */
class OutsideView implements SpoolView {
  readonly #list: SegmentList;

  constructor(private readonly files: Files, found: FoundSegment[]) {
    const last = found.at(-1);
    const nextSequence = last === undefined ? 1 : endOf(files, last);
    this.#list = new SegmentList(files, found, nextSequence, this.noteUnreadable);
  }

  locate(sequence: number): Place | undefined {
    while (true) {
      const place = this.#list.locate(sequence);
      if (place === undefined || "goneBelow" in place || isThere(this.files, place.segment)) return place;
      this.#list.forgetThrough(place.segment);
    }
  }

  open(segment: ReadableSegment): OpenFile {
    return this.#list.open(segment);
  }

  noteUnreadable(): void {
    // its readings are counted as damaged in the batch, which is what `cat` shows
  }
}

function isThere(files: Files, segment: ReadableSegment): boolean {
  try {
    files.open(segment.path, "read").close();
    return true;
  } catch (error) {
    return errorCode(error) !== "ENOENT";
  }
}

function endOf(files: Files, segment: FoundSegment): number {
  return withFile(files, segment.path, (file) => scanSegment(file, segment, Infinity).nextSequence) ??
    segment.firstSequence;
}

/** Undefined when the segment was removed meanwhile. `limitSequence`: the next segment's first. */
function verifySegment(
  files: Files,
  segment: FoundSegment,
  limitSequence: number | undefined,
): SegmentVerdict | undefined {
  let firstWallMs: number | undefined;
  let lastWallMs: number | undefined;
  const scan = withFile(
    files,
    segment.path,
    (file) =>
      scanSegment(file, segment, limitSequence ?? Infinity, undefined, (scanner) => {
        if (scanner.kind !== kinds.reading) return;
        lastWallMs = getUint53(scanner.view, scanner.at + 60);
        firstWallMs ??= lastWallMs;
      }),
  );
  if (scan === undefined && !isThere(files, segment)) return undefined;
  const end = scan?.nextSequence ?? segment.firstSequence;
  const damagedReadings = (scan?.damagedReadings ?? 0) +
    (limitSequence === undefined ? 0 : limitSequence - end);
  return {
    name: segment.name,
    readings: scan?.readings ?? 0,
    damagedReadings,
    otherRecords: scan === undefined ? 0 : scan.otherRecords,
    restBytes: scan === undefined ? 0 : segment.durableBytes - scan.wholeBytes,
    firstWallMs,
    lastWallMs,
    problems: problemsOf(segment, scan, damagedReadings),
  };
}

function problemsOf(segment: FoundSegment, scan: SegmentScan | undefined, damagedReadings: number): string[] {
  if (scan === undefined) return ["it can't be read"];
  const problems: string[] = [];
  if (!segment.headerWhole) problems.push("the header is damaged (the file's name says the same)");
  if (!scan.heldKnown) problems.push("the record of held QoS 2 ids is damaged");
  if (damagedReadings > 0) problems.push(`${damagedReadings} readings are damaged or missing`);
  if (scan.skippedBytes > 0) problems.push(`${scan.skippedBytes} bytes between whole records are damaged`);
  if (scan.unreadableBytes > 0) problems.push(`the disk can't read ${scan.unreadableBytes} bytes`);
  return problems;
}
