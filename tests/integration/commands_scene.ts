/** What the tests of the commands have around the compiled agent: a broker, a sink in Elasticsearch's place, a publisher. */
import { Agent, agentBinary } from "../lab/agent.ts";
import { type Mosquitto, type MosquittoOptions, startMosquitto } from "../lab/mosquitto.ts";
import { Running } from "../lab/process.ts";
import { type Message, Publisher } from "../lab/publisher.ts";
import { Sink } from "../lab/sink.ts";

export interface SceneOptions {
  broker?: MosquittoOptions;
  mqtt?: Record<string, unknown>;
  spool?: Record<string, unknown>;
  /** Further sections of agent.yaml; `outputs` here replaces the sink. */
  more?: Record<string, unknown>;
  secrets?: Record<string, string>;
  env?: Record<string, string>;
}

/** `await using` takes all of it down. */
export class Scene implements AsyncDisposable {
  private constructor(
    readonly broker: Mosquitto,
    readonly sink: Sink,
    readonly agent: Agent,
    readonly config: Record<string, unknown>,
    private readonly stack: AsyncDisposableStack,
  ) {}

  /** Everything is up but the agent, which is not started. */
  static async open(options: SceneOptions = {}): Promise<Scene> {
    await using stack = new AsyncDisposableStack();
    const broker = stack.use(await startMosquitto({ persistence: false, ...options.broker }));
    const sink = stack.use(new Sink());
    const config = {
      plant: "scene",
      mqtt: { url: broker.url, client_id: "scene", ...options.mqtt },
      outputs: { cloud: { type: "elasticsearch", urls: [sink.url] } },
      ...(options.spool === undefined ? {} : { spool: options.spool }),
      ...options.more,
    };
    const { secrets, env } = options;
    const agent = stack.use(
      await Agent.create({
        config,
        ...(secrets === undefined ? {} : { secrets }),
        ...(env === undefined ? {} : { env }),
      }),
    );
    return new Scene(broker, sink, agent, config, stack.move());
  }

  /** Starts the agent and waits until the broker has granted its filters. */
  async start(): Promise<void> {
    this.agent.start();
    await this.agent.waitUntil(
      "a connection",
      ({ subscriber }) =>
        subscriber.state === "connected" &&
        subscriber.filters.every((one) => typeof one.granted === "number"),
    );
  }

  async publish(messages: Message[]): Promise<void> {
    await using publisher = await Publisher.connect({ port: this.broker.port });
    await publisher.publish(messages);
  }

  /** A command that goes on beside the test. */
  begin(...args: string[]): Running {
    return new Running(agentBinary(), [...args, "--config", this.agent.configFile], {
      env: { NO_COLOR: "1" },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}
