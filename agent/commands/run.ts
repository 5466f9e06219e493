/** `run`: what the service runs, from the configuration to the last acknowledgement. */
import { countText, sizeText } from "../base/display.ts";
import { OperationError, reasonOf } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import { collectGrownHeap } from "../base/garbage.ts";
import { returnBlocksFrom, returnFreeMemory } from "../base/libc.ts";
import { Logger } from "../base/logger.ts";
import { Notifier, startedByManager } from "../base/notify.ts";
import { SystemClock } from "../base/system_clock.ts";
import { compareSettings, loadSettings } from "../config.ts";
import { assertLimits, mallocMappedBytes } from "../limits.ts";
import { Pipeline } from "../pipeline.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { SocketServer } from "../status/socket_server.ts";
import { assertOwner } from "./owner.ts";
import type { CommonOptions, Host } from "./program.ts";
import { catchStrayErrors } from "./stray_errors.ts";

/** How often the service manager is told the status, and free memory given back. */
const statusTextMs = 5_000;

/** Ends with 0 when it was asked to stop, with 1 when it can't go on. Throws ConfigError before it has begun. */
export async function run({ terminal, version }: Host, options: CommonOptions): Promise<number> {
  assertLimits();
  returnBlocksFrom(mallocMappedBytes);
  // the installed service never opens a broker or a store of its own accord
  const settings = loadSettings(options.config, { embedded: !startedByManager() });
  const log = new Logger(settings.log);
  const clock = new SystemClock();
  const notifier = new Notifier();
  const fatal = catchStrayErrors();
  try {
    assertOwner(settings.spool.dir);
    for (const warning of settings.warnings) log.warning(warning);
    log.notice("the agent starts", {
      version,
      plant: settings.plant,
      configuration: settings.file ?? "defaults",
    });
    const pipeline = await Pipeline.open(settings, { files: realFiles, clock, log, version });
    const service = new Service(pipeline, settings.socket, options.config, log, notifier);
    await Promise.race([service.run(terminal.stop), fatal.promise]);
    log.notice("the agent has stopped");
    return 0;
  } catch (error) {
    for (const line of linesOf(error)) log.error(line, stackOf(error));
    return 1;
  } finally {
    fatal.release();
    notifier.close();
    await clock.close();
    await log.flush();
  }
}

/** The pipeline with what is around it: socket, service manager, signals. */
class Service {
  constructor(
    private readonly pipeline: Pipeline,
    private readonly socketPath: string,
    private readonly configFile: string | undefined,
    private readonly log: Logger,
    private readonly notifier: Notifier,
  ) {}

  async run(stop: AbortSignal): Promise<void> {
    const { pipeline, notifier, log } = this;
    const socket = await this.#openSocket();
    const reload = () => this.#reload();
    Deno.addSignalListener("SIGHUP", reload);
    const onStop = () => {
      log.notice("the agent stops: what was read is stored and acknowledged, then shipped for at most 5 s");
      notifier.stopping();
    };
    stop.addEventListener("abort", onStop, { once: true });
    const timer = setInterval(() => this.#tend(), statusTextMs);
    try {
      const running = pipeline.run(stop);
      notifier.ready(); // being ready needs no network: what arrives is stored from now on
      notifier.watch(() => pipeline.lives());
      await this.#tellStatus();
      await running;
    } finally {
      clearInterval(timer);
      stop.removeEventListener("abort", onStop);
      Deno.removeSignalListener("SIGHUP", reload);
      await socket?.close();
    }
  }

  /** Without the socket the agent does its work all the same; only `status` and its like can't ask it. */
  async #openSocket(): Promise<SocketServer | undefined> {
    try {
      return await SocketServer.open(this.socketPath, this.pipeline, this.log);
    } catch (error) {
      for (const line of linesOf(error)) this.log.error(line);
      return undefined;
    }
  }

  #tend(): void {
    collectGrownHeap();
    returnFreeMemory();
    void this.#tellStatus(); // says itself what goes wrong
  }

  async #tellStatus(): Promise<void> {
    try {
      this.notifier.status(statusText(await this.pipeline.snapshot()));
    } catch (error) {
      this.log.warning("the status can't be told", { reason: reasonOf(error) });
    }
  }

  /** SIGHUP: takes over what can be, and says what needs a restart. A wrong configuration changes nothing. */
  #reload(): void {
    const { log, notifier, pipeline } = this;
    notifier.reloading();
    try {
      const next = loadSettings(this.configFile, { embedded: !startedByManager() });
      const { reloadable, needsRestart } = compareSettings(pipeline.inForce, next);
      for (const warning of next.warnings) log.warning(warning);
      for (const key of reloadable) log.notice("a changed key is in force", { key });
      for (const key of needsRestart) log.warning("a changed key needs a restart of the agent", { key });
      if (reloadable.length + needsRestart.length === 0) {
        log.notice("the configuration was read again: no change");
      }
      pipeline.reload(next);
      log.level = next.log.level;
    } catch (error) {
      for (const line of linesOf(error)) log.error(line);
      log.error("the configuration is not taken over; the earlier one stays in force");
    } finally {
      notifier.ready();
    }
  }
}

/** An error of ours in full; a wrong configuration has a line for each problem. */
function linesOf(error: unknown): string[] {
  return error instanceof OperationError ? error.message.split("\n") : [reasonOf(error)];
}

/** One line for `systemctl status`. */
export function statusText({ subscriber, spool, outputs, alarms }: Snapshot): string {
  const broker = subscriber.reason === undefined
    ? subscriber.state
    : `${subscriber.state} (${subscriber.reason})`;
  const waiting = outputs.map((output) =>
    `${output.name}: ${output.state}, ${countText(output.waiting)} waiting`
  );
  const wants = alarms.length === 0 ? [] : [`${alarms.length} alarms, first: ${alarms[0]!.text}`];
  return [`broker: ${broker}`, `spool: ${sizeText(spool.sizeBytes)}`, ...waiting, ...wants].join("; ");
}

/** Where an error that is not one of ours came from. */
function stackOf(error: unknown): { stack?: string } {
  if (error instanceof OperationError || !(error instanceof Error) || error.stack === undefined) return {};
  return { stack: error.stack.split("\n").slice(1, 6).map((line) => line.trim()).join(" < ") };
}
