/**
 * Mosquitto's configuration (mosquitto.conf(5)): the drop-in that is ours, and what else is named in the packaged file and
 * beside it. Pure: texts in, texts and settings out.
 */
import { brokerPlaces } from "./places.ts";

/** One line of one of the files. */
export interface Setting {
  name: string;
  value: string;
  file: string;
  /** From 1 on. */
  line: number;
}

/** How the files of a configuration are had. Both give undefined for what is not there. */
export interface ConfFiles {
  text(path: string): string | undefined;
  /** Names of the files in a folder. */
  names(dir: string): string[] | undefined;
}

export const mainConf = "/etc/mosquitto/mosquitto.conf";

/** The settings of one file, in their order. A line of blanks or one that begins with # is none. */
export function parseConf(file: string, text: string): Setting[] {
  return text.split("\n").flatMap((raw, at) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    const [, name, value] = /^(\S+)\s*(.*)$/.exec(line)!;
    return [{ name: name!, value: value!, file, line: at + 1 }];
  });
}

/** The main file and those it includes, each with its text, in the order in which Mosquitto reads them. */
export function confTexts(files: ConfFiles, main: string = mainConf): { file: string; text: string }[] {
  const text = files.text(main);
  if (text === undefined) return [];
  const included = parseConf(main, text).filter(({ name }) => name === "include_dir").flatMap(({ value }) => {
    const dir = value.replace(/\/+$/, "");
    // included files may not include others
    return (files.names(dir) ?? []).filter((name) => name.endsWith(".conf")).sort(byBytes).flatMap((name) => {
      const file = `${dir}/${name}`;
      const text = files.text(file);
      return text === undefined ? [] : [{ file, text }];
    });
  });
  return [{ file: main, text }, ...included];
}

/** All settings of the main file and of those it includes, in the order in which they hold. */
export function settingsOf(files: ConfFiles, main: string = mainConf): Setting[] {
  const [first, ...included] = confTexts(files, main);
  if (first === undefined) return [];
  return parseConf(first.file, first.text).flatMap((setting) => {
    if (setting.name !== "include_dir") return [setting];
    const dir = `${setting.value.replace(/\/+$/, "")}/`;
    const own = included.filter(({ file }) => file.slice(0, file.lastIndexOf("/") + 1) === dir);
    return own.flatMap(({ file, text }) => parseConf(file, text));
  });
}

/** Settings that decide who may come in, and how: with one of them in another file, a drop-in of our own is not enough. */
const decisive = new Set([
  ...["listener", "port", "bind_address", "per_listener_settings", "password_file", "acl_file"],
  ...["allow_anonymous", "cafile", "capath", "certfile", "keyfile", "tls_version", "require_certificate"],
  ...["psk_file", "psk_hint", "plugin", "auth_plugin", "use_identity_as_username", "clientid_prefixes"],
]);

/** Those of other files than the drop-in that it would contradict. */
export function settingsInTheWay(settings: Setting[], own: string = brokerPlaces.dropIn): Setting[] {
  return settings.filter(({ name, file }) => file !== own && decisive.has(name));
}

/** What the drop-in depends on. */
export interface DropIn {
  port: number;
  /** For messages to a client that is away, payloads only. */
  queuedBytesMax: number;
  /** A message is delivered at the QoS it was published with, when that is lower than the subscription's. */
  keepQos: boolean;
  /** False when another file says where: naming it twice stops Mosquitto. */
  persistenceLocation: boolean;
  logFile: boolean;
}

/** How many messages may be on their way to one client: what the agent acknowledges together after one sync, and more. */
export const inFlightMax = 2_000;
/** A power cut loses at most this much of what Mosquitto holds for clients that are away. */
export const autosaveS = 60;

/** The whole drop-in. */
export function dropInText(options: DropIn): string {
  const { port, queuedBytesMax, keepQos, persistenceLocation, logFile } = options;
  return [
    "# Made by sensorlog-agent broker init. Settings of your own: another file in this folder.",
    `listener ${port}`,
    `certfile ${brokerPlaces.certificate}`,
    `keyfile ${brokerPlaces.key}`,
    "# 1.2 and 1.3",
    "tls_version tlsv1.2",
    "",
    "allow_anonymous false",
    `password_file ${brokerPlaces.passwords}`,
    `acl_file ${brokerPlaces.acl}`,
    "",
    "# What is kept for a client that is away: in memory, and on disk once a minute",
    "persistence true",
    ...(persistenceLocation ? ["persistence_location /var/lib/mosquitto/"] : []),
    `autosave_interval ${autosaveS}`,
    `max_queued_messages ${queuedMessagesFor(queuedBytesMax)}`,
    `max_queued_bytes ${queuedBytesMax}`,
    `max_inflight_messages ${inFlightMax}`,
    ...(keepQos
      ? ["# upgrade_outgoing_qos is off (--keep-qos): what is published at QoS 0 is not kept"]
      : ["# Delivered and kept at the subscription's QoS, also what is published at QoS 0"]),
    `upgrade_outgoing_qos ${!keepQos}`,
    "",
    "# sensorlog-agent broker user list reads from it when an account was last seen",
    ...(logFile ? ["log_dest file /var/log/mosquitto/mosquitto.log"] : []),
    "connection_messages true",
    "",
  ].join("\n");
}

/** What a message takes in Mosquitto's memory while it waits, beside its payload: measured with 2.0.11, rounded up. */
const queuedMessageBytes = 400;
const MiB = 1024 * 1024;
/** What the kernel keeps for itself differs from boot to boot; the file is not to. */
const memoryStepBytes = 256 * MiB;

/** `max_queued_bytes` for a machine with so much memory: a quarter of it for payloads, which alone count. */
export function queuedBytesFor(memoryBytes: number): number {
  return Math.ceil(memoryBytes / memoryStepBytes) * memoryStepBytes / 4;
}

/**
 * `max_queued_messages` to go with it: as much again for what a message takes beside its payload. Short readings come up
 * against this limit, long ones against the other. Not 0, which stands for no limit: then Mosquitto 2.0.11 ends the
 * connection of everybody who writes a topic that the access list refuses (after its acknowledgement).
 */
export function queuedMessagesFor(queuedBytesMax: number): number {
  return Math.max(1_000, Math.floor(queuedBytesMax / queuedMessageBytes));
}

function byBytes(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
