/**
 * The way of a message, top to bottom: subscriber → spool → shippers → cleaner. This file builds the stages from the
 * settings, connects them, and takes them down again; what each of them does stands in its folder.
 */
import { join } from "node:path";
import type { Clock } from "./base/clock.ts";
import { OperationError } from "./base/errors.ts";
import type { Files } from "./base/files.ts";
import { type Lock, lockFolder } from "./base/lock.ts";
import type { Log } from "./base/log.ts";
import { Reserve } from "./base/reserve.ts";
import { Cleaner } from "./cleaner/cleaner.ts";
import { shutdownShipMs } from "./limits.ts";
import type { OutputSettings, Settings } from "./settings.ts";
import { ClockDecisions } from "./shipper/clock_decisions.ts";
import type { DeadLetter } from "./shipper/dead_letters.ts";
import { ElasticsearchOutput } from "./shipper/elasticsearch.ts";
import type { Output } from "./shipper/output.ts";
import { OutputStates } from "./shipper/output_state.ts";
import { Shipper } from "./shipper/shipper.ts";
import { Spool } from "./spool/spool.ts";
import type { Reading } from "./spool/spool_types.ts";
import type { AgentApi, ReplayResult } from "./status/agent_api.ts";
import type { Snapshot } from "./status/snapshot.ts";
import { Subscriber } from "./subscriber/subscriber.ts";

/** The machine as the agent sees it: real for `run`, fake where a test wants a disk or clock of its own. */
export interface Machine {
  files: Files;
  clock: Clock;
  log: Log;
  version: string;
}

/** Takes one output's description to the output itself. */
function makeOutput(settings: OutputSettings, common: Settings, machine: Machine): Output {
  switch (settings.type) {
    case "elasticsearch":
      return new ElasticsearchOutput(settings, common, machine.log);
  }
}

export class Pipeline implements AgentApi {
  readonly #startedMs: number;

  private constructor(
    private settings: Settings,
    private readonly machine: Machine,
    private readonly lock: Lock,
    private readonly spool: Spool,
    private readonly decisions: ClockDecisions,
    private readonly states: OutputStates,
    private readonly shippers: Shipper[],
    private readonly cleaner: Cleaner,
    private readonly subscriber: Subscriber,
  ) {
    this.#startedMs = machine.clock.wallMs();
  }

  /** Takes the spool's lock, recovers what is on disk and builds the stages; nothing is connected yet. */
  static async open(settings: Settings, machine: Machine): Promise<Pipeline> {
    const { files, clock, log } = machine;
    const { dir } = settings.spool;
    files.makeFolder(dir);
    const lock = await lockFolder(dir);
    const reserve = await Reserve.open(files, join(dir, "reserve"));
    const states = await OutputStates.open({ files, dir: join(dir, "outputs"), reserve, log });
    const spool = await Spool.open({ files, dir, log, floorSequence: states.floorSequence() });
    const decisions = await ClockDecisions.open({ files, path: join(dir, "clock.json"), reserve, clock, log, spool });
    const shippers: Shipper[] = [];
    for (const one of settings.outputs) {
      const output = makeOutput(one, settings, machine);
      const state = await states.use(one.name, {
        oldestSequence: spool.oldestSequence(),
        nextSequence: spool.nextSequence(),
        target: (one.index ?? one.dataStream)!,
      });
      shippers.push(new Shipper({ output, state, spool, decisions, clock, log, whenFull: settings.spool.whenFull }));
    }
    const unused = states.retireOthers(settings.outputs.map((one) => one.name));
    await unused;
    const cleaner = new Cleaner({
      files,
      clock,
      log,
      spool,
      settings: settings.spool,
      confirmedBelow: () => shippers.map((shipper) => shipper.durableSequence()),
    });
    const subscriber = new Subscriber({
      settings: settings.mqtt,
      stateFile: join(dir, "session.json"),
      files,
      clock,
      log,
      spool,
      fullReason: () => cleaner.fullReason(),
      version: machine.version,
    });
    return new Pipeline(settings, machine, lock, spool, decisions, states, shippers, cleaner, subscriber);
  }

  /**
   * Runs until `stop` aborts: then the subscriber stops reading, what it has is synced and acknowledged, and the
   * shippers get 5 s more. Rejects when a stage can't go on (LostSyncError): the process must end then.
   */
  async run(stop: AbortSignal): Promise<void> {
    const stopRest = new AbortController();
    const receiving = this.subscriber.run(stop).then(async () => {
      await Promise.race([
        Promise.all(this.shippers.map((shipper) => shipper.drained())),
        this.machine.clock.sleep(shutdownShipMs, stopRest.signal),
      ]);
      stopRest.abort();
    });
    const others = [this.cleaner, this.decisions, ...this.shippers].map((stage) => stage.run(stopRest.signal));
    try {
      await Promise.all([receiving, ...others]);
    } finally {
      stopRest.abort();
      await Promise.allSettled([...others]);
      await this.spool.close();
      this.lock.release();
    }
  }
}
