/**
 * What a folder of segments means after any end of the last life. The plan is made by reading alone; nothing is changed
 * before it stands. The directory is the truth; only the last segment is scanned, because earlier ones were durable
 * whole before the next one began. Damage never keeps the agent from starting.
 */
import type { Files, OpenFile } from "../base/files.ts";
import { tornBytesMax } from "../limits.ts";
import { checksumSeed, kinds } from "./format.ts";
import { HeldIds } from "./held_ids.ts";
import { findSegments, scanSegment, withFile } from "./segment_files.ts";
import type { FoundSegment } from "./segment_files.ts";
import { SegmentScanner } from "./segment_scanner.ts";

/** What is to be done to one file. */
export type RecoveryAction =
  /** Cut the torn tail off; `keep`: something stands in it. */
  | { kind: "cut"; name: string; atBytes: number; tornBytes: number; keep: boolean }
  /** Its first batch was torn, so nothing was ever acknowledged of it; `keep`: something stands behind the header. */
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
    const { name } = last;
    const explained = !keep || (scan.unreadableBytes === 0 && tornBytes <= tornBytesMax);
    if (explained) plan.actions.push({ kind: "remove", name, tornBytes, keep });
    else plan.actions.push({ kind: "set aside", name, reason: "there is no whole record in it" });
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
