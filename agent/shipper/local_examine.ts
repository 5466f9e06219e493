/** What `check` says of a local store. Nothing is written, and a running agent is not disturbed. */
import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import { sizeText } from "../base/display.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import type { LocalSettings } from "../settings.ts";
import { setAsideStores, sizeOf } from "./local_files.ts";
import { StoreReader } from "./local_reader.ts";
import { storeFile } from "./local_schema.ts";
import type { Finding } from "./output.ts";

export function examineStore({ dir, maxSizeBytes }: LocalSettings): Finding[] {
  const findings = [examineFolder(dir)];
  if (findings[0]!.level === "failure") return findings;
  const path = join(dir, storeFile);
  try {
    const bytes = sizeOf(path);
    if (bytes === 0) return [...findings, { level: "ok", what: `${path}: is begun when the agent runs` }];
    StoreReader.open(dir).close();
    findings.push({ level: "ok", what: `${path}: ${sizeText(bytes)} of at most ${sizeText(maxSizeBytes)}` });
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const remedy = error.remedy ?? "check the disk and the folder";
    findings.push({ level: "failure", what: `${path}: ${error.reason}`, remedy });
  }
  const aside = setAsideStores(dir);
  if (aside.length > 0) {
    const what = `damaged databases were set aside: ${aside.join(", ")}`;
    findings.push({
      level: "warning",
      what,
      remedy: `check the disk; remove them from ${dir} when they are no longer wanted`,
    });
  }
  return findings;
}

/** Whether the folder, or the one that it is to be made in, can be written. */
function examineFolder(dir: string): Finding {
  for (let at = dir;; at = dirname(at)) {
    try {
      if (!Deno.statSync(at).isDirectory) {
        return {
          level: "failure",
          what: `${at}: it is no folder`,
          remedy: "move it away, or name another dir",
        };
      }
      accessSync(at, constants.W_OK | constants.X_OK);
      return { level: "ok", what: `${dir}: can be written` };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound && at !== "/") continue;
      return {
        level: "failure",
        what: `${at}: ${reasonOf(error)}`,
        remedy: "make it writable for the agent's user, or name another dir",
      };
    }
  }
}
