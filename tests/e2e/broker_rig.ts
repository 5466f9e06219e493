/** What the tests of `broker init` and `broker user` do with Mosquitto inside a container. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { agentBinary } from "../lab/agent.ts";
import type { Finished } from "../lab/command.ts";
import { carried, succeedIn } from "./install_rig.ts";
import { Pi } from "./pi.ts";

export const port = 8883;

/** A Pi with the agent, its readings going to the sink, and a broker that `broker init` has set up. */
export async function piWithBroker(): Promise<Pi> {
  const pi = await Pi.bare();
  try {
    await pi.container.copyIn(agentBinary(), carried, 0o755);
    await succeedIn(pi.container, ["install", "--plant", "vigo", "--output-url", pi.sink.url]);
    await succeedIn(pi.container, ["broker", "init", "--name", addressOf(pi)]);
    await pi.connected();
    return pi;
  } catch (error) {
    await pi[Symbol.asyncDispose]();
    throw error;
  }
}

/** The container's own address, beside that of this machine. */
export function addressOf(pi: Pi): string {
  const parts = pi.container.hostAddress.split(".").map(Number);
  return [...parts.slice(0, 3), parts[3]! + 1].join(".");
}

/** The CA as this machine can read it. */
export const caFile = (pi: Pi) => join(pi.container.root, brokerPlaces.caCertificate);

/** Makes an account and returns its password. */
export async function addSensor(pi: Pi, name: string, ...more: string[]): Promise<string> {
  const output = await succeedIn(pi.container, ["broker", "user", "add", name, "--json", ...more]);
  const { password } = JSON.parse(output) as { password: string };
  assert.match(password, /^\w{24}$/);
  return password;
}

export interface Client {
  user?: string;
  password?: string;
  /** More options of mosquitto_pub or mosquitto_sub; without `--cafile` among them the broker's own CA. */
  more?: string[];
}

/** mosquitto_pub or mosquitto_sub inside the container. Its account stands in a file, not in the process list. */
export async function client(
  pi: Pi,
  program: "mosquitto_pub" | "mosquitto_sub",
  { user, password, more = [] }: Client,
  args: string[],
): Promise<Finished> {
  const ca = more.some((one) => one === "--cafile" || one === "--plain")
    ? []
    : ["--cafile", brokerPlaces.caCertificate];
  const options = [...ca, ...more.filter((one) => one !== "--plain")];
  const account = user === undefined ? "" : `-u ${user}\n-P ${password}\n`;
  const home = `/tmp/client-${crypto.randomUUID()}`;
  const script = `mkdir -p -m 700 ${home} && umask 077 && cat > ${home}/${program} &&
    XDG_CONFIG_HOME=${home} ${program} "$@"; code=$?; rm -rf ${home}; exit $code`;
  return await pi.container.finish(
    "timeout",
    ["30", "sh", "-c", script, "sh", "-h", "127.0.0.1", "-p", String(port), ...options, ...args],
    { stdin: account },
  );
}

/** Publishes at QoS 1; the result says whether Mosquitto has acknowledged. */
export async function publish(pi: Pi, who: Client, topic: string, payload: string): Promise<Finished> {
  return await client(pi, "mosquitto_pub", who, ["-q", "1", "-t", topic, "-m", payload]);
}

/** Readings in the sink: topic and text of each. */
export function arrivedTopics(pi: Pi): string[] {
  return pi.sink.sources().map((source) => String(source.topic));
}
