/** The files of a folder of segments, and what stands in one of them: recovery and inspection look at them so. */
import { join } from "node:path";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import { checksumSeed, decodeHeader, headBytes, headerBytes, kinds, parseSegmentName } from "./format.ts";
import type { SegmentIdentity } from "./format.ts";
import { HeldIds } from "./held_ids.ts";
import { isPassing } from "./reader.ts";
import type { ReadableSegment } from "./reader.ts";
import { SegmentScanner } from "./segment_scanner.ts";

/** Headers are no longer than this, those of later minor versions included. */
export const headerBytesMax = 512;

/** A segment as it is found on disk. */
export interface FoundSegment extends ReadableSegment {
  name: string;
  identity: SegmentIdentity;
  firstSequence: number;
  headerWhole: boolean;
}

/** What one walk over a segment finds. */
export interface SegmentScan {
  records: number;
  readings: number;
  /** Records of released, forgotten and held ids. */
  otherRecords: number;
  damagedReadings: number;
  /** The sequence behind the last reading. */
  nextSequence: number;
  /** Offset behind the last whole record. */
  wholeBytes: number;
  /** Whether a record of held ids was among them. */
  heldKnown: boolean;
  /** Damaged bytes with a whole record somewhere behind them. */
  skippedBytes: number;
  /** Bytes that the disk could not read. */
  unreadableBytes: number;
}

/** The segments of a folder in order, headers read. Throws OperationError for a newer major version. */
export function findSegments(files: Files, dir: string): FoundSegment[] {
  const found: FoundSegment[] = [];
  for (const { name, sizeBytes } of files.list(dir)) {
    const named = parseSegmentName(name);
    if (named === undefined) continue;
    const path = join(dir, name);
    const header = decodeHeader(
      withFile(files, path, (file) => firstBytes(file, sizeBytes)) ?? new Uint8Array(0),
    );
    if (header.kind === "newer") {
      throw new OperationError({
        operation: "open spool",
        place: path,
        cause:
          `it is of format version ${header.major}.${header.minor}, which this version of the agent does not know`,
        remedy: "run the newer agent again, or let it ship what is stored and then move the folder away",
      });
    }
    const identity = header.kind === "whole" ? header.identity : named;
    found.push({
      name,
      path,
      identity,
      id: identity.id,
      firstSequence: identity.firstSequence,
      headerWhole: header.kind === "whole",
      recordsFrom: header.kind === "whole" ? header.headerBytes : Math.min(headerBytes, sizeBytes),
      durableBytes: sizeBytes,
    });
  }
  return found.sort((a, b) => a.firstSequence - b.firstSequence || a.identity.number - b.identity.number);
}

/**
 * Walks a whole segment, applies its records to `held` and shows each to `visit`. Readings from `limitSequence` on, the
 * next segment's first, do not count.
 */
export function scanSegment(
  file: OpenFile,
  segment: FoundSegment,
  limitSequence: number,
  held: HeldIds = new HeldIds(),
  visit: (scanner: SegmentScanner) => void = () => {},
): SegmentScan {
  const scanner = new SegmentScanner(
    file,
    checksumSeed(segment.id),
    segment.recordsFrom,
    segment.durableBytes,
  );
  const scan: SegmentScan = {
    records: 0,
    readings: 0,
    otherRecords: 0,
    damagedReadings: 0,
    nextSequence: segment.firstSequence,
    wholeBytes: segment.recordsFrom,
    heldKnown: false,
    skippedBytes: 0,
    unreadableBytes: 0,
  };
  while (scanner.next()) {
    scan.records++;
    scan.skippedBytes += scanner.offset - scan.wholeBytes;
    scan.wholeBytes = scanner.nextOffset;
    if (scanner.kind === kinds.reading) {
      const sequence = scanner.sequence;
      if (sequence < scan.nextSequence || sequence >= limitSequence) continue;
      scan.damagedReadings += sequence - scan.nextSequence;
      scan.nextSequence = sequence + 1;
      scan.readings++;
    } else {
      scan.otherRecords++;
      scan.heldKnown ||= scanner.kind === kinds.held;
    }
    applyToHeld(scanner, held);
    visit(scanner);
  }
  scan.unreadableBytes = scanner.unreadableBytes;
  return scan;
}

/**
 * Opens, uses and closes a file; asks the disk twice before it believes that it can't. Undefined when the file can't be
 * opened or read; throws OperationError when the reason is none of the file's and may be mended.
 */
export function withFile<T>(files: Files, path: string, use: (file: OpenFile) => T): T | undefined {
  for (let attempt = 1;; attempt++) {
    let file: OpenFile | undefined;
    try {
      file = files.open(path, "read");
      return use(file);
    } catch (error) {
      if (isPassing(error)) throw cannotOpen(path, error);
      if (attempt === 2) return undefined;
    } finally {
      file?.close();
    }
  }
}

function cannotOpen(path: string, error: unknown): OperationError {
  return new OperationError({
    operation: "open spool",
    place: path,
    cause: reasonOf(error),
    remedy: "let the agent's user read and write everything in the spool's folder",
    retryable: true,
    from: error,
  });
}

function firstBytes(file: OpenFile, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(headerBytesMax, sizeBytes));
  return bytes.subarray(0, file.readAt(bytes, 0));
}

/** Applies one record. Another session number than before says that a forget stood in between. */
function applyToHeld(scanner: SegmentScanner, held: HeldIds): void {
  const { kind, packetId, session, view } = scanner;
  if (kind === kinds.held) {
    const ids: number[] = [];
    for (let at = scanner.at + headBytes; at + 2 <= scanner.at + scanner.length; at += 2) {
      ids.push(view.getUint16(at, true));
    }
    held.set(session, ids);
    return;
  }
  if (session !== held.session) held.set(session, []);
  if (kind === kinds.reading && (view.getUint16(scanner.at + 22, true) & 3) === 2) held.add(packetId);
  else if (kind === kinds.release) held.release(packetId);
  else if (kind === kinds.forget) held.set(session, []);
  held.settle();
}
