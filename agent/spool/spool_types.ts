/** What the spool takes and gives. The bytes are described in FORMAT.md. */
import type { Synchronised } from "../base/clock.ts";

/** Circumstances of one batch of arrivals. */
export interface Arrival {
  wallMs: number;
  bootMs: number;
  /** 32 hex digits. */
  bootId: string;
  synchronised: Synchronised;
  /** Waited in the broker while the agent was away. */
  queued: boolean;
  /** Wall time at which the agent was last connected before this connection; only with `queued`. */
  lastConnectedMs: number | undefined;
}

/** One message as the gate hands it over; the byte arrays are only valid during the call. */
export interface IncomingReading {
  qos: 0 | 1 | 2;
  retain: boolean;
  duplicate: boolean;
  /** 0 at QoS 0, and where many clients' ids would mix: such a reading holds nothing. */
  packetId: number;
  topic: Uint8Array;
  payload: Uint8Array;
  /** Typed properties as in FORMAT.md, made with `encodeProperty`; empty for most messages. */
  properties: Uint8Array;
  /** The payload is only the first part of a larger one (then fullSize and sha256 stand in `properties`). */
  truncated: boolean;
}

/**
 * One stored message. The byte arrays point into the read buffer and stay valid as long as somebody holds them. It may look
 * its properties up when they are asked for, so that a copy by spreading (`{ ...reading }`) has none of them.
 */
export interface Reading {
  /** Id of the segment, 16 hex digits; with the sequence it is the record's id for ever. */
  segmentId: string;
  sequence: number;
  qos: 0 | 1 | 2;
  retain: boolean;
  duplicate: boolean;
  truncated: boolean;
  queued: boolean;
  packetId: number;
  bootId: string;
  bootMs: number;
  wallMs: number;
  synchronised: Synchronised;
  topic: Uint8Array;
  properties: Uint8Array;
  payload: Uint8Array;
}

/** The id of a reading everywhere outside the spool: `<segment id>-<sequence>`. */
export function recordId(reading: { segmentId: string; sequence: number }): string {
  return `${reading.segmentId}-${reading.sequence}`;
}

/** Consecutive records. readings.length + damaged + gone === nextSequence - fromSequence. */
export interface ReadBatch {
  readings: Reading[];
  fromSequence: number;
  nextSequence: number;
  /** Sequences in the range whose bytes are damaged or missing in the middle of the spool. */
  damaged: number;
  /** Sequences in the range that are older than the oldest segment on disk. */
  gone: number;
}

/** Reads one stream from a position on; one per output. Only durable records come out. */
export interface SpoolReader {
  /**
   * Up to that many readings and about that many bytes; an empty range when nothing is there. Never throws for damage;
   * throws OperationError with `retryable`, and stays where it is, when a file can't be opened for the time being.
   */
  next(readingsMax: number, bytesMax: number): ReadBatch;
  /** Sets the position to `sequence`. */
  seek(sequence: number): void;
  close(): void;
}

/** One segment as the cleaner and `spool ls` see it. */
export interface SegmentInfo {
  id: string;
  path: string;
  firstSequence: number;
  /** The sequence behind its last reading (as far as known: the next segment's first). */
  nextSequence: number;
  sizeBytes: number;
  state: "open" | "sealed";
}

/** What recovery found. */
export interface RecoveryReport {
  segments: number;
  readings: number;
  damagedReadings: number;
  tornTails: number;
  tornBytes: number;
  /** Names of files set aside as `.bad` or `.torn`. */
  setAside: string[];
  heldIds: number;
  elapsedMs: number;
}

/** The writer's side and the shared state of the spool. Implemented by `Spool` in spool.ts. */
export interface SpoolApi {
  /** Whether a QoS 2 packet id was received and not yet released, the pending batch included. */
  isHeld(packetId: number): boolean;
  heldCount(): number;
  /** Adds one reading to the pending batch (copies it). A QoS 2 reading makes its packet id held, if it has one. */
  addReading(reading: IncomingReading, arrival: Arrival): void;
  /** Adds the release (PUBREL) of a held id to the pending batch. */
  addRelease(packetId: number): void;
  /** Adds "the broker forgot the session": no id is held any more. */
  addForget(): void;
  pendingBytes(): number;
  pendingReadings(): number;
  /**
   * One write and one fdatasync for the pending batch (and of the folder for a new segment). When it returns, all of
   * it is durable. Throws DiskFullError: nothing of the batch is stored, the batch is gone, held ids are as before it
   * (the caller must close the connection so that the broker delivers again). Throws another OperationError with
   * `retryable` when the disk can't be written for another reason (EIO, EROFS, EACCES, …): the same holds. Throws
   * LostSyncError: the bytes behind the last good sync were cut off and the process must end. One call at a time;
   * readings may be added meanwhile, they belong to the next one.
   */
  commit(): Promise<void>;
  /** The sequence that the next stored reading gets; everything below is durable or lost. */
  nextSequence(): number;
  /** The first sequence on disk, or nextSequence() when there is none. */
  oldestSequence(): number;
  /** Bytes of all segments, open one included. */
  sizeBytes(): number;
  segments(): SegmentInfo[];
  reader(fromSequence: number): SpoolReader;
  /** Resolves when nextSequence() is above `sequence`, or when `signal` aborts. */
  waitBeyond(sequence: number, signal: AbortSignal): Promise<void>;
  /** Unlinks a sealed segment (the cleaner only). Durable after the folder's next sync. */
  remove(segment: SegmentInfo): Promise<void>;
  close(): Promise<void>;
}
