/** The agent's service as systemd and its socket show it. */
import { OperationError } from "../agent/base/errors.ts";
import { unitName } from "./units.ts";

/** Runs a program to its end; kills it after `timeoutMs`, then `code` is 124 as timeout(1) has it. */
export type RunProgram = (
  program: string,
  args: string[],
  timeoutMs?: number,
) => Promise<{ code: number; stdout: string; stderr: string }>;

/** What the agent says of itself, as far as it matters whether it is well. */
export interface Answer {
  version: string;
  pid: number;
  /** Readings that an output has not settled yet: the most of any output, or all that are stored when there is none. */
  waiting: number;
}

export interface Service {
  run: RunProgram;
  /** Asks the agent's socket; undefined when none answers. */
  ask(): Promise<Answer | undefined>;
  sleep(timeMs: number): Promise<void>;
  nowMs(): number;
}

/** A service that has just become active may fall at once: this long it has to stand. */
const standMs = 5_000;
const pollMs = 500;

/** Starts, or starts again, without waiting for what systemd calls started: `unhealthy` looks at that. */
export async function restart(service: Service): Promise<void> {
  await service.run("systemctl", ["reset-failed", unitName]);
  const { code, stderr } = await service.run("systemctl", ["--no-block", "restart", unitName]);
  if (code === 0) return;
  throw new OperationError({
    operation: "start the service",
    place: unitName,
    cause: stderr.trim() || `systemctl ended with ${code}`,
    remedy: `systemctl status ${unitName}`,
  });
}

/**
 * Waits until the service is well: active under systemd, its socket answers for that very process, in that version when
 * one is given, and it stays so for 5 s. Needs no network. Returns undefined then, and after `timeoutMs` why it is not.
 */
export async function unhealthy(
  service: Service,
  timeoutMs: number,
  version?: string,
): Promise<string | undefined> {
  const endMs = service.nowMs() + timeoutMs;
  let since: { pid: number; ms: number } | undefined;
  let why = "it did not start";
  while (service.nowMs() < endMs) {
    const found = await look(service, version);
    if (typeof found === "string") {
      why = found;
      since = undefined;
      if (found.includes("auto-restart")) return found; // it has ended by itself: no need to watch it do so again
    } else {
      if (since?.pid !== found.pid) since = { pid: found.pid, ms: service.nowMs() };
      if (service.nowMs() - since.ms >= standMs) return undefined;
    }
    await service.sleep(pollMs);
  }
  return why;
}

/** Ends a service that may not listen any more; what is on disk and unacknowledged is safe from that. */
export async function kill(service: Service): Promise<void> {
  await service.run("systemctl", ["kill", "--signal=KILL", unitName]);
}

/** The process that is well, or why none is. */
async function look(service: Service, version: string | undefined): Promise<{ pid: number } | string> {
  const facts = await unitFacts(service.run, ["ActiveState", "SubState", "Result", "MainPID"]);
  if (facts.ActiveState !== "active") {
    const result = facts.Result === "success" ? "" : `, the last time it ended with ${facts.Result}`;
    return `systemd says ${facts.ActiveState} (${facts.SubState})${result}`;
  }
  const answer = await service.ask();
  if (answer === undefined) return "its socket does not answer";
  if (String(answer.pid) !== facts.MainPID) return "its socket is answered by another process";
  if (version !== undefined && answer.version !== version) {
    return `it answers as version ${answer.version}, not as ${version}`;
  }
  return { pid: answer.pid };
}

/** Properties of the unit by name, as systemctl(1) shows them; none where there is no systemd. */
export async function unitFacts(run: RunProgram, properties: string[]): Promise<Record<string, string>> {
  const { stdout } = await run("systemctl", ["show", unitName, `--property=${properties.join(",")}`]);
  return Object.fromEntries(stdout.trim().split("\n").map((line) => line.split("=", 2)));
}

/** The last lines that the service has logged, for an error. */
export async function lastLines(service: Service, count: number): Promise<string> {
  const args = ["--no-pager", "--output=cat", `--lines=${count}`, "--unit", unitName];
  return (await service.run("journalctl", args)).stdout.trim();
}
