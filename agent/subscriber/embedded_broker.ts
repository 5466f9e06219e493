/**
 * The agent's own broker, for who has none: npm:aedes speaks MQTT 3.1.1 with the clients, and asks for leave before it
 * acknowledges a message; leave is given when the message is durable in the spool.
 */
import type { EventEmitter } from "node:events";
import type { Aedes, Client } from "aedes";
import { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { Rate } from "../base/rate.ts";
import { Backoff } from "../base/retry.ts";
import { embeddedStopMs, fullPollMs } from "../limits.ts";
import type { MqttSettings } from "../settings.ts";
import type { SpoolApi } from "../spool/spool_types.ts";
import type { SubscriberStatus } from "../status/snapshot.ts";
import { Counters } from "./counters.ts";
import { EmbeddedAccount } from "./embedded_account.ts";
import { nextTurn } from "./embedded_connection.ts";
import { EmbeddedIds } from "./embedded_ids.ts";
import { EmbeddedIntake } from "./embedded_intake.ts";
import { EmbeddedMemory } from "./embedded_memory.ts";
import { EmbeddedMessages } from "./embedded_messages.ts";
import { EmbeddedRules } from "./embedded_rules.ts";
import { EmbeddedServer } from "./embedded_server.ts";
import { Pace } from "./pace.ts";
import type { Receiver } from "./receiver.ts";

export interface EmbeddedBrokerOptions {
  settings: MqttSettings;
  clock: Clock;
  log: Log;
  spool: SpoolApi;
  /** Why the spool takes no more, or undefined. */
  fullReason: () => string | undefined;
  /** `spool.sync_window`. */
  syncWindowMs: number;
}

export class EmbeddedBroker implements Receiver {
  #settings: MqttSettings;
  #state: "connecting" | "listening" | "stopped" = "connecting";
  #server: EmbeddedServer | undefined;
  #accepting: Promise<void> = Promise.resolve();
  #lastMessageMs: number | undefined;
  /** Why nothing is taken, and until when at least (boot clock). */
  #paused: { reason: string; untilMs: number } | undefined;
  readonly #counters = new Counters();
  readonly #alarms: Alarms;
  readonly #rate: Rate;
  readonly #backoff = new Backoff();
  readonly #ids = new EmbeddedIds();
  readonly #intake: EmbeddedIntake;
  readonly #messages: EmbeddedMessages;
  readonly #rules: EmbeddedRules;

  constructor(private readonly options: EmbeddedBrokerOptions) {
    const { settings, clock, log, spool, syncWindowMs } = options;
    this.#settings = settings;
    this.#alarms = new Alarms(clock);
    this.#rate = new Rate(clock);
    this.#intake = new EmbeddedIntake({
      spool,
      clock,
      counters: this.#counters,
      pace: new Pace(syncWindowMs),
      onBatch: () => this.#backoff.reset(),
      onRefused: (reason) => this.#pause(reason, this.#backoff.nextMs()),
    });
    const refusal = () => this.#refusal();
    this.#messages = new EmbeddedMessages(
      { intake: this.#intake, ids: this.#ids, counters: this.#counters, refusal },
      settings,
    );
    this.#rules = new EmbeddedRules({
      log,
      clock,
      counters: this.#counters,
      messages: this.#messages,
      refusal,
      onMessage: () => {
        this.#rate.add(1);
        this.#lastMessageMs = clock.wallMs();
      },
      letIn: (connection) => this.#server?.letIn(connection),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.options;
    const server = this.#open();
    const stopIntake = new AbortController();
    try {
      this.#rules.account = new EmbeddedAccount(this.#settings);
      const broker = await this.#start(server);
      log.notice("The agent's own broker listens", { url: server.url });
      this.#state = "listening";
      const storing = this.#intake.run(stopIntake.signal);
      try {
        await Promise.race([storing, this.#watch(signal)]);
        server.close();
        for (const connection of server.connections()) connection.stopReading();
        await nextTurn(); // what was read is with the intake then
        stopIntake.abort();
        await storing;
        await this.#answered(server);
      } finally {
        stopIntake.abort();
        await storing.catch(() => {}); // thrown above
        await this.#end(broker, server);
      }
    } finally {
      server.close();
      this.#state = "stopped";
    }
  }

  #open(): EmbeddedServer {
    try {
      return this.#server = EmbeddedServer.open(this.#settings);
    } catch (error) {
      this.#state = "stopped";
      throw error;
    }
  }

  reload(settings: MqttSettings): void {
    this.#settings = settings;
    this.#messages.reload(settings);
    try {
      this.#rules.account = new EmbeddedAccount(settings);
    } catch (error) {
      this.options.log.error("The password can't be read; the earlier one holds", {
        reason: reasonOf(error),
      });
    }
  }

  status(): SubscriberStatus {
    const paused = this.#state === "listening" ? this.#paused?.reason : undefined;
    return {
      ...(paused === undefined ? { state: this.#state } : { state: "paused", reason: paused }),
      ...(this.#server === undefined ? {} : { url: this.#server.url }),
      clients: this.#server?.clients ?? 0,
      protocol: "MQTT 3.1.1",
      filters: this.#settings.topics.map((filter) => ({ filter, granted: 2 })),
      ...this.#counters,
      possibleGaps: [],
      ...(this.#lastMessageMs === undefined ? {} : { lastMessageMs: this.#lastMessageMs }),
      ratePerS: this.#rate.perS(),
      alarms: this.#alarms.list(),
    };
  }

  async #start(server: EmbeddedServer): Promise<Aedes> {
    const { clock, log } = this.options;
    const { Aedes } = await import("aedes");
    const memory = new EmbeddedMemory(this.#ids, () => {
      const text =
        "the agent's own broker has no room for more retained messages; they are stored all the same";
      this.#alarms.raise(
        "retained_full",
        text,
        "publish fewer topics with RETAIN, or use a broker with mqtt.url",
      );
    });
    const broker = await Aedes.createBroker({ ...this.#rules.options(), persistence: memory });
    // its own errors are no reason to end: messages are safe in the spool
    const failed = (error: Error) => log.error("The agent's own broker failed", { reason: reasonOf(error) });
    (broker as EventEmitter).on("error", failed);
    broker.on("clientError", (client, error) => this.#rules.dropped(client, error));
    broker.on("connectionError", (client, error) => this.#rules.dropped(client, error));
    broker.on("unsubscribe", (filters, client) => this.#rules.unsubscribed(filters, client));
    const refuse = (reason: string) => this.#rules.turnedAway(reason);
    this.#accepting = server.accept(clock, (connection) => void broker.handle(connection), refuse);
    return broker;
  }

  /** Looks again and again whether there is room, until `signal` aborts. */
  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // a commit that hangs is not hidden from the watchdog
      if (!this.#intake.committing) this.#refusal();
      await this.options.clock.sleep(fullPollMs, signal);
    }
  }

  /** Why nothing is stored at this moment. */
  #refusal(): string | undefined {
    const { fullReason, log, clock } = this.options;
    const full = fullReason();
    if (full !== undefined) this.#pause(`spool full: ${full}`, 0);
    else if (this.#paused !== undefined && clock.bootMs() >= this.#paused.untilMs) {
      this.#paused = undefined;
      log.notice("Reception goes on");
    }
    return this.#paused?.reason;
  }

  #pause(reason: string, forMs: number): void {
    if (this.#paused === undefined) this.options.log.warning("Reception pauses", { reason });
    this.#paused = { reason, untilMs: this.options.clock.bootMs() + forMs };
  }

  /** What was stored is acknowledged and handed on to subscribers, of whom slow ones are not waited for long. */
  async #answered(server: EmbeddedServer): Promise<void> {
    const over = new AbortController();
    const patience = this.options.clock.sleep(embeddedStopMs, over.signal);
    await Promise.race([patience, Promise.all([...server.connections()].map((one) => one.quiet()))]);
    over.abort();
  }

  /** Wills are not published: the clients are alive, it is the broker that goes. */
  async #end(broker: Aedes, server: EmbeddedServer): Promise<void> {
    server.close();
    const connections = [...server.connections()];
    for (const connection of connections) {
      const client: (Client & { will?: unknown }) | undefined = this.#rules.clientOf(connection);
      if (client !== undefined) client.will = null;
      connection.destroy();
    }
    await new Promise<void>((done) => broker.close(done));
    await Promise.all([this.#accepting, ...connections.map((connection) => connection.closing.promise)]);
  }
}
