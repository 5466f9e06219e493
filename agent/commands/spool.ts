/** `spool ls`, `verify` and `cat`: what is on disk, while the agent runs or not. */
import { countText, safeJson, safeText, sizeText } from "../base/display.ts";
import { realFiles } from "../base/files.ts";
import { loadSettings } from "../config.ts";
import { catSpool, listSpool, type SegmentVerdict, verifySpool } from "../spool/inspect.ts";
import { readingJson } from "../status/reading_json.ts";
import type { CommonOptions, Host } from "./program.ts";
import { readingLine } from "./tail.ts";
import { table } from "./table.ts";
import { outLines, type Terminal } from "./terminal.ts";

const catBytes = 1024 * 1024;

function spoolDir(options: CommonOptions): string {
  return loadSettings(options.config).spool.dir;
}

/** Lists the segments, oldest first. */
export async function ls({ terminal }: Host, options: CommonOptions): Promise<number> {
  const dir = spoolDir(options);
  const { segments, setAside, sizeBytes } = listSpool(realFiles, dir);
  if (options.json) {
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
  await outLines(terminal, setAside.map((name) => `${safeText(name)}  set aside as damaged`));
  const readings = segments.reduce((sum, one) => sum + one.nextSequence - one.firstSequence, 0);
  await terminal.out(`${countText(readings)} readings, ${sizeText(sizeBytes)} in ${safeText(dir)}\n`);
  return 0;
}

/** Reads everything. 1 when something is damaged; what the agent is writing just now is not. */
export async function verify({ terminal }: Host, options: CommonOptions): Promise<number> {
  const dir = spoolDir(options);
  let readings = 0;
  let damaged = 0;
  let faulty = 0;
  for (const verdict of verifySpool(realFiles, dir)) {
    if (terminal.stop.aborted) return 1;
    readings += verdict.readings;
    damaged += verdict.damagedReadings;
    if (verdict.problems.length > 0) faulty++;
    await terminal.out(`${options.json ? safeJson(verdict) : verdictLine(verdict)}\n`);
    await new Promise((done) => setTimeout(done, 0)); // Ctrl-C gets its turn
  }
  const { setAside } = listSpool(realFiles, dir);
  if (!options.json) {
    await outLines(terminal, setAside.map((name) => `! ${safeText(name)}: set aside by an earlier recovery`));
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
export async function cat({ terminal }: Host, options: CommonOptions): Promise<number> {
  let damaged = 0;
  for (const batch of catSpool(realFiles, spoolDir(options), 1, catBytes)) {
    if (terminal.stop.aborted) return 1;
    damaged += batch.damaged;
    await printReadings(terminal, batch.readings.map(readingJson), options.json ?? false);
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
  await outLines(terminal, readings.map((one) => json ? safeJson(one) : readingLine(one, false)));
}

function timeText(timeMs: number): string {
  return readingTime(timeMs).slice(0, 19) + "Z";
}

function readingTime(timeMs: number): string {
  const time = new Date(timeMs);
  return Number.isNaN(time.getTime()) ? String(timeMs) : time.toISOString();
}
