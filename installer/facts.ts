/** What the installer must know of a machine before it touches it, and why it then rather leaves it alone. */
import { statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sizeText } from "../agent/base/display.ts";
import { type ErrorFacts, OperationError } from "../agent/base/errors.ts";
import type { Machine } from "./machine.ts";
import { places, unitPath } from "./plan.ts";

/** A file system on which something is to be written. */
export interface Room {
  /** The folder, of those that were asked for, by which it is known. */
  folder: string;
  freeBytes: number;
  neededBytes: number;
  readOnly: boolean;
}

export interface Facts {
  /** Folder of the image, or undefined for the running machine. */
  root: string | undefined;
  uid: number;
  /** What this program is made for. */
  arch: string;
  /** This program is a compiled binary, which can be copied. */
  compiled: boolean;
  /** What the machine's own systemd is made for; undefined: it has none. */
  system: { bits: number; arch: string } | undefined;
  /** systemd runs. Of an image: undefined. */
  booted: boolean | undefined;
  os: { id: string; name: string; version: string };
  /** Another build of the agent is installed as a service. */
  otherBuild: boolean;
  rooms: Room[];
}

/** Room that is wanted beside the binary's: configuration, units and record; the agent's reserve and first segment. */
const configBytes = 1024 * 1024;
const stateBytes = 16 * 1024 * 1024;
const debianLeast = 12;
const machines: Record<number, string> = { 3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64" };

/** Looks at the machine; changes nothing. */
export async function gatherFacts(
  machine: Machine,
  root: string | undefined,
  source: string,
): Promise<Facts> {
  // what can't be looked at, such as a link that leads out of an image, is found out before anything is changed
  for (const path of [...Object.values(places), unitPath, "/etc/passwd"]) machine.look(path);
  const installed = machine.look(places.binary) !== undefined;
  const same = await machine.isCopy(places.binary, source);
  const binaryBytes = same ? 0 : Deno.statSync(source).size;
  const on = (path: string) => join(root ?? "/", path);
  const booted = root === undefined ? isThere("/run/systemd/system") : undefined;
  return {
    root,
    uid: Deno.uid() ?? -1,
    arch: Deno.build.arch,
    compiled: Deno.build.standalone,
    system: elfOf(machine.read("/usr/lib/systemd/systemd") ?? machine.read("/lib/systemd/systemd")),
    booted,
    os: osOf(new TextDecoder().decode(machine.read("/etc/os-release"))),
    otherBuild: root === undefined && installed && !same &&
      machine.look(unitPath) !== undefined,
    rooms: await roomsOf([
      [on(dirname(places.binary)), binaryBytes],
      [on("/etc"), configBytes],
      [on(places.stateDir), stateBytes],
    ]),
  };
}

/** Why nothing should be installed there, or undefined. */
export function refusal(facts: Facts): Pick<ErrorFacts, "place" | "cause" | "remedy"> | undefined {
  const { root, system, os } = facts;
  const place = root ?? "this machine";
  if (!facts.compiled) {
    const remedy = "compile it (deno task compile), and run what is then in dist/";
    return {
      place,
      cause: "this is the agent's source, and only a compiled binary can be installed",
      remedy,
    };
  }
  if (system === undefined) {
    const remedy = root === undefined
      ? "install it on Debian 12 or 13, or Raspberry Pi OS; elsewhere start sensorlog-agent run by other means"
      : "name the folder in which the image's root file system is mounted";
    return { place, cause: "there is no systemd", remedy };
  }
  if (system.bits !== 64 || system.arch !== facts.arch) {
    const what = system.bits === 64 ? `is for ${system.arch}` : `is a ${system.bits}-bit system`;
    return {
      ...{ place, cause: `it ${what}, and this binary is for 64-bit ${facts.arch}` },
      remedy: system.bits === 64
        ? `take sensorlog-agent-${system.arch}-unknown-linux-gnu`
        : "install a 64-bit Debian or Raspberry Pi OS: a 32-bit one can't run it",
    };
  }
  if (facts.booted === false) {
    return { place, cause: "it was not started by systemd", remedy: "install it where systemd is process 1" };
  }
  if (/^(debian|raspbian)$/.test(os.id) && os.version !== "" && Number(os.version) < debianLeast) {
    return {
      place,
      cause: `${os.name} is too old`,
      remedy: `upgrade it to Debian ${debianLeast} or 13 first`,
    };
  }
  if (facts.uid !== 0) {
    return {
      place,
      cause: `user id ${facts.uid} may not do that`,
      remedy: "be root: sudo ./sensorlog-agent install",
    };
  }
  if (facts.otherBuild) {
    const remedy = "sudo sensorlog-agent upgrade FILE, with this file, tries it and can go back";
    return { place: places.binary, cause: "another build is installed here", remedy };
  }
  return refusalOfRooms(facts.rooms);
}

function refusalOfRooms(rooms: Room[]) {
  for (const { folder, readOnly, freeBytes, neededBytes } of rooms) {
    if (readOnly) {
      const remedy = `make it writable (mount -o remount,rw …), or switch the overlay file system off`;
      return { place: folder, cause: "its file system is read-only", remedy };
    }
    if (freeBytes < neededBytes) {
      const cause = `${sizeText(freeBytes)} are free on its file system, and ${
        sizeText(neededBytes)
      } are needed`;
      return { place: folder, cause, remedy: "make room, such as with apt-get clean; nothing was changed" };
    }
  }
  return undefined;
}

/** Throws an OperationError when there is a reason to leave the machine alone. */
export function assertInstallable(facts: Facts): void {
  const reason = refusal(facts);
  if (reason !== undefined) throw new OperationError({ operation: "install", ...reason });
}

/** Class and machine of an ELF file (elf(5)). */
export function elfOf(bytes: Uint8Array | undefined): Facts["system"] {
  if (bytes === undefined || bytes.length < 20 || String.fromCharCode(...bytes.subarray(1, 4)) !== "ELF") {
    return undefined;
  }
  const little = bytes[5] === 1;
  const number = little ? bytes[18]! + 256 * bytes[19]! : 256 * bytes[18]! + bytes[19]!;
  const arch = little ? machines[number] : undefined;
  return { bits: bytes[4] === 2 ? 64 : 32, arch: arch ?? `machine ${number}` };
}

/** os-release(5). */
export function osOf(text: string): Facts["os"] {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^([A-Z_]+)=["']?(.*?)["']?$/.exec(line) ?? [];
    if (name !== undefined) values.set(name, value!);
  }
  const id = values.get("ID") ?? "unknown";
  return { id, name: values.get("PRETTY_NAME") ?? id, version: values.get("VERSION_ID") ?? "" };
}

/** Folders of one mount are one room. A folder that is not there is where the nearest one above it is. */
async function roomsOf(wanted: [string, number][]): Promise<Room[]> {
  const mountinfo = await Deno.readTextFile("/proc/self/mountinfo").catch(() => "");
  const rooms = new Map<string, Room>();
  for (const [folder, neededBytes] of wanted) {
    const here = nearest(folder);
    const readOnly = isReadOnly(mountinfo, here);
    const key = `${Deno.statSync(here).dev} ${readOnly}`;
    const { bavail, bsize } = await statfs(here);
    const room = rooms.get(key) ?? { folder, freeBytes: bavail * bsize, neededBytes: 0, readOnly };
    room.neededBytes += neededBytes;
    rooms.set(key, room);
  }
  return [...rooms.values()];
}

function nearest(folder: string): string {
  for (let path = folder;; path = dirname(path)) {
    try {
      return Deno.realPathSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) || path === "/") throw error;
    }
  }
}

/** Whether the mount that holds a path is read-only, by /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function isReadOnly(mountinfo: string, path: string): boolean {
  let best = { length: -1, readOnly: false };
  for (const line of mountinfo.split("\n")) {
    const [front, back] = line.split(" - ");
    const fields = front!.split(" ");
    const point = fields[4]?.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
    if (point === undefined || back === undefined) continue;
    const holds = point === "/" || path === point || path.startsWith(`${point}/`);
    if (!holds || point.length < best.length) continue; // of two at one place the later one counts
    const options = [fields[5], back.split(" ")[2]].flatMap((text) => text?.split(",") ?? []);
    best = { length: point.length, readOnly: options.includes("ro") };
  }
  return best.readOnly;
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
