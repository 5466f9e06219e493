/**
 * The way of a message, top to bottom: subscriber → spool → shippers → cleaner. This file builds the stages from the
 * settings, connects them, and takes them down again; what each of them does stands in its folder.
 */
import { join } from "node:path";
import { Alarms } from "./base/alarms.ts";
import type { Clock } from "./base/clock.ts";
import { OperationError } from "./base/errors.ts";
import type { Files } from "./base/files.ts";
import { type Lock, lockFolder } from "./base/lock.ts";
import type { Log } from "./base/log.ts";
import { Reserve } from "./base/reserve.ts";
import { Cleaner } from "./cleaner/cleaner.ts";
import { receiveStuckMs, shutdownShipMs } from "./limits.ts";
import type { OutputSettings, Settings } from "./settings.ts";
import { ClockDecisions } from "./shipper/clock_decisions.ts";
import type { DeadLetter } from "./shipper/dead_letter.ts";
import { ElasticsearchOutput } from "./shipper/elasticsearch.ts";
import { LocalOutput, localTarget } from "./shipper/local.ts";
import type { Output } from "./shipper/output.ts";
import { OutputStates } from "./shipper/output_state.ts";
import { Shipper } from "./shipper/shipper.ts";
import { Spool } from "./spool/spool.ts";
import type { AgentApi, ReplayResult, TailBatch } from "./status/agent_api.ts";
import { CertificateWatch } from "./status/certificate_watch.ts";
import type { Snapshot } from "./status/snapshot.ts";
import { tailSpool } from "./status/tail_source.ts";
import { EmbeddedBroker } from "./subscriber/embedded_broker.ts";
import type { Receiver } from "./subscriber/receiver.ts";
import { Subscriber } from "./subscriber/subscriber.ts";
import { TopicFilter, topicFilterFault } from "./subscriber/topic_filter.ts";
import { shownCertificatePlace } from "./subscriber/transport.ts";

/** The machine as the agent sees it: real for `run`, fake where a test wants a disk or clock of its own. */
export interface Machine {
  files: Files;
  clock: Clock;
  log: Log;
  version: string;
}

/** Takes one output's description to the output itself. */
export function makeOutput(
  settings: OutputSettings,
  common: Settings,
  machine: Pick<Machine, "log" | "clock">,
): Output {
  switch (settings.type) {
    case "elasticsearch":
      return new ElasticsearchOutput(settings, common, machine.log);
    case "local":
      return new LocalOutput(settings, common, machine);
  }
}

/** What readings of an output are addressed to: its index pattern, data stream or store. */
function targetOf(settings: OutputSettings): string {
  return settings.type === "local" ? localTarget : (settings.index ?? settings.dataStream)!;
}

/** What `Pipeline.open` has built. */
interface Stages {
  lock: Lock;
  spool: Spool;
  decisions: ClockDecisions;
  states: OutputStates;
  outputs: Output[];
  shippers: Shipper[];
  cleaner: Cleaner;
  subscriber: Receiver;
  certificates: CertificateWatch;
  /** Boot-clock time at which the subscriber last asked for room, which it does after every batch. */
  progress: { turnMs: number };
}

export class Pipeline implements AgentApi {
  readonly #startedMs: number;
  readonly #alarms: Alarms;

  private constructor(
    private settings: Settings,
    private readonly machine: Machine,
    private readonly stages: Stages,
  ) {
    this.#startedMs = machine.clock.wallMs();
    this.#alarms = new Alarms(machine.clock);
  }

  /** Takes the spool's lock, recovers what is on disk and builds the stages; nothing is connected yet. */
  static async open(settings: Settings, machine: Machine): Promise<Pipeline> {
    const { files } = machine;
    files.makeFolder(settings.spool.dir);
    const lock = await lockFolder(settings.spool.dir);
    try {
      return new Pipeline(settings, machine, await buildStages(settings, machine, lock));
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * Runs until `stop` aborts: then the subscriber stops reading, what it has is synced and acknowledged, and the
   * shippers get 5 s more. Rejects when a stage can't go on (LostSyncError): the process must end then.
   */
  async run(stop: AbortSignal): Promise<void> {
    const { subscriber, certificates, cleaner, decisions, shippers } = this.stages;
    const stopReceiving = new AbortController();
    const stopRest = new AbortController();
    const onStop = () => stopReceiving.abort();
    if (stop.aborted) onStop();
    stop.addEventListener("abort", onStop, { once: true });
    const receiving = subscriber.run(stopReceiving.signal).then(async () => {
      const shipped = Promise.all(shippers.map((shipper) => shipper.drained()));
      await Promise.race([shipped, this.machine.clock.sleep(shutdownShipMs, stopRest.signal)]);
      stopRest.abort();
    });
    const others = [cleaner, decisions, certificates, ...shippers].map((stage) => stage.run(stopRest.signal));
    try {
      await Promise.all([receiving, ...others]);
    } finally {
      // one stage that fails takes the others down in order
      stopReceiving.abort();
      stopRest.abort();
      await Promise.allSettled([receiving, ...others]);
      stop.removeEventListener("abort", onStop);
      await this.close();
    }
  }

  /** Frees what `open` took; for a pipeline that is not run. */
  async close(): Promise<void> {
    const { lock, spool, outputs } = this.stages;
    await Promise.all(outputs.map((output) => output.close()));
    await spool.close();
    lock.release();
  }

  /** The settings that hold, which is not all of a configuration that was read again. */
  get inForce(): Settings {
    return this.settings;
  }

  /** Takes over the keys that need no restart, as `compareSettings` names them; the rest stays as it was. */
  reload(next: Settings): void {
    const { mqtt, spool, log } = this.settings;
    const { topics, exclude, qos, username, password } = next.mqtt;
    const { maxSizeBytes, minFreeBytes } = next.spool;
    this.settings = {
      ...this.settings,
      mqtt: { ...mqtt, topics, exclude, qos, username, password },
      spool: { ...spool, maxSizeBytes, minFreeBytes },
      log: { ...log, level: next.log.level },
    };
    this.stages.subscriber.reload(this.settings.mqtt);
    this.stages.cleaner.reload(this.settings.spool);
  }

  /** Whether the receiving side moves, for the watchdog: a connection is read at least once per keep-alive. */
  lives(): boolean {
    const { subscriber, progress } = this.stages;
    const patienceMs = Math.max(receiveStuckMs, 2_000 * this.settings.mqtt.keepAliveS);
    const stillMs = this.machine.clock.bootMs() - progress.turnMs;
    return !["connected", "listening"].includes(subscriber.status().state) || stillMs < patienceMs;
  }

  snapshot(): Promise<Snapshot> {
    const { clock, version } = this.machine;
    const { spool, decisions, shippers, cleaner, certificates } = this.stages;
    const subscriber = this.stages.subscriber.status();
    const spoolStatus = { ...cleaner.status(), setAside: spool.setAside() };
    const outputs = shippers.map((shipper) => shipper.status());
    this.#judge(spoolStatus.setAside);
    return Promise.resolve({
      version,
      plant: this.settings.plant,
      pid: Deno.pid,
      startedMs: this.#startedMs,
      nowMs: clock.wallMs(),
      clock: { synchronised: clock.synchronised(), bootId: clock.bootId, decision: decisions.decision() },
      memoryBytes: Deno.memoryUsage().rss,
      subscriber,
      spool: spoolStatus,
      outputs,
      alarms: [spoolStatus, subscriber, ...outputs].flatMap((part) => part.alarms)
        .concat(certificates.alarms(), this.#alarms.list()),
    });
  }

  tail(signal: AbortSignal, filters = ["#"]): AsyncIterable<TailBatch> {
    for (const filter of filters) {
      const fault = topicFilterFault(filter);
      if (fault === undefined) continue;
      throw new OperationError({ operation: "tail", place: filter, cause: `the topic filter ${fault}` });
    }
    const matchers = filters.map((filter) => new TopicFilter(filter));
    const matches = (topic: Uint8Array) => matchers.some((one) => one.matches(topic, 0, topic.length));
    return tailSpool(this.stages.spool, matches, signal);
  }

  outputs(): string[] {
    return this.stages.states.names();
  }

  deadLetters(output: string): Iterable<DeadLetter> {
    return this.stages.states.letters(output);
  }

  async replayDead(output: string, ids: string[] | undefined, signal: AbortSignal): Promise<ReplayResult> {
    const shipper = this.stages.shippers[this.settings.outputs.findIndex((one) => one.name === output)];
    if (shipper === undefined) {
      throw new OperationError({
        operation: "replay dead letters",
        place: output,
        cause: "there is no output of that name in the configuration",
        remedy: "configure it (again), or drop its dead letters",
      });
    }
    return await shipper.replayDead(ids, signal);
  }

  dropDead(output: string, ids: string[] | undefined): Promise<number> {
    return this.stages.states.dropDead(output, ids);
  }

  /** Raises or clears the alarms that are no stage's own. */
  #judge(setAside: string[]): void {
    if (this.settings.outputs.length > 0) this.#alarms.clear("no_output");
    else {
      const text = "no output is configured: readings are kept, and nothing is shipped";
      this.#alarms.raise("no_output", text, "name one under outputs: in the configuration");
    }
    const bad = setAside.filter((name) => name.endsWith(".bad"));
    if (bad.length === 0) this.#alarms.clear("segment_set_aside");
    else {
      const text = `could not be read and was set aside: ${bad.join(", ")}`;
      const remedy =
        `check the disk; when they are no longer wanted, remove them from ${this.settings.spool.dir}`;
      this.#alarms.raise("segment_set_aside", text, remedy);
    }
  }
}

async function buildStages(settings: Settings, machine: Machine, lock: Lock): Promise<Stages> {
  const { files, clock, log, version } = machine;
  const { dir, whenFull, syncWindowMs } = settings.spool;
  const reserve = await Reserve.open(files, join(dir, "reserve"));
  const states = await OutputStates.open({ files, dir: join(dir, "outputs"), reserve, log });
  const spool = await Spool.open({ files, dir, log, floorSequence: states.floorSequence() });
  const decisions = await ClockDecisions.open({
    files,
    path: join(dir, "clock.json"),
    reserve,
    clock,
    log,
    spool,
  });
  const outputs: Output[] = [];
  const shippers: Shipper[] = [];
  for (const one of settings.outputs) {
    const output = makeOutput(one, settings, machine);
    const state = await states.use(one.name, {
      oldestSequence: spool.oldestSequence(),
      nextSequence: spool.nextSequence(),
      target: targetOf(one),
    });
    outputs.push(output);
    shippers.push(new Shipper({ output, state, spool, decisions, clock, log, whenFull }));
  }
  await states.retireOthers(settings.outputs.map((one) => one.name));
  const cleaner = new Cleaner({
    files,
    clock,
    log,
    spool,
    settings: settings.spool,
    confirmedBelow: () => shippers.map((shipper) => shipper.durableSequence()),
    reserve,
  });
  await cleaner.round(); // a disk that is full already is known before anything is received
  const progress = { turnMs: clock.bootMs() };
  const receiving = {
    settings: settings.mqtt,
    clock,
    log,
    spool,
    fullReason: () => {
      progress.turnMs = clock.bootMs();
      return cleaner.fullReason();
    },
    syncWindowMs,
  };
  const stateFile = join(dir, "session.json");
  const subscriber = settings.mqtt.listen === undefined
    ? new Subscriber({ ...receiving, stateFile, files, version })
    : new EmbeddedBroker(receiving);
  const broker = shownCertificatePlace(settings.mqtt);
  const certificates = new CertificateWatch({ settings, broker, clock, log });
  return { lock, spool, decisions, states, outputs, shippers, cleaner, subscriber, certificates, progress };
}
