/** `upgrade`: another binary in place of the installed one. */
import { runProgram } from "../../installer/run_program.ts";
import { type Answer, type Service } from "../../installer/service.ts";
import { upgrade as upgradeTo } from "../../installer/upgrade.ts";
import { OperationError } from "../base/errors.ts";
import { defaultPath, socketOf } from "../config.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { SocketClient } from "../status/socket_client.ts";
import type { CommonOptions, Host } from "./program.ts";

export const installedBinary = "/usr/local/bin/sensorlog-agent";
const unitFile = "/etc/systemd/system/sensorlog-agent.service";

/** Ends with 0 when the new version runs, or is the installed one already. */
export async function upgrade({ terminal }: Host, file: string, options: CommonOptions): Promise<number> {
  assertInstalled();
  const say = (line: string) => terminal.out(`${line}\n`);
  const changed = await upgradeTo({
    file,
    binary: installedBinary,
    configFile: options.config ?? defaultPath,
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
  for (const path of ["/run/systemd/system", unitFile, installedBinary]) {
    try {
      Deno.statSync(path);
    } catch {
      if (path === "/run/systemd/system") {
        refuse(path, "this machine does not run systemd", "replace the file by hand");
      } else refuse(path, "the agent is not installed here", "sudo ./sensorlog-agent install");
    }
  }
}

/** The installed service, asked through its socket. */
export function serviceOf(config: string | undefined): Service {
  const path = socketOf(config);
  return {
    run: runProgram,
    ask: () => ask(path),
    sleep: (timeMs) => new Promise((done) => setTimeout(done, timeMs)),
    nowMs: () => performance.now(),
  };
}

async function ask(path: string): Promise<Answer | undefined> {
  let client: SocketClient | undefined;
  try {
    client = await SocketClient.connect(path);
    if (client === undefined) return undefined;
    const { version, pid, outputs, spool } = await client.get<Snapshot>("/status");
    const onDisk = spool.nextSequence - spool.oldestSequence;
    const waiting = outputs.length === 0 ? onDisk : Math.max(...outputs.map((output) => output.waiting));
    return { version, pid, waiting };
  } catch (error) {
    if (error instanceof OperationError) return undefined;
    throw error;
  } finally {
    client?.close();
  }
}
