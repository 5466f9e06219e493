/** Numbers with units, in one place, their relations asserted below. What a user can set stands in `config.ts`. */
const KiB = 1024;
const MiB = 1024 * KiB;

/** Size at which a segment is sealed and the next one begun. */
export const segmentBytes = 8 * MiB;
/** Topics are UTF-8 strings of at most this many bytes (MQTT 5, 1.5.4). */
export const topicBytesMax = 65_535;
/** MQTT 5 properties of one message that are kept; beyond, they are drained and marked as left out. */
export const propertiesBytesMax = 256 * KiB;
/** What is kept of a payload larger than `mqtt.max_payload`. */
export const truncatedPayloadBytes = 64 * KiB;
/** Largest `mqtt.max_payload` that may be configured. */
export const payloadBytesMax = 4 * MiB;
/** Bytes that the gate holds before it stops reading the socket; one batch is at most this plus one message. */
export const gateBufferBytes = 1 * MiB;
/** One read of the socket. */
export const socketReadBytes = 64 * KiB;
/** A batch of at least this many bytes is "much": the next read follows at once, without `sync_window`. */
export const largeBatchBytes = 32 * KiB;
/** Largest record on disk: the largest payload with topic, properties and head. */
export const recordBytesMax = payloadBytesMax + topicBytesMax + propertiesBytesMax + 64 * KiB;
/** One read of a segment; a record larger than this is read by itself. */
export const spoolReadBytes = 256 * KiB;
/** Checksum work of one search for the next whole record behind damage; beyond, the rest of the segment is damaged. */
export const resyncBytesMax = 64 * MiB;
/** Torn tails that recovery keeps aside: files, and bytes of each. */
export const tornFilesMax = 8;
export const tornBytesMax = 1 * MiB;
/** Documents and bytes (before compression) of one bulk request. */
export const bulkDocumentsMax = 2_000;
export const bulkBytesMax = 5 * MiB;
/** The cursor of an output is written at most this often while readings flow. */
export const cursorWriteIntervalMs = 1_000;
/** Backoff of outputs and of the connection to the broker. */
export const backoffFirstMs = 1_000;
export const backoffMaxMs = 60_000;
/** How long readings of a boot without a synchronised clock wait for one. */
export const clockWaitMs = 10 * 60_000;
/** Dead letters of one output; beyond, the output pauses with an alarm. */
export const deadLettersBytesMax = 64 * MiB;
/** Room set aside so that cursors and dead letters can be written on a full disk. */
export const reserveBytes = 4 * MiB;
/** What SIGTERM leaves for shipping. */
export const shutdownShipMs = 5_000;
/** A refusal with 401 stays quiet for this long: servers answer it while they start. */
export const unauthorizedQuietMs = 60_000;
/** An item refused this often while others for its index are accepted is its own fault. */
export const itemRefusalsMax = 10;
/** How often the cleaner looks by itself, the least pause between two rounds, and how long "dropping" is shown. */
export const cleanIntervalMs = 1_000;
export const cleanPauseMs = 20;
export const dropAlarmMs = 60_000;
/** The agent's socket: requests at a time, a request's body, how long it may take, and the patience when closing. */
export const socketRequestsMax = 32;
export const requestBodyBytesMax = 1 * MiB;
export const requestBodyMs = 10_000;
export const socketCloseMs = 1_000;
/** `tail` reads this much at a time, and jumps to the end when it is further behind than that many readings. */
export const tailBatchReadings = 500;
export const tailBatchBytes = 1 * MiB;
export const tailBehindMax = 20_000;

/** Throws when two limits contradict each other; called by a unit test and at start. */
export function assertLimits(): void {
  const relations: [boolean, string][] = [
    [truncatedPayloadBytes <= payloadBytesMax, "a truncated payload is smaller than a whole one"],
    [recordBytesMax + 4 * KiB < segmentBytes, "the largest record fits in a segment"],
    [spoolReadBytes < recordBytesMax, "an ordinary read of a segment takes less than the largest record"],
    [resyncBytesMax > segmentBytes, "a search behind damage can pass a whole segment"],
    [largeBatchBytes < gateBufferBytes, "a large batch is smaller than the gate's buffer"],
    [socketReadBytes <= gateBufferBytes, "one read fits in the gate's buffer"],
    [backoffFirstMs < backoffMaxMs, "backoff grows"],
    [reserveBytes < segmentBytes, "the reserve is smaller than a segment"],
  ];
  for (const [holds, what] of relations) {
    if (!holds) throw new RangeError(`limits.ts: ${what} no longer holds`);
  }
}
