/** The message files of an original installation: which there are, how far they were shipped, and their way into the spool. */
import { filesNamed, parseRegistry, type Shipped } from "../../installer/broker/original.ts";
import { type LineFormat } from "../../installer/broker/line_format.ts";
import type { Adopted } from "../../installer/broker/adopt.ts";
import { type Machine, orNone } from "../../installer/machine.ts";
import { Acting } from "../base/as_owner.ts";
import { countText, sizeText } from "../base/display.ts";
import { realFiles } from "../base/files.ts";
import { Logger } from "../base/logger.ts";
import { fromBytes, importMessages, type ImportResult, type MessageFile } from "../import/import_files.ts";
import { readProgress } from "../import/import_progress.ts";
import type { Settings } from "../settings.ts";
import type { Terminal } from "./terminal.ts";

const drawMs = 200;

/** All of them, the one that was written first in front. Links and whatever else is no file is passed over. */
export function messageFiles(
  machine: Machine,
  { filePatterns, registry }: Pick<Adopted, "filePatterns" | "registry">,
): MessageFile[] {
  const text = machine.read(registry);
  const shipped = text === undefined ? [] : parseRegistry(new TextDecoder().decode(text)) ?? [];
  const names = (dir: string) => machine.list(dir);
  const paths = new Set(filePatterns.flatMap((pattern) => filesNamed(pattern, names)));
  const found = [...paths].flatMap((path) => {
    const info = orNone(() => Deno.lstatSync(path));
    return info?.isFile ? [{ path, info }] : [];
  });
  found.sort((a, b) =>
    (a.info.mtime?.getTime() ?? 0) - (b.info.mtime?.getTime() ?? 0) || (a.path < b.path ? -1 : 1)
  );
  return found.map(({ path, info }) => ({
    ...{ path, inode: info.ino ?? 0, sizeBytes: info.size },
    shippedBytes: shippedOf(shipped, path, info.ino ?? 0),
    open: () => realFiles.open(path, "read"),
  }));
}

/** A file that took the name of another one was not shipped with that one. */
function shippedOf(shipped: Shipped[], path: string, inode: number): number {
  return shipped.find((one) => one.path === path && one.inode === inode)?.offset ?? 0;
}

/** How many bytes are still to be read. */
export function bytesLeft(sources: MessageFile[], spoolDir: string): number {
  const progress = readProgress(realFiles, spoolDir);
  return sources.reduce((sum, source) => {
    const known = progress[source.path];
    const done = fromBytes(source, known?.inode === source.inode ? known : undefined);
    return sum + source.sizeBytes - done;
  }, 0);
}

/** Reads what is left of the files, as the owner of the spool, with progress on a terminal. */
export async function importAll(
  terminal: Terminal,
  settings: Settings,
  sources: MessageFile[],
  format: LineFormat,
  signal: AbortSignal,
): Promise<ImportResult> {
  const acting = Acting.asOwnerOf(settings.spool.dir);
  const drawn = new Drawn(terminal, sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  try {
    return await importMessages({
      files: realFiles,
      log: new Logger({ format: "text", level: "warning" }),
      spool: settings.spool,
      maxPayloadBytes: settings.mqtt.maxPayloadBytes,
      format,
      // message files are whose they are
      sources: sources.map((source) => ({ ...source, open: () => acting.asRoot(() => source.open()) })),
      onProgress: (doneBytes) => drawn.at(doneBytes),
      signal,
    });
  } finally {
    acting.end();
    await drawn.clear();
  }
}

/** What an import has brought, for people. */
export function importLines(result: ImportResult, { text }: LineFormat): string[] {
  const { messages, refused, refusedAt, leftOut } = result;
  const lines = [`${countText(messages)} readings of message files are in the spool, with their own times`];
  for (const path of leftOut) {
    lines.push(
      `${path} was left out: no line of it can be read as ${text}; broker adopt --format says otherwise`,
    );
  }
  if (refused === 0) return lines;
  lines.push(`${countText(refused)} lines could not be read as ${text}, and stay in their files only:`);
  lines.push(...refusedAt.map(({ path, atBytes }) => `    ${path}, at byte ${atBytes}`));
  return lines;
}

/** One line on standard error that is drawn again and again. */
class Drawn {
  #lastMs = -Infinity;

  constructor(private readonly terminal: Terminal, private readonly totalBytes: number) {}

  async at(doneBytes: number): Promise<void> {
    if (!this.terminal.errInteractive || performance.now() - this.#lastMs < drawMs) return;
    this.#lastMs = performance.now();
    const percent = this.totalBytes === 0 ? 100 : Math.floor(100 * doneBytes / this.totalBytes);
    const line = `  reading message files: ${percent} %, ${sizeText(doneBytes)} of ${
      sizeText(this.totalBytes)
    }`;
    await this.terminal.err(`\r${line}\x1b[K`);
  }

  async clear(): Promise<void> {
    if (this.#lastMs > -Infinity) await this.terminal.err("\r\x1b[K");
  }
}
