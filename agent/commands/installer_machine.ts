/** The machine as the commands of the installer change it: its programs, and the agent's service started until it is well. */
import { type Machine, realMachine } from "../../installer/machine.ts";
import { runProgram } from "../../installer/run_program.ts";
import { lastLines, restart, unhealthy } from "../../installer/service.ts";
import { unitName } from "../../installer/units.ts";
import { OperationError } from "../base/errors.ts";
import type { Host } from "./describe.ts";
import { serviceOf } from "./installed_service.ts";

const healthyMs = 60_000;

/** The running machine, or the image below `root`. `say` prints a line for people while something takes long. */
export function installerMachine(
  host: Host,
  say: (line: string) => Promise<void>,
  root?: string,
): Machine {
  return realMachine(root, { run: runProgram, start: () => start(host, say) });
}

/** Starts the service, or starts it again, and waits until it is well; that needs no network. */
async function start({ version }: Host, say: (line: string) => Promise<void>): Promise<void> {
  const service = serviceOf(undefined);
  await say("  the service starts; waiting until it is well");
  await restart(service);
  const why = await unhealthy(service, healthyMs, version);
  if (why === undefined) return;
  const log = await lastLines(service, 5);
  throw new OperationError({
    ...{ operation: "start the service", place: unitName },
    cause: `within ${healthyMs / 1_000} s it was not well: ${why}${log === "" ? "" : `; it logged: ${log}`}`,
    remedy: "journalctl -u sensorlog-agent shows more",
  });
}
