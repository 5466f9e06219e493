/** What holds when the configuration says nothing and it depends on the machine. */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import type { ListenAddress } from "../settings.ts";

/** What of the machine the defaults come from. */
export interface Machine {
  hostname: string;
  /** Content of /etc/machine-id; undefined when there is none. */
  machineId: string | undefined;
}

/** Where a hand-started `run` without a broker opens its own. */
export const listenDefault: ListenAddress = { host: "127.0.0.1", port: 1883 };
export const spoolDirDefault = "/var/lib/sensorlog/spool";
/** Of an output of type `local`. */
export const storeDirDefault = "/var/lib/sensorlog/store";

export function thisMachine(): Machine {
  for (const path of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    try {
      return { hostname: hostname(), machineId: Deno.readTextFileSync(path).trim() || undefined };
    } catch {
      // the next one; a container may have none
    }
  }
  return { hostname: hostname(), machineId: undefined };
}

/** A host name as a plant may be called: other characters become hyphens. */
export function plantOf(hostname: string): string {
  const plant = hostname.replace(/[^A-Za-z0-9._-]/g, "-").replace(/^[._-]+/, "").slice(0, 63);
  return plant === "" ? "plant" : plant;
}

/**
 * The client id of a plant's agent: always the same on one machine, another on the next, so that two agents don't take
 * each other's session. The machine's id itself stays secret, as machine-id(5) asks: only a hash made for this leaves.
 */
export function clientIdOf(plant: string, machine: Machine): string {
  const identity = machine.machineId ?? `host name ${machine.hostname}`;
  const hash = createHash("sha256").update(`sensorlog-agent client id\n${identity}`).digest("hex");
  return `sensorlog-${plant}-${hash.slice(0, 10)}`;
}
