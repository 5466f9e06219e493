/** The files' part of `check`: who may read and change what the agent trusts, and what lasts of the card. */
import { dirname, join } from "node:path";
import type { SecretFile, Settings } from "../settings.ts";
import type { Finding } from "../shipper/output.ts";

/** What may be changed by others than root and its owner is not to be trusted. */
const changedByOthers = 0o022;
const seenByOthers = 0o007;

/** One finding for everything that is as it should be, and one for each file or folder that is not. */
export function examineFiles(settings: Settings): Finding[] {
  const secrets = secretsOf(settings).map(({ path }) => path);
  const trusted = settings.file === undefined ? [] : [settings.file, dirname(settings.file)];
  const data = [
    settings.spool.dir,
    ...settings.outputs.flatMap((one) => one.type === "local" ? [one.dir] : []),
  ];
  const faults = [
    ...[...trusted, ...secrets].flatMap((path) => changeable(path)),
    ...[...secrets, ...data].flatMap((path) => visible(path)),
  ];
  if (faults.length > 0) return faults;
  const looked = [...trusted, ...secrets, ...data].filter((path) => modeOf(path) !== undefined);
  return looked.length === 0 ? [] : [{
    level: "ok",
    what: `${looked.length} files and folders: nobody else may change them, nor see secrets and readings`,
  }];
}

function secretsOf({ mqtt, outputs }: Settings): SecretFile[] {
  const ofOutputs = outputs.flatMap((one) => one.type === "elasticsearch" ? [one.apiKey, one.password] : []);
  return [mqtt.password, mqtt.key, ...ofOutputs].filter((secret) => secret !== undefined);
}

function changeable(path: string): Finding[] {
  const mode = modeOf(path);
  if (mode === undefined || (mode & changedByOthers) === 0 || isSticky(mode)) return [];
  return [{
    level: "failure",
    what: `${path} can be changed by others than its owner (mode ${octal(mode)})`,
    remedy: `chmod go-w '${path}'`,
  }];
}

function visible(path: string): Finding[] {
  const mode = modeOf(path);
  if (mode === undefined || (mode & seenByOthers) === 0) return [];
  return [{
    level: "warning",
    what: `${path} is open to every user of this machine (mode ${octal(mode)})`,
    remedy: `chmod o= '${path}'`,
  }];
}

/** Undefined: it is not there, or not to be seen; others say so. */
function modeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).mode ?? undefined;
  } catch {
    return undefined;
  }
}

/** A folder such as /tmp: everybody may write, but only to what is their own. */
const isSticky = (mode: number) => (mode & 0o1000) !== 0;
const octal = (mode: number) => (mode & 0o7777).toString(8).padStart(4, "0");

/**
 * What eMMC and SD cards tell of their wear: `life_time` in tenths of what they are made for, `pre_eol_info` of their
 * spare blocks (JEDEC JESD84-B51, EXT_CSD 267 to 269). Most SD cards tell nothing, and have no finding.
 */
export function examineCards(blocks = "/sys/block"): Finding[] {
  return [...list(blocks)].filter((name) => /^mmcblk\d+$/.test(name)).flatMap((name) =>
    cardFinding(blocks, name)
  );
}

function cardFinding(blocks: string, name: string): Finding[] {
  const words = (file: string) =>
    (text(join(blocks, name, "device", file)) ?? "").trim().split(/\s+/).map(Number).filter((one) => one > 0);
  const [spare = 0] = words("pre_eol_info");
  const worn = Math.max(0, ...words("life_time"));
  if (worn === 0 && spare === 0) return [];
  const what = `the card ${name} has used up to ${
    Math.min(worn, 10) * 10
  } % of the life that it was made for`;
  const remedy = "copy it to a new one soon; the broker's keys as well (they are not in the spool)";
  if (worn > 10 || spare === 3) return [{ level: "failure", what: `the card ${name} is worn out`, remedy }];
  if (worn >= 9 || spare === 2) return [{ level: "warning", what, remedy }];
  return [{ level: "ok", what }];
}

function list(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
  } catch {
    return [];
  }
}

function text(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
