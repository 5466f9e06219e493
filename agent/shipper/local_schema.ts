/**
 * The database of the output `local`: tables, and how a reading's id becomes a number. LOCAL.md describes it for people and
 * other programs. Pure.
 */
import type { ClockMark } from "./output.ts";

/** The database's name in the store's folder. */
export const storeFile = "readings.sqlite";
/** `PRAGMA user_version`: raised when an older agent could no longer read or write the database. */
export const schemaVersion = 1;
/** `PRAGMA application_id`: "SLog". */
export const applicationId = 0x534c6f67;

/**
 * Sequences of a segment are counted within blocks of this many, so that a reading's key is one number: the block's own
 * number times this, plus the place in it.
 */
export const blockReadings = 2 ** 20;

/** Bits of `delivery`: 0 and 1 QoS, 2 retained, 3 truncated, from 4 on what the time rests on. */
export const clockMarks: ClockMark[] = ["synced", "payload", "retained", "queued", "corrected", "unsynced"];
export const retainBit = 4;
export const truncatedBit = 8;
export const clockUnit = 16;

const clockCases = clockMarks.map((mark, at) => `WHEN ${at} THEN '${mark}'`).join(" ");
const idText = `blocks.segment || '-' || (blocks.block * ${blockReadings} + stored.id % ${blockReadings})`;
const timeText = (ms: string) =>
  `strftime('%Y-%m-%dT%H:%M:%S.', ${ms} / 1000, 'unixepoch') || printf('%03dZ', ${ms} % 1000)`;

/** Makes the tables in an empty database. */
export const createSchema = `
CREATE TABLE topics (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  topic TEXT NOT NULL UNIQUE,
  newest INTEGER NOT NULL
);
CREATE INDEX topics_newest ON topics (newest);
CREATE TABLE blocks (
  number INTEGER PRIMARY KEY,
  segment TEXT NOT NULL,
  block INTEGER NOT NULL,
  UNIQUE (segment, block)
);
CREATE TABLE stored (
  id INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  topic INTEGER NOT NULL,
  delivery INTEGER NOT NULL,
  number REAL,
  text TEXT,
  json TEXT,
  bytes BLOB,
  arrived INTEGER,
  start INTEGER,
  properties TEXT
);
CREATE INDEX stored_time ON stored (time);
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE VIEW readings AS SELECT
  ${idText} AS id,
  ${timeText("stored.time")} AS time,
  topics.topic AS topic,
  stored.number AS number,
  stored.text AS text,
  stored.json AS json,
  stored.bytes AS bytes,
  ${timeText("coalesce(stored.arrived, stored.time)")} AS arrived,
  ${timeText("stored.start")} AS start,
  CASE stored.delivery / ${clockUnit} ${clockCases} END AS clock,
  stored.delivery % 4 AS qos,
  stored.delivery / ${retainBit} % 2 AS retain,
  stored.delivery / ${truncatedBit} % 2 AS truncated,
  stored.properties AS properties,
  stored.time AS time_ms
FROM stored
JOIN topics ON topics.number = stored.topic
JOIN blocks ON blocks.number = stored.id / ${blockReadings};
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${schemaVersion};
`;
