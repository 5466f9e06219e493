/** Lines of Mosquitto's log, the oldest first: the file itself and those that logrotate has put aside. */
import { basename, dirname } from "node:path";
import type { ConfFiles } from "./conf.ts";
import { settingsOf } from "./conf.ts";

/** Of each file at most this much is read, the latest part; of a compressed one, this much of what it holds. */
const fileBytesMax = 64 * 1024 * 1024;
const filesMax = 10;
const lineCharactersMax = 16 * 1024;

/** Where the configuration has Mosquitto log, or undefined when it is in no file. */
export function logFileOf(files: ConfFiles): string | undefined {
  const dest = settingsOf(files).find(({ name, value }) => name === "log_dest" && value.startsWith("file "));
  return dest?.value.slice("file ".length).trim();
}

/** Hands every line to `take`. A file that is not there, or damaged at its end, is read as far as it goes. */
export async function readLogLines(path: string, take: (line: string) => void): Promise<void> {
  for (const file of await logFiles(path)) {
    try {
      await readFile(file, take);
    } catch (error) {
      // rotated away meanwhile, or cut off while it was compressed
      if (!(error instanceof Deno.errors.NotFound || error instanceof TypeError)) throw error;
    }
  }
}

async function logFiles(path: string): Promise<string[]> {
  const found: { file: string; age: number }[] = [];
  try {
    for await (const { name } of Deno.readDir(dirname(path))) {
      const [, age, isRotated] = /^(?:\.(\d{1,4})(?:\.gz)?|())$/.exec(name.slice(basename(path).length)) ??
        [];
      if (!name.startsWith(basename(path)) || (age === undefined && isRotated === undefined)) continue;
      found.push({ file: `${dirname(path)}/${name}`, age: Number(age ?? 0) });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((one, other) => one.age - other.age).slice(0, filesMax).reverse().map(({ file }) => file);
}

async function readFile(path: string, take: (line: string) => void): Promise<void> {
  const file = await Deno.open(path);
  const isPacked = path.endsWith(".gz");
  const { size } = await file.stat();
  if (!isPacked && size > fileBytesMax) await file.seek(size - fileBytesMax, Deno.SeekMode.Start);
  const bytes = isPacked ? file.readable.pipeThrough(new DecompressionStream("gzip")) : file.readable;
  let rest = "";
  let count = 0;
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    count += text.length;
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(-lineCharactersMax);
    for (const line of lines) take(line);
    if (count > fileBytesMax) break;
  }
  if (rest !== "") take(rest);
}
