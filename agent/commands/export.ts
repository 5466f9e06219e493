/** `export`: readings of the local store as CSV or NDJSON. Reads one batch, writes it, reads the next: memory stays flat. */
import { countText, sizeText } from "../base/display.ts";
import { ConfigError } from "../base/errors.ts";
import { localStoresOf } from "../config/stores.ts";
import { type StoreQuery, StoreReader } from "../shipper/local_reader.ts";
import type { Host } from "./describe.ts";
import type { ExportOptions } from "./describe_readings.ts";
import { ExportFile } from "./export_file.ts";
import { csvFormat, type ExportFormat, ndjsonFormat } from "./export_format.ts";
import { Progress } from "./progress.ts";
import { assertFilter } from "./tail.ts";
import type { Terminal } from "./terminal.ts";
import { timeOf } from "./time_input.ts";
import { TimeZone } from "./time_zone.ts";

/** Readings of one batch, and of one write. */
const batchReadings = 1_000;

/** Where the rows go. */
interface Target {
  write(text: string): Promise<void>;
  finish(): Promise<void>;
  /** After `finish` it does nothing. */
  discard(): void;
}

/** 0 when all was written; 1 when it was interrupted, and then there is no file. */
export async function exportReadings(
  { terminal }: Host,
  name: string | undefined,
  options: ExportOptions,
): Promise<number> {
  const file = name === "-" ? undefined : name;
  const zone = TimeZone.named(options.timeZone);
  const query = queryOf(options, zone);
  const format = formatOf(options, file, zone, file === undefined && terminal.interactive);
  const reader = StoreReader.open(storeDir(options));
  try {
    const target = file === undefined ? standardOutput(terminal) : await ExportFile.create(file);
    try {
      const count = await writeAll(terminal, reader, query, format, target, file);
      if (terminal.stop.aborted) {
        const fate = file === undefined ? "" : `; ${file} was not written`;
        await terminal.err(`sensorlog-agent: interrupted after ${countText(count)} readings${fate}\n`);
        return 1;
      }
      await target.finish();
      if (showsProgress(terminal, file)) await terminal.err(`${summary(count, target)}\n`);
      return 0;
    } finally {
      target.discard();
    }
  } finally {
    reader.close();
  }
}

function standardOutput(terminal: Terminal): Target {
  return {
    write: async (text) => {
      if (text !== "") await terminal.out(text);
    },
    finish: () => Promise.resolve(),
    discard: () => {},
  };
}

function summary(count: number, target: Target): string {
  const readings = `${countText(count)} ${count === 1 ? "reading" : "readings"}`;
  return target instanceof ExportFile
    ? `${readings}, ${sizeText(target.sizeBytes)}, in ${target.path}`
    : readings;
}

/** Progress is for a person at standard error, and not for one who has the readings themselves before the eyes. */
function showsProgress(terminal: Terminal, file: string | undefined): boolean {
  return terminal.errInteractive && (file !== undefined || !terminal.interactive);
}

/** Returns how many readings were written before the end, or before `terminal.stop` aborted. */
async function writeAll(
  terminal: Terminal,
  reader: StoreReader,
  query: StoreQuery,
  format: ExportFormat,
  target: Target,
  file: string | undefined,
): Promise<number> {
  const progress = showsProgress(terminal, file) ? await counted(terminal, reader, query) : undefined;
  let count = 0;
  try {
    await target.write(format.head);
    for (const readings of reader.read(query, batchReadings)) {
      if (terminal.stop.aborted) break;
      await target.write(format.rows(readings));
      count += readings.length;
      await progress?.add(readings.length);
    }
  } finally {
    await progress?.clear();
  }
  return count;
}

async function counted(terminal: Terminal, reader: StoreReader, query: StoreQuery): Promise<Progress> {
  await terminal.err("counting …");
  return new Progress(terminal, reader.count(query));
}

function queryOf({ topic, from, to }: ExportOptions, zone: TimeZone): StoreQuery {
  if (topic !== undefined) assertFilter("export", topic);
  const nowMs = Date.now();
  const fromMs = from === undefined ? undefined : timeOf("--from", from, nowMs, zone);
  const toMs = to === undefined ? undefined : timeOf("--to", to, nowMs, zone);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) {
    throw wrongUse(
      `--from ${from} --to ${to}`,
      "nothing can lie between the two",
      "the time behind --to must be later; it is not included itself",
    );
  }
  return {
    ...(topic === undefined ? {} : { filter: topic }),
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
  };
}

function formatOf(
  options: ExportOptions,
  file: string | undefined,
  zone: TimeZone,
  harmless: boolean,
): ExportFormat {
  const byEnding = /\.(ndjson|jsonl)$/i.test(file ?? "") ? "ndjson" : "csv";
  const { format = byEnding, separator, spreadsheet = false } = options;
  if (format === "csv") return csvFormat({ zone, harmless, spreadsheet, separator: separatorOf(separator) });
  const ofCsv = separator !== undefined ? "--separator" : spreadsheet ? "--spreadsheet" : undefined;
  if (ofCsv !== undefined) {
    throw wrongUse(ofCsv, "NDJSON has no such thing", "leave it out, or use --format csv");
  }
  return ndjsonFormat({ zone, harmless });
}

/** The character that `--separator` names. */
function separatorOf(given = ","): string {
  if (given === "tab" || given === "\\t") return "\t";
  // what stands in numbers and times would have to be quoted all over; a quote or line break can't be told apart
  if (/^[\t !#$%&'()*,/;<=>?@[\\\]^_`{|}~]$/.test(given)) return given;
  throw wrongUse(
    `--separator ${JSON.stringify(given)}`,
    "this can't stand between fields",
    "use one character as , or ; or |, or the word tab",
  );
}

/** Folder of the store that is meant. Throws a ConfigError when that is not clear. */
function storeDir({ config, output }: ExportOptions): string {
  const stores = localStoresOf(config);
  const names = stores.map(({ name }) => name).join(", ");
  const found = output === undefined ? stores : stores.filter(({ name }) => name === output);
  if (found.length === 1) return found[0]!.dir;
  if (stores.length === 0) {
    throw wrongUse(
      "outputs",
      "no output is a local store",
      "add one of type local, and start the agent again",
    );
  }
  throw output === undefined
    ? wrongUse("--output", "there are several local outputs", `say which one: ${names}`)
    : wrongUse(`--output ${output}`, "there is no local output of this name", `known are: ${names}`);
}

function wrongUse(place: string, cause: string, remedy: string): ConfigError {
  return new ConfigError({ operation: "export", place, cause, remedy });
}
