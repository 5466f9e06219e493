/** What this machine says about processes, load and disks: read from /proc and statfs. */
import { statfs } from "node:fs/promises";
import { delay } from "../tests/lab/wait.ts";

/** Ticks per second of /proc/PID/stat: 100 on every Linux that Deno runs on (USER_HZ). */
const ticksPerS = 100;

/** User and system CPU of a process in ms, all threads, dead ones too, from the text of /proc/PID/stat. */
export function parseCpuMs(stat: string): number {
  // the second field is the program's name in brackets and may hold anything
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]); // utime, stime: fields 14 and 15 of proc(5)
  if (!Number.isFinite(ticks)) throw new Error(`not the form of /proc/PID/stat: ${stat.slice(0, 200)}`);
  return ticks * 1000 / ticksPerS;
}

/** A figure of /proc/PID/status such as VmRSS, in bytes. */
export function parseMemoryBytes(status: string, field: "VmRSS" | "VmHWM"): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status);
  if (found === null) throw new Error(`/proc/PID/status has no ${field}`);
  return Number(found[1]) * 1024;
}

/** What a process made the disk write, in bytes (each page when it becomes dirty), from the text of /proc/PID/io. */
export function parseWrittenBytes(io: string): number {
  const found = /^write_bytes: (\d+)$/m.exec(io);
  if (found === null) throw new Error("/proc/PID/io has no write_bytes");
  return Number(found[1]);
}

const sum = (pids: number[], one: (pid: number) => number) => pids.reduce((all, pid) => all + one(pid), 0);

/** CPU of one process or several. */
export function cpuMs(...pids: number[]): number {
  return sum(pids, (pid) => parseCpuMs(Deno.readTextFileSync(`/proc/${pid}/stat`)));
}

export function writtenBytes(pids: number[]): number {
  return sum(pids, (pid) => parseWrittenBytes(Deno.readTextFileSync(`/proc/${pid}/io`)));
}

/** Bytes that the device of a folder has written since boot, whoever wrote; undefined when it has no counter. */
export function deviceWrittenBytes(folder: string): number | undefined {
  const { dev } = Deno.statSync(folder);
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  try {
    const fields = Deno.readTextFileSync(`/sys/dev/block/${major}:${minor}/stat`).trim().split(/\s+/);
    return Number(fields[6]) * 512; // sectors of 512 bytes, whatever the device's are
  } catch {
    return undefined;
  }
}

/** The largest resident size counts from now on (proc(5), clear_refs). */
export function forgetPeak(pids: number[]): void {
  for (const pid of pids) Deno.writeTextFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Sum of the largest resident sizes of processes since `forgetPeak`. */
export function peakBytes(pids: number[]): number {
  return sum(pids, (pid) => memoryBytes(pid, "VmHWM"));
}

export function memoryBytes(pid: number, field: "VmRSS" | "VmHWM" = "VmRSS"): number {
  return parseMemoryBytes(Deno.readTextFileSync(`/proc/${pid}/status`), field);
}

/** Waits until these have used no CPU for `quietMs`, and returns what they have used in all; at most 5 s. */
export async function settledCpuMs(pids: number | number[], quietMs = 200): Promise<number> {
  const all = [pids].flat();
  let used = cpuMs(...all);
  let sinceMs = performance.now();
  const endMs = sinceMs + 5_000;
  while (performance.now() - sinceMs < quietMs && performance.now() < endMs) {
    await delay(20);
    const now = cpuMs(...all);
    if (now !== used) sinceMs = performance.now();
    used = now;
  }
  return used;
}

/** Load average of the last minute. */
export function loadAverage(): number {
  return Number(Deno.readTextFileSync("/proc/loadavg").split(" ")[0]);
}

/** Busy and all ticks of all cores since boot, from the text of /proc/stat. */
export function parseTicks(stat: string): { busy: number; all: number } {
  // user nice system idle iowait irq softirq steal; guest time is part of user
  const fields = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.split(" ").slice(0, 8).map(Number);
  if (fields?.length !== 8) throw new Error(`not the form of /proc/stat: ${stat.slice(0, 200)}`);
  const all = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { busy: all - fields[3]! - fields[4]!, all };
}

/** What share of all cores others use, 0 to 1, seen while this process waits for half a second. */
export async function othersShare(): Promise<number> {
  const ticks = () => parseTicks(Deno.readTextFileSync("/proc/stat"));
  const before = ticks();
  await delay(500);
  const after = ticks();
  return (after.busy - before.busy) / Math.max(1, after.all - before.all);
}

/** File systems that live in memory: what is "synced" there is not on a disk. */
const memoryFileSystems = new Map([[0x01021994, "tmpfs"], [0x858458f6, "ramfs"]]);

/** The name of the memory file system with this statfs type; undefined for a disk. */
export function memoryFileSystem(type: number): string | undefined {
  return memoryFileSystems.get(type >>> 0);
}

/** A new folder on a real disk, below TMPDIR or /var/tmp; throws when that is in memory. */
export async function makeWorkFolder(): Promise<string> {
  const base = Deno.env.get("TMPDIR") ?? "/var/tmp";
  const memory = memoryFileSystem((await statfs(base)).type);
  if (memory !== undefined) {
    throw new Error(
      `${base} is ${memory}, where a sync costs nothing: set TMPDIR to a folder on a real disk`,
    );
  }
  return await Deno.makeTempDir({ dir: base, prefix: "sensorlog-bench-" });
}

/** "AMD EPYC, 2 cores, 24 GB, Linux 6.1": what the figures were seen on. */
export function describeMachine(): string {
  const model = /^(?:model name|Model)\s*: (.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ??
    Deno.build.arch;
  const total = Math.round(Deno.systemMemoryInfo().total / 1e9);
  return `${model}, ${navigator.hardwareConcurrency} cores, ${total} GB, Linux ${Deno.osRelease()}`;
}
