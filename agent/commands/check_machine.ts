/** The machine's part of `check`: folder, room, another agent, clock. */
import { dirname, join } from "node:path";
import { Acting } from "../base/as_owner.ts";
import { sizeText } from "../base/display.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import type { Clock } from "../base/clock.ts";
import type { Settings } from "../settings.ts";
import type { Finding } from "../shipper/output.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { SocketClient } from "../status/socket_client.ts";
import { assertOwner } from "./owner.ts";

/** Nobody's clock is right before the agent was written. */
const earliestMs = Date.UTC(2025, 0, 1);

/**
 * Whether the spool's folder can be used, and for how much. `serviceUid`: who the service runs as that this configuration
 * is of; undefined: it is started by whoever asks.
 */
export async function examineSpool(
  { spool }: Settings,
  agent: RunningAgent,
  serviceUid: number | undefined,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (agent.finding !== undefined) findings.push(agent.finding);
  const folder = existingFolder(spool.dir);
  findings.push(
    folder === spool.dir ? await writeFinding(folder, serviceUid) : {
      level: "ok",
      what: `${spool.dir} does not exist yet; the agent makes it when it starts`,
    },
  );
  const { freeBytes } = await realFiles.space(folder);
  const used = sizeOf(spool.dir);
  const wantedBytes = Math.max(0, spool.maxSizeBytes - used) + spool.minFreeBytes;
  const room = `${sizeText(freeBytes)} free on the disk of ${folder}`;
  if (freeBytes < spool.minFreeBytes) {
    const what = `${room}, less than min_free of ${sizeText(spool.minFreeBytes)}: nothing will be received`;
    findings.push({ level: "failure", what, remedy: "free space on the disk, or lower spool.min_free" });
  } else if (freeBytes < wantedBytes) {
    const what = `${room}: the spool can't grow to max_size of ${sizeText(spool.maxSizeBytes)}`;
    findings.push({
      level: "warning",
      what,
      remedy: "free space, or lower spool.max_size; else min_free stops it",
    });
  } else {findings.push({
      level: "ok",
      what: `${room}, enough for ${sizeText(spool.maxSizeBytes)} of readings`,
    });}
  return findings;
}

/** The folder itself or the nearest one above it that is there. */
function existingFolder(dir: string): string {
  let folder = dir;
  for (; folder !== "/"; folder = dirname(folder)) {
    try {
      if (Deno.statSync(folder).isDirectory) return folder;
    } catch {
      // the one above
    }
  }
  return folder;
}

function sizeOf(dir: string): number {
  try {
    return realFiles.list(dir).reduce((sum, entry) => sum + entry.sizeBytes, 0);
  } catch {
    return 0;
  }
}

/** Writes, syncs and removes a small file as the agent would: what root can do says nothing about the service. */
async function writeFinding(dir: string, serviceUid: number | undefined): Promise<Finding> {
  const path = join(dir, `check-${Deno.pid}`);
  let acting: Acting | undefined;
  try {
    if (serviceUid === undefined) assertOwner(dir);
    else acting = actAsService(dir, serviceUid);
    const file = realFiles.open(path, "create");
    try {
      file.append(new TextEncoder().encode("check\n"));
      await file.syncData();
    } finally {
      file.close();
      realFiles.unlink(path);
    }
    return { level: "ok", what: `${dir} can be written` };
  } catch (error) {
    const remedy = error instanceof OperationError ? error.remedy : undefined;
    return {
      level: "failure",
      what: `${dir} can't be written: ${reasonOf(error)}`,
      remedy: remedy ?? "it must belong to the user that runs the agent",
    };
  } finally {
    acting?.end();
  }
}

/** Throws OperationError when the folder is another user's. */
function actAsService(dir: string, serviceUid: number): Acting {
  const owner = Deno.statSync(dir).uid;
  if (owner === serviceUid) return Acting.asOwnerOf(dir);
  throw new OperationError({
    ...{ operation: "write as the service", place: dir },
    cause: `it belongs to user id ${owner}, and the service runs as user id ${serviceUid}`,
    remedy: `sudo chown -R ${serviceUid} '${dir}'`,
  });
}

/** An agent that runs with this configuration. */
export interface RunningAgent {
  /** Undefined: none runs. */
  finding: Finding | undefined;
  /** Undefined: none answers. */
  version: string | undefined;
}

/** The agent that answers at the socket, if any does. */
export async function runningAgent(socket: string): Promise<RunningAgent> {
  let client: SocketClient | undefined;
  try {
    client = await SocketClient.connect(socket);
    if (client === undefined) return { finding: undefined, version: undefined };
    const { pid, version } = await client.get<Snapshot>("/status");
    const what = `an agent runs with this configuration: pid ${pid}, version ${version}`;
    return { finding: { level: "ok", what }, version };
  } catch (error) {
    const what = `an agent's socket is at ${socket}, but it does not answer: ${reasonOf(error)}`;
    const remedy = "is this user in the group that owns the socket";
    return { finding: { level: "warning", what, remedy }, version: undefined };
  } finally {
    client?.close();
  }
}

/** Whether the wall clock can be believed. */
export function examineClock(clock: Clock): Finding[] {
  const now = new Date(clock.wallMs()).toISOString();
  const wait = "readings wait up to 10 min for it, then they are marked unsynced";
  const remedy = "set up time synchronisation: timedatectl set-ntp true";
  if (clock.wallMs() < earliestMs) {
    return [{ level: "failure", what: `the clock says ${now}, which is over`, remedy }];
  }
  switch (clock.synchronised()) {
    case "yes":
      return [{ level: "ok", what: `synchronised, ${now}` }];
    case "no":
      return [{ level: "warning", what: `not synchronised, ${now}; ${wait}`, remedy }];
    case "unknown":
      return [{
        level: "warning",
        what: `nobody can say whether it is synchronised, ${now}; ${wait}`,
        remedy,
      }];
  }
}
