/** The service's part of `check`: whether systemd knows it, starts it at boot, and runs what is installed. */
import { type RunProgram, unitFacts } from "../../installer/service.ts";
import { places } from "../../installer/plan.ts";
import { unitName } from "../../installer/units.ts";
import type { Finding } from "../shipper/output.ts";

const properties = [
  "LoadState",
  "ActiveState",
  "SubState",
  "UnitFileState",
  "NeedDaemonReload",
  "NRestarts",
  "Result",
];

/**
 * Nothing where there is no such unit. `runningVersion`: of the agent that answers at the socket, `version`: of this
 * binary.
 */
export async function examineService(
  run: RunProgram,
  version: string,
  runningVersion: string | undefined,
): Promise<Finding[]> {
  const facts = await unitFacts(run, properties);
  if (facts.LoadState !== "loaded") return [];
  const findings = [activity(facts), ...startAtBoot(facts)];
  if (facts.NeedDaemonReload === "yes") {
    const what = "the unit's file has changed since systemd read it";
    findings.push({ level: "warning", what, remedy: "sudo systemctl daemon-reload" });
  }
  if (runningVersion !== undefined && runningVersion !== version) {
    const what = `the running agent is version ${runningVersion}, this binary ${version}`;
    findings.push({ level: "warning", what, remedy: `sudo systemctl restart ${unitName}` });
  }
  return findings;
}

/** User id that the service runs as whose configuration `file` is; undefined where there is none, or no such user. */
export async function serviceUid(run: RunProgram, file: string | undefined): Promise<number | undefined> {
  if (file !== places.config) return undefined;
  const { LoadState, User } = await unitFacts(run, ["LoadState", "User"]);
  if (LoadState !== "loaded" || !User) return undefined;
  const { code, stdout } = await run("id", ["-u", User]);
  return code === 0 ? Number(stdout) : undefined;
}

function activity({ ActiveState, SubState, Result, NRestarts }: Record<string, string>): Finding {
  const state = `${unitName} is ${ActiveState} (${SubState})`;
  const remedy = `journalctl -u ${unitName} says why`;
  if (ActiveState === "failed" || SubState === "auto-restart") {
    return { level: "failure", what: `${state}: ${Result}, started again ${NRestarts} times`, remedy };
  }
  if (ActiveState !== "active") {
    return { level: "warning", what: state, remedy: `sudo systemctl start ${unitName}` };
  }
  if (Number(NRestarts) > 0) {
    return { level: "warning", what: `${state}, and was started again ${NRestarts} times`, remedy };
  }
  return { level: "ok", what: state };
}

function startAtBoot({ UnitFileState }: Record<string, string>): Finding[] {
  if (UnitFileState === "enabled") return [{ level: "ok", what: "it starts when the machine does" }];
  return [{
    level: "warning",
    what: `it does not start when the machine does (${UnitFileState})`,
    remedy: `sudo systemctl enable ${unitName}`,
  }];
}
