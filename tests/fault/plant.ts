/** What the fault tests have around the compiled agent: broker, recording proxy, sink and a publisher of numbered readings. */
import assert from "node:assert/strict";
import { Agent, type AgentOptions } from "../lab/agent.ts";
import { type Mosquitto, startMosquitto } from "../lab/mosquitto.ts";
import { RecordingProxy } from "../lab/proxy.ts";
import { Publisher } from "../lab/publisher.ts";
import { makeLabDir } from "../lab/paths.ts";
import { Sink } from "../lab/sink.ts";
import { allAnswered, check, type Evidence, type PublishedReading } from "./crash_check.ts";
import { sinkDocuments } from "./crash_run.ts";
import { StoreDir } from "./store_dir.ts";

export interface PlantOptions extends Omit<AgentOptions, "config" | "ports"> {
  /** Merged into the sections of the usual configuration. */
  mqtt?: Record<string, unknown>;
  spool?: Record<string, unknown>;
  /** A local store with these keys, beside the sink or, with `cloud: false`, alone. */
  local?: Record<string, unknown>;
  cloud?: boolean;
  /** The way goes past the proxy: for messages that it need not see. */
  withoutProxy?: boolean;
}

/** `await using` takes all of it down. */
export class Plant implements AsyncDisposable {
  readonly published: PublishedReading[] = [];

  private constructor(
    readonly broker: Mosquitto,
    readonly proxy: RecordingProxy,
    readonly sink: Sink,
    readonly agent: Agent,
    readonly store: StoreDir,
    private readonly config: Record<string, unknown>,
    private readonly stack: AsyncDisposableStack,
  ) {}

  /** Everything is up but the agent, which is not started. */
  static async open(options: PlantOptions = {}): Promise<Plant> {
    await using stack = new AsyncDisposableStack();
    const extra = ["max_queued_messages 0", "max_inflight_messages 200"];
    const broker = stack.use(await startMosquitto({ extra, persistence: false }));
    const proxy = stack.use(new RecordingProxy({ to: { port: broker.port }, payloadBytesMax: 32 }));
    const sink = stack.use(new Sink());
    const { mqtt, spool, withoutProxy, local, cloud = true, ...rest } = options;
    const store = stack.use(new StoreDir(options.storeDir ?? await makeLabDir("store")));
    const outputs = {
      ...(cloud ? { cloud: { type: "elasticsearch", urls: [sink.url] } } : {}),
      ...(local === undefined ? {} : { local: { type: "local", dir: store.dir, ...local } }),
    };
    const config = {
      plant: "fault",
      mqtt: {
        url: `mqtt://127.0.0.1:${withoutProxy ? broker.port : proxy.port}`,
        client_id: "fault",
        topics: ["r/#"],
        qos: 2,
        ...mqtt,
      },
      ...(spool === undefined ? {} : { spool }),
      outputs,
    };
    const ports = { broker: proxy.port, output: sink.port };
    const agent = stack.use(await Agent.create({ ...rest, storeDir: store.dir, config, ports }));
    return new Plant(broker, proxy, sink, agent, store, config, stack.move());
  }

  /** Writes the configuration anew with these outputs, for the next start. */
  async setOutputs(outputs: Record<string, unknown>): Promise<void> {
    await this.agent.configure({ ...this.config, outputs });
  }

  /** Starts the agent and waits until it is subscribed and has reached the sink. */
  async start(): Promise<void> {
    this.agent.start();
    await this.agent.waitUntilReady();
  }

  /** Publishes that many numbered readings of `bytes` each; resolves when the broker has taken them. */
  async publish(count: number, qos: 0 | 1 | 2, bytes = 0): Promise<void> {
    const first = this.published.length + 1;
    const readings = Array.from({ length: count }, (_, i): PublishedReading => {
      const number = first + i;
      const payload = bytes === 0 ? String(number) : `${number}|`.padEnd(bytes, "x");
      return { number, qos, topic: `r/${number % 3}`, payload, taken: false };
    });
    this.published.push(...readings);
    await using publisher = await Publisher.connect({ port: this.broker.port });
    await publisher.publish(
      readings.map((reading) => ({ ...reading, qos })),
      ({ payload }) => readings[Number.parseInt(payload as string, 10) - first]!.taken = true,
    );
  }

  /** Waits until everything is confirmed and answered, and checks the promises over all that was seen. */
  async finish(timeoutMs = 30_000): Promise<void> {
    const due = () => new Set(this.published.filter(({ qos }) => qos > 0).map(({ number }) => number)).size;
    const isLocal = ({ type }: { type: string }) => type === "local";
    const arrived = (local: boolean) => local ? this.store.documents() : sinkDocuments(this.sink);
    const { outputs } = await this.agent.waitUntil(
      "everything to arrive",
      ({ outputs }) =>
        outputs.every((output) => output.waiting === 0 && arrived(isLocal(output)).length >= due()) &&
        allAnswered(this.proxy.events),
      timeoutMs,
    );
    for (const finalSum of outputs) {
      const evidence: Evidence = {
        published: this.published,
        wire: this.proxy.events,
        documents: arrived(isLocal(finalSum)),
        sums: [],
        finalSum,
        sinkViolations: isLocal(finalSum) ? this.store.faults() : this.sink.violations,
      };
      assert.deepEqual(check(evidence), [], finalSum.name);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}
