/**
 * Finds an installation of the original kind: Mosquitto with settings appended to its packaged file, a service that pipes
 * mosquitto_sub into files, Filebeat that ships them, a cron job that removes them, a VPN. Pure: texts in, facts out.
 */
import { parseYaml } from "../../agent/config/yaml.ts";
import { Look } from "../../agent/config/look.ts";
import { type ConfFiles, mainConf, parseConf, type Setting, settingsOf } from "./conf.ts";
import { brokerPlaces } from "./places.ts";

export const systemUnits = "/etc/systemd/system";
/** Where packages put units. */
const packagedUnits = ["/lib/systemd/system", "/usr/lib/systemd/system"];
export const rootCrontab = "/var/spool/cron/crontabs/root";
const dropInDir = brokerPlaces.dropIn.replace(/[^/]*$/, "");
const filebeatConfig = "/etc/filebeat/filebeat.yml";
const registryDefault = "/var/lib/filebeat/registry/filebeat/data.json";

/** A unit of the original: `messages` stores them in files, `shipper` takes the files away, `vpn` carries them. */
export interface OldUnit {
  name: string;
  role: "messages" | "shipper" | "vpn";
}

/** The listener that sensors connect to. */
export interface OldListener {
  port: number;
  /** As the agent reaches it. */
  host: string;
  caFile: string | undefined;
  certificateFile: string | undefined;
}

export interface Original {
  listener: OldListener;
  passwordFile: string;
  units: OldUnit[];
  /** Of a line, as the script's `mosquitto_sub -F` has it; undefined when it does not say. */
  format: string | undefined;
  /** Paths of message files, with * and ? for what differs. */
  filePatterns: string[];
  /** Filebeat's own notes of what it has shipped. */
  registry: string;
  /** Lines of root's crontab that remove message files. */
  cronLines: string[];
  /** The folder of our drop-in is read by the broker. */
  included: boolean;
  /** Settings of Mosquitto by name that stand in files other than our own. */
  named: Set<string>;
}

/** Undefined when no file but our own names a password file: then there is nothing to adopt. */
export function findOriginal(seen: ConfFiles): Original | undefined {
  const settings = settingsOf(seen).filter(({ file }) => file !== brokerPlaces.dropIn);
  const passwordFile = settings.find(({ name }) => name === "password_file")?.value;
  if (passwordFile === undefined) return undefined;
  const units = unitsOf(seen);
  const reader = units.find(({ role }) => role === "messages");
  const script = reader === undefined ? "" : texts(seen, reader.name).join("\n");
  const cron = cronOf(seen.text(rootCrontab) ?? "");
  return {
    listener: listenerOf(settings),
    passwordFile,
    units,
    format: quotedAfter(script, /\bmosquitto_sub\b[^|]*?\s-F\s+/),
    filePatterns: patternsOf(script, seen.text(filebeatConfig)),
    registry: cron.registry ?? registryDefault,
    cronLines: cron.lines,
    included: parseConf(mainConf, seen.text(mainConf) ?? "").some(({ name, value }) => {
      return name === "include_dir" && `${value.replace(/\/+$/, "")}/` === dropInDir;
    }),
    named: new Set(settings.map(({ name }) => name)),
  };
}

/** The first listener with TLS, else the first one: the settings behind `listener` are its own. */
function listenerOf(settings: Setting[]): OldListener {
  const all: (OldListener & { used: boolean; websockets: boolean })[] = [];
  const begin = (port: number, address: string | undefined, used: boolean) => {
    const host = address === undefined || /^(0\.0\.0\.0|::|localhost)$/.test(address) ? "127.0.0.1" : address;
    all.push({ port, host, caFile: undefined, certificateFile: undefined, used, websockets: false });
  };
  begin(1883, undefined, false);
  for (const { name, value } of settings) {
    const [first, second] = value.split(/\s+/);
    if (name === "listener") begin(Number(first), second, true);
    const here = all.at(-1)!;
    if (name === "port") Object.assign(all[0]!, { port: Number(first), used: true });
    else if (name === "bind_address") Object.assign(all[0]!, { host: first, used: true });
    else if (name === "cafile") here.caFile = value;
    else if (name === "certfile") Object.assign(here, { certificateFile: value, used: true });
    else if (name === "protocol") here.websockets = first === "websockets";
  }
  const fit = all.filter(({ used, websockets, port }) => used && !websockets && port > 0);
  const { port, host, caFile, certificateFile } = fit.find((one) => one.certificateFile !== undefined) ??
    fit[0] ?? all[0]!;
  return { port, host, caFile, certificateFile };
}

/** By what they run, whatever they are called. */
function unitsOf(seen: ConfFiles): OldUnit[] {
  const own = (seen.names(systemUnits) ?? []).filter((name) => /^(?!sensorlog-).*\.service$/.test(name))
    .sort();
  const units = own.flatMap((name): OldUnit[] => {
    const text = texts(seen, name).join("\n");
    if (/\bmosquitto_sub\b/.test(text)) return [{ name, role: "messages" }];
    if (/\bfilebeat\b/.test(text)) return [{ name, role: "shipper" }];
    return /\bopenvpn\b/.test(text) ? [{ name, role: "vpn" }] : [];
  });
  const packaged = packagedUnits.some((dir) => seen.text(`${dir}/filebeat.service`) !== undefined);
  if (!packaged || units.some(({ role }) => role === "shipper")) return units;
  return [...units, { name: "filebeat.service", role: "shipper" }];
}

/** What a unit runs: its ExecStart lines, and the scripts that they name. */
function texts(seen: ConfFiles, unit: string): string[] {
  const text = seen.text(`${systemUnits}/${unit}`) ?? "";
  const lines = text.replace(/\\\n/g, " ").matchAll(/^\s*ExecStart\s*=\s*(.*)$/gm);
  const commands = [...lines].map((match) => match[1]!.replaceAll("%%", "%"));
  const words = commands.flatMap((line) => line.split(/[\s"']+/)).map((word) =>
    word.replace(/^[-@:+!]+/, "")
  );
  const scripts = words.filter((word) => word.startsWith("/") && !/^\/(usr\/)?s?bin\//.test(word));
  return [
    ...commands,
    ...scripts.flatMap((path) => {
      const script = seen.text(path);
      return script === undefined ? [] : [withVariables(script.replace(/\\\n/g, " "))];
    }),
  ];
}

/** A shell script with `$NAME` replaced where it says `NAME=VALUE`, and without its comments. */
function withVariables(script: string): string {
  const lines = script.split("\n").filter((line) => !/^\s*#/.test(line));
  const values = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^\s*(?:export\s+)?(\w+)=("[^"]*"|'[^']*'|\S*)\s*$/.exec(line) ?? [];
    if (name !== undefined) values.set(name, value!.replace(/^["']|["']$/g, ""));
  }
  return lines.join("\n").replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, plain) => {
    return values.get(braced ?? plain) ?? whole;
  });
}

/** The word of a shell command that follows what `before` matches. */
function quotedAfter(script: string, before: RegExp): string | undefined {
  const match = before.exec(script);
  if (match === null) return undefined;
  const rest = script.slice(match.index + match[0].length);
  const [, single, double, plain] = /^(?:'([^']*)'|"([^"]*)"|(\S+))/.exec(rest) ?? [];
  return single ?? double ?? plain;
}

/** Where rotatelogs writes; where the script does not say it, what Filebeat reads. */
function patternsOf(script: string, filebeat: string | undefined): string[] {
  const path = quotedAfter(script, /\brotatelogs\s+(?:-[Lpn]\s+\S+\s+|-\w+\s+)*/);
  if (path !== undefined && path.startsWith("/")) {
    // without a % of its own it adds .SECONDS
    return [path.includes("%") ? path.replace(/%[-_0^#]?\w/g, "*").replace(/\*+/g, "*") : `${path}.*`];
  }
  const written = quotedAfter(script, /\bmosquitto_sub\b[^|\n]*>>?\s*/);
  if (written?.startsWith("/") && !written.startsWith("/dev/")) return [written];
  return filebeat === undefined ? [] : filebeatPaths(filebeat);
}

/** `paths` of all inputs. */
function filebeatPaths(text: string): string[] {
  const yaml = parseYaml(new TextEncoder().encode(text));
  if (!yaml.readable || typeof yaml.value !== "object" || yaml.value === null) return [];
  const top = yaml.value as Record<string, unknown>;
  const look = new Look(top);
  const nested = look.has(["filebeat", "inputs"])
    ? (top["filebeat"] as Record<string, unknown>)["inputs"]
    : undefined;
  const inputs = top["filebeat.inputs"] ?? nested;
  if (!Array.isArray(inputs)) return [];
  return inputs.flatMap((input) => {
    const paths = (input as { paths?: unknown } | null)?.paths;
    return Array.isArray(paths)
      ? paths.filter((path) => typeof path === "string" && path.startsWith("/"))
      : [];
  });
}

/** Lines that run a cleaner of message files, and the registry that it is told. */
function cronOf(crontab: string): { lines: string[]; registry: string | undefined } {
  const lines = crontab.split("\n").filter((line) => {
    return !/^\s*#/.test(line) && /cleanFiles\.py|\bfilebeat\b.*\bdata\.json\b/.test(line);
  });
  const registry = lines.map((line) => /\S*\/data\.json\b/.exec(line)?.[0]).find((path) =>
    path !== undefined
  );
  return { lines, registry };
}

/** Files that a pattern names: * and ? stand for anything but a slash, as in a shell. */
export function filesNamed(pattern: string, names: (dir: string) => string[] | undefined): string[] {
  let paths = [""];
  for (const part of pattern.split("/").slice(1)) {
    const glob = /[*?]/.test(part) ? globOf(part) : undefined;
    paths = paths.flatMap((path) => {
      if (glob === undefined) return [`${path}/${part}`];
      return (names(path === "" ? "/" : path) ?? []).filter((name) => glob.test(name)).map((name) =>
        `${path}/${name}`
      );
    });
  }
  return paths;
}

function globOf(part: string): RegExp {
  const source = part.replace(/[\\^$.+()[\]{}|]/g, "\\$&").replaceAll("*", "[^/]*").replaceAll("?", "[^/]");
  return new RegExp(`^(?!\\.)${source}$`);
}

/** How far Filebeat has shipped a file. */
export interface Shipped {
  path: string;
  inode: number;
  offset: number;
}

/** Filebeat's `data.json`; undefined when it is not what it should be. Entries that are none are left out. */
export function parseRegistry(text: string): Shipped[] | undefined {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(entries)) return undefined;
  return entries.flatMap((entry): Shipped[] => {
    const { source, offset, FileStateOS: state } = (entry ?? {}) as Record<string, unknown>;
    const inode = (state as { inode?: unknown } | null | undefined)?.inode;
    const sound = typeof source === "string" && isCount(offset) && isCount(inode);
    return sound ? [{ path: source, inode: inode as number, offset: offset as number }] : [];
  });
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
