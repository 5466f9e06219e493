/** The installed service as the installer wants to see it: through systemd, and through the agent's socket. */
import { runProgram } from "../../installer/run_program.ts";
import type { Answer, Service } from "../../installer/service.ts";
import { OperationError } from "../base/errors.ts";
import { socketOf } from "../config.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { SocketClient } from "../status/socket_client.ts";

/** `config`: of the service's agent, when it is not the usual file. Throws ConfigError when it can't be read. */
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
