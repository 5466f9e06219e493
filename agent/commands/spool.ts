/** `spool ls`, `verify` and `cat`: what is on disk, while the agent runs or not. */
import { countText, safeJson, safeText, sizeText } from "../base/display.ts";
import { errorCode, OperationError } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import { loadSettings } from "../config.ts";
import { catSpool, listSpool, type SegmentVerdict, verifySpool } from "../spool/inspect.ts";
import { readingJson } from "../status/reading_json.ts";
import type { CommonOptions, Host } from "./program.ts";
import { plainLine } from "./reading_line.ts";
import { table } from "./table.ts";
import { outLines, type Terminal } from "./terminal.ts";

const catBytes = 1024 * 1024;

/** Hands out the folder; what the system says of it comes out as an error with a remedy. */
async function withFolder(options: CommonOptions, use: (dir: string) => Promise<number>): Promise<number> {
  const { dir } = loadSettings(options.config).spool;
  try {
    return await use(dir);
  } catch (error) {
    const code = errorCode(error);
    if (error instanceof OperationError || (code !== "ENOENT" && code !== "EACCES")) throw error;
    const missing = code === "ENOENT";
    throw new OperationError({
      operation: "read the spool",
      place: dir,
      cause: missing ? "there is no such folder" : "this user may not read it",
      remedy: missing ? "has the agent run with this configuration (--config FILE)" : "use sudo",
      from: error,
    });
  }
}

/** Lists the segments, oldest first. */
export function ls({ terminal }: Host, options: CommonOptions): Promise<number> {
  return withFolder(options, (dir) => list(terminal, dir, options.json ?? false));
}

async function list(terminal: Terminal, dir: string, json: boolean): Promise<number> {
  const { segments, setAside, sizeBytes } = listSpool(realFiles, dir);
  if (json) {
    await outLines(terminal, segments.map((segment) => safeJson({ ...segment, state: "segment" })));
    await outLines(terminal, setAside.map((name) => safeJson({ name, state: "set aside" })));
    return 0;
  }
  const rows = segments.map((segment) => [
    segment.name,
    countText(segment.nextSequence - segment.firstSequence),
    countText(segment.firstSequence),
    sizeText(segment.sizeBytes),
    segment.headerWhole ? "" : "damaged header",
  ]);
  await outLines(terminal, table([["segment", "readings", "first", "size"], ...rows], [1, 2, 3]));
  await outLines(terminal, setAside.map((name) => `${safeText(name)}  set aside by recovery`));
  const readings = segments.reduce((sum, one) => sum + one.nextSequence - one.firstSequence, 0);
  await terminal.out(`${countText(readings)} readings, ${sizeText(sizeBytes)} in ${safeText(dir)}\n`);
  return 0;
}

/** Reads everything. 1 when something is damaged; what the agent is writing just now is not. */
export function verify({ terminal }: Host, options: CommonOptions): Promise<number> {
  return withFolder(options, (dir) => verifyAll(terminal, dir, options.json ?? false));
}

async function verifyAll(terminal: Terminal, dir: string, json: boolean): Promise<number> {
  let readings = 0;
  let damaged = 0;
  let faulty = 0;
  for (const verdict of verifySpool(realFiles, dir)) {
    if (terminal.stop.aborted) return 1;
    readings += verdict.readings;
    damaged += verdict.damagedReadings;
    if (verdict.problems.length > 0) faulty++;
    await terminal.out(`${json ? safeJson(verdict) : verdictLine(verdict)}\n`);
    await new Promise((done) => setTimeout(done, 0)); // Ctrl-C gets its turn
  }
  const { setAside } = listSpool(realFiles, dir);
  if (!json) {
    await outLines(terminal, setAside.map((name) => `! ${safeText(name)}: set aside by recovery`));
    const rest = faulty === 0
      ? "all whole"
      : `${countText(damaged)} damaged or missing, in ${faulty} segments`;
    await terminal.out(`${countText(readings)} readings, ${rest}\n`);
  }
  return faulty === 0 ? 0 : 1;
}

function verdictLine(verdict: SegmentVerdict): string {
  const { name, readings, restBytes, firstWallMs, lastWallMs, problems } = verdict;
  const from = firstWallMs === undefined ? "" : `, ${timeText(firstWallMs)} to ${timeText(lastWallMs!)}`;
  const rest = restBytes > 0 ? `, ${sizeText(restBytes)} behind the last whole record` : "";
  const facts = `${name}: ${countText(readings)} readings${from}${rest}`;
  return problems.length === 0 ? `✓ ${facts}` : `✗ ${facts}: ${problems.join("; ")}`;
}

/** Prints the readings, oldest first. 1 when some could not be read. */
export function cat({ terminal }: Host, options: CommonOptions): Promise<number> {
  return withFolder(options, (dir) => printAll(terminal, dir, options.json ?? false));
}

async function printAll(terminal: Terminal, dir: string, json: boolean): Promise<number> {
  let damaged = 0;
  for (const batch of catSpool(realFiles, dir, 1, catBytes)) {
    if (terminal.stop.aborted) return 1;
    damaged += batch.damaged;
    await printReadings(terminal, batch.readings.map(readingJson), json);
  }
  if (damaged > 0) {
    await terminal.err(`sensorlog-agent: ${countText(damaged)} readings are damaged or missing\n`);
  }
  return damaged === 0 ? 0 : 1;
}

async function printReadings(
  terminal: Terminal,
  readings: ReturnType<typeof readingJson>[],
  json: boolean,
): Promise<void> {
  await outLines(terminal, readings.map((one) => json ? safeJson(one) : plainLine(one)));
}

function timeText(timeMs: number): string {
  return readingTime(timeMs).slice(0, 19) + "Z";
}

function readingTime(timeMs: number): string {
  const time = new Date(timeMs);
  return Number.isNaN(time.getTime()) ? String(timeMs) : time.toISOString();
}
