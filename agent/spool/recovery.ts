/**
 * What a folder of segments means after any end of the last life. The plan is made by reading alone; nothing is changed
 * before it stands. The directory is the truth; only the last segment is scanned, because earlier ones were durable
 * whole before the next one began. Damage never keeps the agent from starting.
 */
import { join } from "node:path";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { Files, OpenFile } from "../base/files.ts";
import { checksumSeed, decodeHeader, headBytes, kinds, parseSegmentName } from "./format.ts";
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

/** What is to be done to one file. */
export type RecoveryAction =
  /** Cut the torn tail off; `keep`: something stands in it. */
  | { kind: "cut"; name: string; atBytes: number; tornBytes: number; keep: boolean }
  /** Nothing was ever stored in it; `keep`: something stands behind the header. */
  | { kind: "remove"; name: string; tornBytes: number; keep: boolean }
  | { kind: "set aside"; name: string; reason: string };

export interface RecoveryPlan {
  /** In order, as they are once the actions are done. */
  segments: FoundSegment[];
  actions: RecoveryAction[];
  /** Above everything on disk and every cursor. */
  nextSequence: number;
  nextNumber: number;
  /** Behind the last reading on disk; nextSequence when there is no segment. */
  readingsEnd: number;
  held: HeldIds;
  /** False when no record that says which ids are held could be read. */
  heldKnown: boolean;
  /** Of the last segment. */
  damagedReadings: number;
}

/** What one walk over a segment finds. */
export interface SegmentScan {
  records: number;
  readings: number;
  damagedReadings: number;
  /** The sequence behind the last reading. */
  nextSequence: number;
  /** Offset behind the last whole record. */
  wholeBytes: number;
  /** Whether a record of held ids was among them. */
  heldKnown: boolean;
  unreadableBytes: number;
}

/** Reads the folder and says what to do. Throws OperationError, before anything is changed, for a newer major version. */
export function planRecovery(files: Files, dir: string, floorSequence: number): RecoveryPlan {
  const actions: RecoveryAction[] = [];
  const segments: FoundSegment[] = [];
  const named = findSegments(files, dir);
  for (const found of named) {
    const judged = found.headerWhole ? found : judgeHeaderless(files, found);
    if ("kind" in judged) actions.push(judged);
    else segments.push(judged);
  }
  const nextSequence = Math.max(1, floorSequence, ...named.map((found) => found.firstSequence));
  const plan: RecoveryPlan = {
    segments,
    actions,
    nextSequence,
    nextNumber: Math.max(0, ...named.map((found) => found.identity.number)) + 1,
    readingsEnd: nextSequence,
    held: new HeldIds(),
    heldKnown: true,
    damagedReadings: 0,
  };
  while (segments.length > 0 && !planLast(files, plan)) segments.pop();
  return plan;
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
      recordsFrom: header.kind === "whole" ? header.headerBytes : 0,
      durableBytes: sizeBytes,
    });
  }
  return found.sort((a, b) => a.firstSequence - b.firstSequence || a.identity.number - b.identity.number);
}

/** Walks a whole segment; with `held`, applies its records to it. Readings from `limitSequence` on do not count. */
export function scanSegment(
  file: OpenFile,
  segment: FoundSegment,
  limitSequence: number,
  held: HeldIds = new HeldIds(),
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
    damagedReadings: 0,
    nextSequence: segment.firstSequence,
    wholeBytes: segment.recordsFrom,
    heldKnown: false,
    unreadableBytes: 0,
  };
  while (scanner.next()) {
    scan.records++;
    scan.wholeBytes = scanner.nextOffset;
    if (scanner.kind === kinds.reading) {
      const sequence = scanner.sequence;
      if (sequence < scan.nextSequence || sequence >= limitSequence) continue;
      scan.damagedReadings += sequence - scan.nextSequence;
      scan.nextSequence = sequence + 1;
      scan.readings++;
    } else if (scanner.kind === kinds.held) {
      scan.heldKnown = true;
    }
    applyToHeld(scanner, held);
  }
  scan.unreadableBytes = scanner.unreadableBytes;
  return scan;
}

/** Opens, uses and closes a file. Undefined when the file can't be opened or read; throws when that may be mended. */
export function withFile<T>(files: Files, path: string, use: (file: OpenFile) => T): T | undefined {
  let file: OpenFile | undefined;
  try {
    file = files.open(path, "read");
    return use(file);
  } catch (error) {
    if (!isPassing(error)) return undefined;
    throw new OperationError({
      operation: "open spool",
      place: path,
      cause: reasonOf(error),
      remedy: "let the agent's user read and write everything in the spool's folder",
      retryable: true,
      from: error,
    });
  } finally {
    file?.close();
  }
}

function firstBytes(file: OpenFile, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(headerBytesMax, sizeBytes));
  return bytes.subarray(0, file.readAt(bytes, 0));
}

/** A segment whose header is damaged is kept when a whole record stands in it: its name says the rest. */
function judgeHeaderless(files: Files, found: FoundSegment): FoundSegment | RecoveryAction {
  const { name } = found;
  const content = withFile(files, found.path, (file) => {
    const scanner = new SegmentScanner(file, checksumSeed(found.id), 0, found.durableBytes);
    if (scanner.next()) return "records";
    return scanner.unreadableBytes === 0 && isZero(file, 0, found.durableBytes)
      ? "nothing"
      : "no whole record";
  }) ?? "nothing that can be read";
  if (content === "records") return found;
  if (content === "nothing") return { kind: "remove", name, tornBytes: 0, keep: false };
  return { kind: "set aside", name, reason: `there is ${content} in it` };
}

/** Plans for the last segment; false when it leaves the stream, so that the one before it is the last. */
function planLast(files: Files, plan: RecoveryPlan): boolean {
  const last = plan.segments.at(-1)!;
  const held = new HeldIds();
  const looked = withFile(files, last.path, (file) => {
    const scan = scanSegment(file, last, Infinity, held);
    const tornBytes = last.durableBytes - scan.wholeBytes;
    return { scan, tornBytes, keep: tornBytes > 0 && !isZero(file, scan.wholeBytes, last.durableBytes) };
  });
  if (looked === undefined) {
    plan.actions.push({ kind: "set aside", name: last.name, reason: "it can't be read" });
    return false;
  }
  const { scan, tornBytes, keep } = looked;
  if (scan.records === 0) {
    plan.actions.push({ kind: "remove", name: last.name, tornBytes, keep });
    return false;
  }
  if (tornBytes > 0) {
    plan.actions.push({ kind: "cut", name: last.name, atBytes: scan.wholeBytes, tornBytes, keep });
  }
  plan.segments[plan.segments.length - 1] = { ...last, durableBytes: scan.wholeBytes };
  plan.damagedReadings = scan.damagedReadings;
  plan.readingsEnd = scan.nextSequence;
  plan.nextSequence = Math.max(plan.nextSequence, scan.nextSequence);
  if (scan.heldKnown) plan.held = held;
  else heldFromEarlier(files, plan);
  return true;
}

/** The last segment's held ids are damaged: goes back to the last segment whose are not, and on from there. */
function heldFromEarlier(files: Files, plan: RecoveryPlan): void {
  const { segments, held } = plan;
  let start = segments.length - 1;
  while (start > 0 && !beginsWithHeld(files, segments[start]!)) start--;
  plan.heldKnown = beginsWithHeld(files, segments[start]!);
  if (!plan.heldKnown) start = segments.length - 1;
  for (let i = start; i < segments.length; i++) {
    const limitSequence = segments[i + 1]?.firstSequence ?? Infinity;
    withFile(files, segments[i]!.path, (file) => scanSegment(file, segments[i]!, limitSequence, held));
  }
}

function beginsWithHeld(files: Files, segment: FoundSegment): boolean {
  const seed = checksumSeed(segment.id);
  return withFile(files, segment.path, (file) => {
    const scanner = new SegmentScanner(file, seed, segment.recordsFrom, segment.durableBytes);
    return scanner.next() && scanner.kind === kinds.held;
  }) ?? false;
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

function isZero(file: OpenFile, from: number, end: number): boolean {
  const piece = new Uint8Array(64 * 1024);
  for (let at = from; at < end;) {
    let got: number;
    try {
      got = file.readAt(piece.subarray(0, Math.min(piece.length, end - at)), at);
    } catch {
      return false; // unreadable is not nothing
    }
    if (got === 0) return true;
    for (let i = 0; i < got; i++) if (piece[i] !== 0) return false;
    at += got;
  }
  return true;
}
