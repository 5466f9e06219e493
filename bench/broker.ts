/**
 * A real Mosquitto for measuring: it logs subscriptions only, because a log line per packet would make the broker the
 * bottleneck. Its database is on the same disk as everything else.
 */
import { join } from "node:path";
import { isRoot } from "../tests/lab/paths.ts";
import { accepts, freePort } from "../tests/lab/ports.ts";
import { Running } from "../tests/lab/process.ts";
import { waitUntil } from "../tests/lab/wait.ts";

/**
 * `wide`: 20,000 in flight and no limit to the queue, the same for both sides. `queue only`: Mosquitto's own 20 in
 * flight, but the queue without its limit of 1,000, so that a backlog is kept. `defaults`: nothing set.
 */
export type BrokerSettings = "wide" | "queue only" | "defaults";

const settingsLines: Record<BrokerSettings, string[]> = {
  wide: ["max_inflight_messages 20000", "max_queued_messages 0"],
  "queue only": ["max_queued_messages 0"],
  defaults: [],
};

export class Broker {
  private constructor(readonly port: number, private readonly running: Running) {}

  static async start(dir: string, settings: BrokerSettings): Promise<Broker> {
    const port = freePort();
    const lines = [
      ...isRoot ? ["user root"] : [], // else it drops to a user who can't write this folder
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "persistence true",
      `persistence_location ${dir}/`,
      "log_dest stderr",
      "log_type error",
      "log_type warning",
      "log_type subscribe",
      ...settingsLines[settings],
      "",
    ];
    const path = join(dir, "mosquitto.conf");
    await Deno.writeTextFile(path, lines.join("\n"));
    const running = new Running("/usr/sbin/mosquitto", ["-c", path]);
    await waitUntil(async () => running.ended || await accepts(port), 10_000, "Mosquitto", { everyMs: 10 });
    if (running.ended) throw new Error(`Mosquitto ended at once: ${running.stderr.text}`);
    return new Broker(port, running);
  }

  /** Waits until a client has subscribed `times` times in all. */
  async subscribed(clientId: string, times: number): Promise<void> {
    const seen = () =>
      this.running.stderr.text.split("\n").filter((line) => line.includes(`${clientId} `)).length;
    await waitUntil(() => seen() >= times, 30_000, `${clientId} to subscribe`, { everyMs: 10 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.running.signal("SIGKILL"); // what it holds is not needed any more
    await this.running.exit;
  }
}
