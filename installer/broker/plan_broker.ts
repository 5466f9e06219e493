/** `broker init` as a list of steps: what Mosquitto needs before the agent's own steps. Pure. */
import { OperationError } from "../../agent/base/errors.ts";
import type { Machine } from "../machine.ts";
import { brokerUnit } from "./places.ts";

export { brokerPlaces, brokerUnit } from "./places.ts";

/** Makes Mosquitto read accounts, access list and certificates again; no client loses its connection. */
export async function reloadBroker(machine: Machine): Promise<void> {
  const { code, stderr } = await machine.run("systemctl", ["reload", brokerUnit]);
  if (code === 0) return;
  throw new OperationError({
    ...{ operation: "reload the broker", place: brokerUnit },
    cause: stderr.trim() || `systemctl ended with ${code}`,
    remedy: `systemctl status ${brokerUnit}`,
  });
}
