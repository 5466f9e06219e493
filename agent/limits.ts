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
export const gateBufferBytes = 256 * KiB;
/**
 * A read of at least this many bytes is followed by another one at once, if that need not wait: TLS hands out 4 KiB at a
 * time. A plain connection hands out all there is, so what trickles in needs no second look there.
 */
export const gatherTlsBytes = 2 * KiB;
export const gatherPlainBytes = 4 * KiB;
/** A batch of at least this many bytes is "much": the next read follows at once, without `sync_window`. */
export const largeBatchBytes = 32 * KiB;
/** Largest record on disk: the largest payload with topic, properties and head. */
export const recordBytesMax = payloadBytesMax + topicBytesMax + propertiesBytesMax + 64 * KiB;
/** Memory of at least this size goes back to the system as soon as it is freed, instead of leaving holes in the heap. */
export const mallocMappedBytes = 64 * KiB;
/** The heap's growth after which its garbage is collected, when it is looked at. */
export const heapGrowthBytes = 5 * MiB;
/** One read of a segment; a record larger than this is read by itself. */
export const spoolReadBytes = 256 * KiB;
/** Checksum work of one search for the next whole record behind damage; beyond, the rest of the segment is damaged. */
export const resyncBytesMax = 64 * MiB;
/** Torn tails that recovery keeps aside: files, and bytes of each. */
export const tornFilesMax = 8;
export const tornBytesMax = 1 * MiB;
/** Packets of the broker's other than PUBLISH: CONNACK, SUBACK and the like with their properties. */
export const controlPacketBytesMax = 64 * KiB;
/** So many of them in one read are no broker's answers to what was asked. */
export const controlPacketsMax = 1_000;
/** A broker that keeps the session for less than this is warned about. */
export const sessionExpiryLeastS = 24 * 3_600;
/** Unacknowledged messages that the broker may send at once (MQTT 5); a wish, which Mosquitto exceeds. */
export const receiveMaximum = 20_000;
/** How long the broker keeps the session while the agent is away (MQTT 5). */
export const sessionExpiryS = 30 * 24 * 3_600;
/** TCP connection and TLS handshake with the broker; then the wait for its CONNACK. */
export const brokerConnectMs = 15_000;
export const connackMs = 10_000;
/** A connection that the broker closes earlier than this after CONNACK, so often in a row: the client id is used twice. */
export const earlyCloseMs = 10_000;
export const earlyClosesMax = 3;
/** A connection that stood this long ends the suspicion. */
export const takeoverClearMs = 5 * 60_000;
/** The time of the last connection is written this often while it stands. */
export const connectedWriteMs = 60_000;
/** How often a full spool is asked whether there is room again. */
export const fullPollMs = 1_000;
/** After DISCONNECT the broker may take this long to close, and send this much. */
export const lingerMs = 1_000;
export const lingerBytesMax = 16 * MiB;
/** A filter that the broker refused is asked for again this often. */
export const refusedRetryMs = 60_000;
/** How long after a change of the filters MQTT 3.1.1 subscribes on every connection, and removed ones are taken out again. */
export const resubscribeMs = 24 * 3_600_000;
/** A broker that did not take MQTT 5 is asked again after this. */
export const protocolAgainMs = 24 * 3_600_000;
/** The marker is published again after 1, 2, 4 … 30 s, and reported as missing after 5 min. */
export const markerFirstMs = 1_000;
export const markerRepeatMaxMs = 30_000;
export const markerMissingMs = 5 * 60_000;
/** Without a marker, so long a silence ends the queued messages. */
export const quietMs = 1_000;
/** What the broker says of itself: longest payload that is read, and how long after the last drop its alarm stays. */
export const figureBytesMax = 100;
export const brokerDropsQuietMs = 3_600_000;
/** A broker that closed so many connections in a row while it was asked for its figures is not asked for them that long. */
export const figuresInVainMax = 2;
export const figuresAgainMs = 24 * 3_600_000;
/** A certificate ends soon when less than this is left: time to renew it without haste. */
export const certificateSoonMs = 30 * 24 * 3_600_000;
/** How often the broker's certificate is looked at, and how often when it could not be seen or ends soon. */
export const certificateLookMs = 24 * 3_600_000;
export const certificateAgainMs = 3_600_000;
/** How long a server may take to show its certificate. */
export const certificateAnswerMs = 10_000;
/** Possible gaps that are remembered. */
export const possibleGapsMax = 100;
/**
 * Leaving the pause between two batches out: for how long as a test, how often it is looked at whether it still pays, for
 * how long at most, and after how many pauses at least.
 */
export const paceProbeMs = 4;
export const paceCheckMs = 100;
export const paceRunMs = 2_000;
export const paceSkipMax = 256;
/** A read that waited longer than this shows that the pause before it held nothing up. */
export const paceIdleMs = 1;
/** Documents and bytes (before compression) of one bulk request. */
export const bulkDocumentsMax = 2_000;
export const bulkBytesMax = 5 * MiB;
/** After a request with fewer readings than this, the next one waits so long for more to come. */
export const bulkFewReadings = 500;
export const bulkGatherMs = 400;
/** The cursor of an output is written at most this often while readings flow. */
export const cursorWriteIntervalMs = 1_000;
/** Backoff of outputs and of the connection to the broker. */
export const backoffFirstMs = 1_000;
export const backoffMaxMs = 60_000;
/** One request to an output, from connecting to the end of the answer. */
export const outputRequestMs = 60_000;
/** Largest answer of an output that is read. */
export const outputAnswerBytesMax = 16 * MiB;
/** How long readings of a boot without a synchronised clock wait for one, and how often the clock is looked at. */
export const clockWaitMs = 10 * 60_000;
export const clockPollMs = 2_000;
/** Dead letters of one output; beyond, the output pauses with an alarm. */
export const deadLettersBytesMax = 64 * MiB;
/** Room set aside so that cursors and dead letters can be written on a full disk. */
export const reserveBytes = 4 * MiB;
/** What SIGTERM leaves for shipping. */
export const shutdownShipMs = 5_000;
/** The local store: between two small batches it waits this long, because a commit costs as much as thousands of readings. */
export const storeGatherMs = 1_000;
/** How often it looks whether readings must go. */
export const storeTendMs = 1_000;
/** One step of removing: readings, bytes of their payloads, and pages given back to the disk. */
export const storePruneReadings = 1_000;
export const storePruneBytes = 4 * MiB;
export const storeVacuumPages = 1_024;
/** Its log of commits is written back to the database at this size, and cut to twice that when it was larger. */
export const storeLogBytes = 4 * MiB;
/** For want of disk space it does not shrink below this. */
export const storeLeastBytes = 16 * MiB;
/** It shrinks when less is free than `min_free` and an eighth, or this much, more, until there is the second more. */
export const storeFreeAboveBytes = 16 * MiB;
export const storeFreeApartBytes = 8 * MiB;
/** Damaged databases that are kept. */
export const storesSetAsideMax = 3;
/** A database that can't be read for errors of the disk so often in a row counts as damaged. */
export const storeReadFailuresMax = 3;
/** How long closing waits for what the store is doing. */
export const storeCloseMs = 2_000;
/** A statement waits so long for another program that holds the database. */
export const storeBusyMs = 1_000;
/** One read of the store: readings, and bytes of their payloads. */
export const storeReadReadings = 1_000;
export const storeReadBytes = 4 * MiB;
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
/** How long `dead replay` and `dead drop` wait for the running agent's answer. */
export const replayTimeoutMs = 600_000;
/** A connection at which nothing is read for this long (and twice the keep-alive) is stuck: the watchdog is not fed. */
export const receiveStuckMs = 30 * 60_000;
/** The agent's own broker: clients, and how long one may take to say CONNECT: less when so many have not said it yet. */
export const embeddedClientsMax = 200;
export const embeddedPendingMax = 50;
export const embeddedPendingMs = 1_000;
export const embeddedConnectMs = 10_000;
/** Bytes of a client id, and topic filters of one client. */
export const embeddedClientIdBytesMax = 1 * KiB;
export const embeddedFiltersMax = 100;
/** Largest PUBLISH that is taken: the largest payload, with its topic and packet id. */
export const embeddedPublishBytesMax = payloadBytesMax + topicBytesMax + 4;
/** One read of a client's connection; so many packets are handed on at once, and no more before these are settled. */
export const embeddedReadBytes = 64 * KiB;
export const embeddedPacketsMax = 256;
/** What the packets of all clients that are larger than a few reads may take together. */
export const embeddedLargeBytesMax = 32 * MiB;
/** A client that reads slower than it is sent to is given up when so much waits for it and it takes so long to read it. */
export const embeddedOutgoingBytesMax = 256 * KiB;
export const embeddedDrainMs = 2_000;
/** Retained messages: their number, and bytes of topics and payloads. */
export const embeddedRetainedMax = 10_000;
export const embeddedRetainedBytesMax = 8 * MiB;
/** QoS 2 ids awaiting PUBREL: of one connection, of all clients, and clients that have any. */
export const embeddedInFlightMax = 20_000;
export const embeddedHeldMax = 100_000;
export const embeddedHoldersMax = 1_000;
/** What SIGTERM leaves for handing on what was stored, and for clients to take their acknowledgements. */
export const embeddedStopMs = 5_000;
/** What a hostile client can cause is logged this often at most. */
export const embeddedLogMs = 30_000;
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
    [
      gatherTlsBytes < gatherPlainBytes && gatherPlainBytes < largeBatchBytes,
      "a read that is followed by another is no large batch yet",
    ],
    [largeBatchBytes < gateBufferBytes, "a large batch is smaller than the gate's buffer"],
    [backoffFirstMs < backoffMaxMs, "backoff grows"],
    [2 * storeLogBytes < storeLeastBytes, "the store's log is smaller than the smallest store"],
    [embeddedPublishBytesMax < embeddedLargeBytesMax, "a few of the largest packets fit in at once"],
    [embeddedPendingMs < embeddedConnectMs, "who is silent makes room before its time is over"],
    [embeddedHeldMax > 65_535, "one client can hold all its packet ids"],
    [certificateLookMs < certificateSoonMs, "a certificate that ends soon is seen in time"],
    [reserveBytes < segmentBytes, "the reserve is smaller than a segment"],
  ];
  for (const [holds, what] of relations) {
    if (!holds) throw new RangeError(`limits.ts: ${what} no longer holds`);
  }
}
