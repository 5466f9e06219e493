/** Two ways to the dead letters: the running agent's socket, or, when none runs, the files under the spool's lock. */
import { OperationError } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import { startedByManager } from "../base/notify.ts";
import { Logger } from "../base/logger.ts";
import { SystemClock } from "../base/system_clock.ts";
import { loadSettings, socketOf } from "../config.ts";
import { replayTimeoutMs } from "../limits.ts";
import { Pipeline } from "../pipeline.ts";
import type { DeadLetter } from "../shipper/dead_letter.ts";
import type { ReplayResult } from "../status/agent_api.ts";
import { SocketClient } from "../status/socket_client.ts";
import { assertOwner } from "./owner.ts";

export interface DeadAccess {
  outputs(): Promise<string[]>;
  letters(output: string): AsyncIterable<DeadLetter>;
  /** `ids` undefined: all. */
  replay(output: string, ids: string[] | undefined): Promise<ReplayResult>;
  drop(output: string, ids: string[] | undefined): Promise<number>;
  close(): Promise<void>;
}

/** Throws OperationError when the socket may not be used, or the files can't be opened. */
export async function openDeadAccess(
  configFile: string | undefined,
  version: string,
  stop: AbortSignal,
): Promise<DeadAccess> {
  const client = await SocketClient.connect(socketOf(configFile));
  return client !== undefined ? new OverSocket(client, stop) : await OnDisk.open(configFile, version, stop);
}

class OverSocket implements DeadAccess {
  constructor(private readonly client: SocketClient, private readonly stop: AbortSignal) {}

  async outputs(): Promise<string[]> {
    return (await this.client.get<{ outputs: string[] }>("/dead")).outputs;
  }

  async *letters(output: string): AsyncGenerator<DeadLetter> {
    for await (const letters of this.client.lines<DeadLetter>(address(output), this.stop)) yield* letters;
  }

  async replay(output: string, ids: string[] | undefined): Promise<ReplayResult> {
    return await this.client.post<ReplayResult>(
      address(output, "replay"),
      chosen(ids),
      replayTimeoutMs,
      this.stop,
    );
  }

  async drop(output: string, ids: string[] | undefined): Promise<number> {
    const answer = await this.client.post<{ dropped: number }>(
      address(output, "drop"),
      chosen(ids),
      replayTimeoutMs,
    );
    return answer.dropped;
  }

  close(): Promise<void> {
    this.client.close();
    return Promise.resolve();
  }
}

function address(output: string, action?: string): string {
  return `/dead/${encodeURIComponent(output)}${action === undefined ? "" : `/${action}`}`;
}

function chosen(ids: string[] | undefined): { all: true } | { ids: string[] } {
  return ids === undefined ? { all: true } : { ids };
}

/** The agent's own pipeline, opened and not run: nothing is received or shipped but what is asked for. */
class OnDisk implements DeadAccess {
  private constructor(
    private readonly pipeline: Pipeline,
    private readonly clock: SystemClock,
    private readonly stop: AbortSignal,
  ) {}

  static async open(configFile: string | undefined, version: string, stop: AbortSignal): Promise<OnDisk> {
    const settings = loadSettings(configFile, { embedded: !startedByManager() });
    const { dir } = settings.spool;
    const found = await Deno.stat(dir).catch(() => undefined);
    if (found === undefined) {
      throw new OperationError({
        operation: "open the dead letters",
        place: dir,
        cause: "no agent answers, and there is no such folder that this user may see",
        remedy: "has the agent run with this configuration (--config FILE)",
      });
    }
    assertOwner(dir);
    const clock = new SystemClock();
    const log = new Logger({ format: "text", level: "warning" });
    try {
      return new OnDisk(
        await Pipeline.open(settings, { files: realFiles, clock, log, version }),
        clock,
        stop,
      );
    } catch (error) {
      await clock.close();
      throw error;
    }
  }

  outputs(): Promise<string[]> {
    return Promise.resolve(this.pipeline.outputs());
  }

  async *letters(output: string): AsyncGenerator<DeadLetter> {
    for (const letter of this.pipeline.deadLetters(output)) yield await Promise.resolve(letter);
  }

  replay(output: string, ids: string[] | undefined): Promise<ReplayResult> {
    return this.pipeline.replayDead(output, ids, this.stop);
  }

  drop(output: string, ids: string[] | undefined): Promise<number> {
    return this.pipeline.dropDead(output, ids);
  }

  async close(): Promise<void> {
    await this.pipeline.close();
    await this.clock.close();
  }
}
