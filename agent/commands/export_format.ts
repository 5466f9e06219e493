/**
 * Readings as rows of CSV (RFC 4180) or lines of JSON. Names are those of the documents in Elasticsearch; the columns of
 * CSV have the dotted ones. Pure, and exact: what was stored can be read back from either.
 */
import { stringify } from "csv-stringify/sync";
import { safeJsonText, safeText } from "../base/display.ts";
import type { StoredReading } from "../shipper/local_reader.ts";
import type { TimeZone } from "./time_zone.ts";

/** A way to write readings. */
export interface ExportFormat {
  /** What stands before the first reading. */
  head: string;
  /** Readings, each with the end of its row. */
  rows(readings: StoredReading[]): string;
}

export interface FormatOptions {
  zone: TimeZone;
  /** For a terminal: characters that it would obey are shown instead. Not exact. */
  harmless: boolean;
}

const columns = [
  "@timestamp",
  "topic",
  "value",
  "text",
  "payload",
  "payload_base64",
  "event.clock",
  "event.created",
  "event.start",
  "event.id",
  "mqtt.qos",
  "mqtt.retain",
  "mqtt.truncated",
  "mqtt.properties",
];

export interface CsvOptions extends FormatOptions {
  /** One character. */
  separator: string;
  /** For a spreadsheet: a byte order mark, and a ' before text that it would take for a formula. Not exact. */
  spreadsheet: boolean;
}

/** Rows end with CRLF; absent fields are empty, empty texts `""`. Numbers have a point, whatever the separator is. */
export function csvFormat({ zone, harmless, separator, spreadsheet }: CsvOptions): ExportFormat {
  const options = {
    delimiter: separator,
    record_delimiter: "\r\n",
    quoted_match: /^$/, // of texts only: an absent field stays bare
    escape_formulas: spreadsheet,
  };
  const text = (value: string | undefined) => harmless && value !== undefined ? safeText(value) : value;
  const row = (reading: StoredReading): Cell[] => [
    zone.text(reading.timeMs),
    text(reading.topic),
    reading.number,
    text(reading.text),
    text(reading.json),
    reading.bytes?.toBase64(),
    reading.clock,
    zone.text(reading.arrivedMs),
    reading.startMs === undefined ? undefined : zone.text(reading.startMs),
    reading.id,
    reading.qos,
    String(reading.retain),
    String(reading.truncated),
    text(reading.properties),
  ];
  // a spreadsheet would take @ for the beginning of a formula
  const head = stringify([spreadsheet ? columns.map((name) => name.replace("@", "")) : columns], options);
  return {
    head: `${spreadsheet ? "\ufeff" : ""}${head}`,
    rows: (readings) => joinRows(readings.map(row), separator, (rows) => stringify(rows, options)),
  };
}

type Cell = string | number | undefined;

/** A text that needs no quotes and is no formula, whatever the separator is, if that is not in it. */
const plainText = /^[A-Za-z0-9][\w./: +-]*$/;

/**
 * Rows as text. Most have nothing to quote and are just joined, which takes a tenth of the time; runs of the others go to
 * `quote`.
 */
function joinRows(rows: Cell[][], separator: string, quote: (rows: Cell[][]) => string): string {
  const isPlain = (cell: Cell) =>
    typeof cell !== "string" || (plainText.test(cell) && !cell.includes(separator));
  let text = "";
  let others: Cell[][] = [];
  for (const row of rows) {
    if (!row.every(isPlain)) {
      others.push(row);
      continue;
    }
    if (others.length > 0) text += quote(others);
    others = [];
    text += `${row.join(separator)}\r\n`;
  }
  return others.length > 0 ? text + quote(others) : text;
}

/** One JSON object per line, absent fields left out. */
export function ndjsonFormat({ zone, harmless }: FormatOptions): ExportFormat {
  const line = (reading: StoredReading) => {
    const { number, text, json, bytes, qos, retain, truncated, startMs } = reading;
    const fields = [
      member("@timestamp", zone.text(reading.timeMs)),
      member("topic", reading.topic),
      ...(number === undefined ? [] : [member("value", number)]),
      ...(text === undefined ? [] : [member("text", text)]),
      ...(json === undefined ? [] : [`"payload":${oneLine(json)}`]),
      ...(bytes === undefined ? [] : [member("payload_base64", bytes.toBase64())]),
      `"mqtt":${
        JSON.stringify({ qos, retain, ...(truncated ? { truncated } : {}), ...propertiesOf(reading) })
      }`,
      `"event":${
        JSON.stringify({
          clock: reading.clock,
          created: zone.text(reading.arrivedMs),
          ...(startMs === undefined ? {} : { start: zone.text(startMs) }),
          id: reading.id,
        })
      }`,
    ];
    const whole = `{${fields.join(",")}}`;
    return `${harmless ? safeJsonText(whole) : whole}\n`;
  };
  return { head: "", rows: (readings) => readings.map(line).join("") };
}

function member(name: string, value: string | number): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}

/** JSON as it is stored, digits and all, but on one line: a line break can't stand inside its strings. */
function oneLine(json: string): string {
  return parsed(json) === undefined ? JSON.stringify(json) : json.replace(/[\r\n]/g, " ");
}

function propertiesOf({ properties }: StoredReading): object {
  const value = properties === undefined ? {} : parsed(properties);
  return typeof value === "object" && value !== null ? value : { properties };
}

/** Undefined for what is no JSON: any tool can write into a store. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
