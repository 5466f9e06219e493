/**
 * When the spool is full: pure judgement of its own size and of the disk's free space. Full and "room again" lie apart,
 * so that reception does not stop and start with every removed segment.
 */
import { sizeText } from "../base/display.ts";
import { gateBufferBytes, recordBytesMax, segmentBytes } from "../limits.ts";
import type { SpoolSettings } from "../settings.ts";

export type Shortage = "max_size" | "min_free";

/** What the judgement rests on. `freeBytes` undefined: the disk has not been asked yet, or did not answer. */
export interface Measure {
  sizeBytes: number;
  freeBytes: number | undefined;
  /** Whether sealed segments are there: whether removing something could help at all. */
  sealed: () => boolean;
}

/** The most that one commit adds: what the gate holds, and one message more. */
const commitBytesMax = gateBufferBytes + recordBytesMax;

/** Above `fullBytes` a further batch could pass max_size; at `roomBytes` reception goes on. */
export function sizeMarks(
  settings: Pick<SpoolSettings, "maxSizeBytes">,
): { fullBytes: number; roomBytes: number } {
  const fullBytes = settings.maxSizeBytes - commitBytesMax;
  const apartBytes = Math.max(segmentBytes, fullBytes / 20);
  return { fullBytes, roomBytes: Math.max(segmentBytes, fullBytes - apartBytes) };
}

/** Below `lowBytes` of free space reception stops; at `roomBytes` it goes on. */
export function freeMarks(
  settings: Pick<SpoolSettings, "minFreeBytes">,
): { lowBytes: number; roomBytes: number } {
  const lowBytes = settings.minFreeBytes;
  return { lowBytes, roomBytes: lowBytes === 0 ? 0 : lowBytes + Math.max(segmentBytes, lowBytes / 16) };
}

/** What is short now. `earlier` is the last judgement: what was short stays so until there is room again. */
export function judge(
  settings: SpoolSettings,
  measure: Measure,
  earlier: Shortage | undefined,
): Shortage | undefined {
  const { sizeBytes, freeBytes = Infinity, sealed } = measure;
  const size = sizeMarks(settings);
  const free = freeMarks(settings);
  if (freeBytes < free.lowBytes) return "min_free";
  if (sizeBytes >= size.fullBytes) return "max_size";
  if (earlier === "min_free" && freeBytes < free.roomBytes) return "min_free";
  // with only the open segment left nothing more can go: then waiting for the lower mark would be for ever
  if (earlier === "max_size" && sizeBytes > size.roomBytes && sealed()) return "max_size";
  return undefined;
}

/** Bytes that fit before the spool is full. */
export function roomBytes(settings: SpoolSettings, measure: Measure): number {
  const bySize = sizeMarks(settings).fullBytes - measure.sizeBytes;
  const byDisk = (measure.freeBytes ?? Infinity) - settings.minFreeBytes;
  return Math.max(0, Math.min(bySize, byDisk));
}

/** Why reception stops, the same words each time so that a log can collapse them. */
export function reasonText(settings: SpoolSettings, shortage: Shortage): string {
  return shortage === "max_size"
    ? `max_size of ${sizeText(settings.maxSizeBytes)} is reached`
    : `less than min_free of ${sizeText(settings.minFreeBytes)} is left on the disk`;
}
