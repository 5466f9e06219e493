/** `check`: configuration, disk, clock, broker and outputs, line by line, with what to do. Changes nothing. */
import { runProgram } from "../../installer/run_program.ts";
import type { ProbePlace } from "../base/certificate_probe.ts";
import { safeJson, safeText } from "../base/display.ts";
import { ConfigError, OperationError, reasonOf } from "../base/errors.ts";
import { Logger } from "../base/logger.ts";
import { startedByManager } from "../base/notify.ts";
import { SystemClock } from "../base/system_clock.ts";
import { type LoadedSettings, loadSettings } from "../config.ts";
import { makeOutput } from "../pipeline.ts";
import type { Finding } from "../shipper/output.ts";
import { shownCertificatePlace } from "../subscriber/transport.ts";
import { examineBroker } from "./check_broker.ts";
import { examineCertificate, examineCertificateFiles } from "./check_certificate.ts";
import { examineCards, examineFiles } from "./check_files.ts";
import { examineClock, examineSpool, runningAgent } from "./check_machine.ts";
import { examineService, serviceUid } from "./check_service.ts";
import type { CommonOptions, Host } from "./program.ts";
import type { Terminal } from "./terminal.ts";

const signs = { ok: "✓", warning: "!", failure: "✗" };
const colours = { ok: "32", warning: "33", failure: "31" };

/** 0: nothing failed; 1: something did; 2: the configuration is wrong. */
export async function check({ terminal, version }: Host, options: CommonOptions): Promise<number> {
  const report = new Report(terminal, options.json ?? false);
  let settings: LoadedSettings;
  try {
    settings = loadSettings(options.config, { embedded: !startedByManager() });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const what of `${error.place}: ${error.reason}`.split("\n")) {
      await report.add("configuration", { level: "failure", what, ...remedyOf(error) });
    }
    return 2;
  }
  const file = settings.file ?? "no file, the defaults";
  await report.add("configuration", { level: "ok", what: `${file}: valid, plant ${settings.plant}` });
  for (const what of settings.warnings) await report.add("configuration", { level: "warning", what });
  const clock = new SystemClock();
  await clock.close(); // with the answer to whether it is synchronised
  const agent = await runningAgent(settings.socket);
  await report.section("files", () => Promise.resolve(examineFiles(settings)));
  await report.section("service", () => examineService(runProgram, version, agent.version));
  await report.section("spool", async () => {
    return await examineSpool(settings, agent, await serviceUid(runProgram, settings.file));
  });
  await report.section("card", () => Promise.resolve(examineCards()));
  await report.section("clock", () => Promise.resolve(examineClock(clock)));
  await report.section("broker", async () => {
    return await examineBroker(settings.mqtt, clock, terminal.stop, agent.finding !== undefined);
  });
  for (const output of [undefined, ...settings.outputs.map(({ name }) => name)]) {
    const findings = examineCertificateFiles(settings, output, clock.wallMs());
    await report.section(
      output === undefined ? "broker" : `output ${output}`,
      () => Promise.resolve(findings),
    );
  }
  for (const [name, place] of tlsPlaces(settings)) {
    await report.section(name, () => examineCertificate(place, clock.wallMs()));
  }
  const log = new Logger({ ...settings.log, level: "error" });
  for (const one of settings.outputs) {
    await report.section(`output ${one.name}`, async () => {
      const output = makeOutput(one, settings, { log, clock });
      try {
        return await output.examine(terminal.stop);
      } finally {
        await output.close();
      }
    });
  }
  if (settings.outputs.length === 0) {
    const what = "no output is configured: readings are kept until the spool is full";
    await report.add("outputs", {
      level: "warning",
      what,
      remedy: "write outputs: with an elasticsearch entry",
    });
  }
  await log.flush();
  return report.failures === 0 ? 0 : 1;
}

/** Where certificates are shown: broker and outputs, by the section that they belong to. */
function tlsPlaces({ mqtt, outputs }: LoadedSettings): [string, ProbePlace][] {
  const places: [string, ProbePlace][] = [];
  const broker = shownCertificatePlace(mqtt);
  if (broker !== undefined) places.push(["broker", broker]);
  for (const output of outputs) {
    if (output.type !== "elasticsearch") continue;
    for (const one of output.urls.filter((url) => url.startsWith("https:"))) {
      const { hostname, port } = new URL(one);
      const plain = hostname.replace(/^\[(.*)\]$/, "$1");
      places.push([`output ${output.name}`, { hostname: plain, port: Number(port || 443) }]);
    }
  }
  return places;
}

function remedyOf(error: OperationError): { remedy?: string } {
  return error.remedy === undefined ? {} : { remedy: error.remedy };
}

/** Prints findings as they come. */
class Report {
  failures = 0;

  constructor(private readonly terminal: Terminal, private readonly json: boolean) {}

  /** A part of the check that fails as a whole is a finding, too. */
  async section(name: string, examine: () => Promise<Finding[]>): Promise<void> {
    if (this.terminal.stop.aborted) return;
    let findings: Finding[];
    try {
      findings = await examine();
    } catch (error) {
      const place = error instanceof OperationError ? `${error.place}: ` : "";
      const remedy = error instanceof OperationError ? remedyOf(error) : {};
      findings = [{ level: "failure", what: `${place}${reasonOf(error)}`, ...remedy }];
    }
    for (const finding of findings) await this.add(name, finding);
  }

  async add(section: string, finding: Finding): Promise<void> {
    const { level, what, remedy } = finding;
    if (level === "failure") this.failures++;
    if (this.json) return await this.terminal.out(safeJson({ section, ...finding }) + "\n");
    const sign = this.terminal.colour ? `\x1b[${colours[level]}m${signs[level]}\x1b[0m` : signs[level];
    const rest = remedy === undefined ? "" : `\n    → ${safeText(remedy)}`;
    await this.terminal.out(`${sign} ${safeText(section)}: ${safeText(what)}${rest}\n`);
  }
}
