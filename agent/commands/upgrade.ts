/** `upgrade`: another binary in place of the installed one. */
import { places, unitPath } from "../../installer/plan.ts";
import { upgrade as upgradeTo } from "../../installer/upgrade.ts";
import { OperationError } from "../base/errors.ts";
import { serviceOf } from "./installed_service.ts";
import type { CommonOptions, Host } from "./program.ts";

/** Ends with 0 when the new version runs, or is the installed one already. */
export async function upgrade({ terminal }: Host, file: string, options: CommonOptions): Promise<number> {
  assertInstalled();
  const say = (line: string) => terminal.out(`${line}\n`);
  const changed = await upgradeTo({
    file,
    binary: places.binary,
    configFile: options.config ?? places.config,
    service: serviceOf(options.config),
    say,
  });
  if (changed) await say("the new version runs and is well");
  return 0;
}

/** Throws OperationError unless root asks, under systemd, where the agent is installed. */
function assertInstalled(): void {
  const refuse = (place: string, cause: string, remedy: string) => {
    throw new OperationError({ operation: "upgrade the agent", place, cause, remedy });
  };
  if (Deno.uid() !== 0) {
    refuse(`user id ${Deno.uid()}`, "only root may do that", "sudo sensorlog-agent upgrade FILE");
  }
  for (const path of ["/run/systemd/system", unitPath, places.binary]) {
    try {
      Deno.statSync(path);
    } catch {
      if (path === "/run/systemd/system") {
        refuse(path, "this machine does not run systemd", "replace the file by hand");
      } else refuse(path, "the agent is not installed here", "sudo ./sensorlog-agent install");
    }
  }
}
