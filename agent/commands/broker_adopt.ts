/** `broker adopt`: takes over a broker that was set up by hand, with its sensors, its services and its message files. */
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import { cronStopSteps, notesStep, passwordStep } from "../../installer/broker/adopt.ts";
import { examine } from "../../installer/kinds.ts";
import type { Machine } from "../../installer/machine.ts";
import { type Step, unitPath } from "../../installer/plan.ts";
import { InstallRecord } from "../../installer/record.ts";
import { unitName } from "../../installer/units.ts";
import { countText, safeJson, sizeText } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import { type AdoptFound, findAdoptable } from "./adopt_find.ts";
import { bytesLeft, importAll, importLines, messageFiles } from "./adopt_files.ts";
import {
  assertValidConfig,
  brokerSteps,
  installSteps,
  proveSteps,
  stopped,
  switchOver,
} from "./adopt_steps.ts";
import { StepReport } from "./install_report.ts";
import { installerMachine } from "./installer_machine.ts";
import type { CommonOptions, Host } from "./program.ts";
import { type Questions, questionsOf } from "./questions.ts";

export interface AdoptOptions extends CommonOptions {
  dryRun?: boolean;
  undo?: boolean;
  yes?: boolean;
  /** Of a line of the message files. */
  format?: string;
  /** False for --no-import. */
  import?: boolean;
}

/** Ends with 0 when all of it is taken over, with 1 when the question was not answered with yes. */
export async function brokerAdopt(
  host: Host,
  options: AdoptOptions,
  questions: Questions | undefined = questionsOf(host.terminal),
): Promise<number> {
  const { json = false, dryRun = false } = options;
  const report = new StepReport(host.terminal, json, dryRun);
  const machine = installerMachine(host, (line) => report.say(line));
  assertPossible(machine, options);
  if (options.undo) {
    const { undoAdopt } = await import("./adopt_undo.ts");
    return await undoAdopt({ host, machine, report, options, questions });
  }
  const found = await findAdoptable(machine, options.format);
  const adoption = new Adoption(host, machine, report, options, found);
  await adoption.describe();
  if (dryRun) return await adoption.show();
  if (!options.yes && !await isWanted(questions)) {
    await report.say("nothing was changed");
    return 1;
  }
  return await adoption.run();
}

async function isWanted(questions: Questions | undefined): Promise<boolean> {
  if (questions === undefined) {
    throw new ConfigError({
      ...{ operation: "broker adopt", place: "--yes", cause: "nobody is there to be asked" },
      remedy: "look with --dry-run, then add --yes",
    });
  }
  const what = "Sensors lose their connection for a moment and come back by themselves.";
  return await questions.ask(`${what} Type yes to go on:`) === "yes";
}

class Adoption {
  readonly #shown = new Set<string>();

  constructor(
    private readonly host: Host,
    private readonly machine: Machine,
    private readonly report: StepReport,
    private readonly options: AdoptOptions,
    private readonly found: AdoptFound,
  ) {}

  /** What was found, for people. */
  async describe(): Promise<void> {
    const { adopted, keys, original } = this.found;
    const say = (line: string) => this.report.say(line);
    const role = { messages: "stores messages in files", shipper: "ships them", vpn: "carries them" };
    await say(`found: Mosquitto at port ${adopted.listener.port}, accounts in ${adopted.passwordFile}`);
    for (const unit of adopted.units) await say(`found: ${unit.name}, which ${role[unit.role]}`);
    for (const { name } of adopted.units.filter(({ role }) => role === "vpn")) {
      await say(`${name} stays as it is: readings may go through it until the agent has a VPN of its own`);
    }
    const trust = keys.fingerprint_sha256 === undefined ? "its CA" : "the fingerprint of its certificate";
    if (adopted.listener.certificateFile !== undefined) {
      await say(`certificate, CA, accounts and port are kept; the agent knows the broker by ${trust}`);
    }
    if (!original.included) {
      await say(
        "its configuration includes no folder, so nothing is added to it: messages may be lost while the agent is away",
      );
    }
    const files = messageFiles(this.machine, adopted);
    const left = bytesLeft(files, this.found.settings.spool.dir);
    await say(`${countText(files.length)} message files, of which ${sizeText(left)} were not shipped yet`);
  }

  async show(): Promise<number> {
    const steps = [
      ...this.#firstSteps(),
      ...stopped(this.found),
      ...brokerSteps(this.found),
      ...cronStopSteps(this.found.adopted),
      ...installSteps(this.found),
    ];
    for (const examined of await examineAll(this.machine, steps)) await this.report.show(examined);
    const would = this.report.changed === 0 ? "nothing" : `${this.report.changed} of ${steps.length} steps`;
    await this.report.say(`adopt would do ${would}, and read the message files; nothing was changed`);
    return 0;
  }

  async run(): Promise<number> {
    const { found, machine } = this;
    await this.#apply(this.#firstSteps());
    assertValidConfig(found);
    const switching = await this.#mustSwitch();
    const importing = this.#importing();
    const files = brokerSteps(found).filter(({ kind }) => kind !== "service");
    if (switching) {
      await this.report.say("  a copy of Mosquitto is tried with the new settings");
      await proveSteps(machine, found, files);
    }
    if (switching || importing) await this.#stopAgent();
    if (switching) {
      await this.#apply(files);
      await switchOver(machine, found, (steps) => this.#apply(steps));
    }
    await this.#apply([...brokerSteps(found), ...cronStopSteps(found.adopted)]);
    let failure: unknown;
    let whole = true;
    try {
      if (importing) whole = await this.#import();
    } catch (error) {
      failure = error; // the agent is needed all the same
    }
    await this.#apply(installSteps(found));
    if (failure !== undefined) throw failure;
    if (this.report.changed === 0) await this.report.say("everything is taken over already");
    return whole ? 0 : 1;
  }

  #firstSteps(): Step[] {
    const { adopted, password } = this.found;
    return [notesStep(adopted), passwordStep(adopted, password)];
  }

  /** While the old services run, or the broker does not. */
  async #mustSwitch(): Promise<boolean> {
    const record = InstallRecord.load(this.machine);
    for (const step of stopped(this.found)) {
      if ((await examine(this.machine, record, step)).outcome !== "nothing") return true;
    }
    return !this.machine.listens(this.found.adopted.listener.port);
  }

  #importing(): boolean {
    if (this.options.import === false) return false;
    return bytesLeft(messageFiles(this.machine, this.found.adopted), this.found.settings.spool.dir) > 0;
  }

  async #stopAgent(): Promise<void> {
    const { code, stderr } = await this.machine.run("systemctl", ["stop", unitName], 120_000);
    if (code === 0) return;
    throw new OperationError({
      ...{
        operation: "stop the agent",
        place: unitName,
        cause: stderr.trim() || `systemctl ended with ${code}`,
      },
      remedy: `systemctl status ${unitName}`,
    });
  }

  /** Whether every file could be read. */
  async #import(): Promise<boolean> {
    const { settings, format, adopted } = this.found;
    const { terminal } = this.host;
    const files = messageFiles(this.machine, adopted);
    const result = await importAll(terminal, settings, files, format, terminal.stop);
    this.report.changed++;
    if (this.options.json) await terminal.out(safeJson({ id: "import", ...result }) + "\n");
    else for (const line of importLines(result, format)) await this.report.say(line);
    return result.leftOut.length === 0;
  }

  async #apply(steps: Step[]): Promise<void> {
    const { machine } = this;
    const onStep = async (examined: Examined) => {
      const { step, outcome } = examined;
      // a step that comes again, done, has been shown
      if (outcome === "nothing" && this.#shown.has(step.id)) return;
      this.#shown.add(step.id);
      await this.report.show(examined);
    };
    await apply(steps, { machine, signal: this.host.terminal.stop, command: "broker adopt", onStep });
  }
}

function assertPossible(machine: Machine, { config, undo }: AdoptOptions): void {
  const refuse = (place: string, cause: string, remedy: string) => {
    throw new OperationError({ operation: "broker adopt", place, cause, remedy });
  };
  if (config !== undefined) {
    refuse(`--config ${config}`, "it changes that of the service", "leave --config out");
  }
  if (Deno.uid() !== 0) {
    refuse(`user id ${Deno.uid()}`, "only root may do that", "sudo sensorlog-agent broker adopt");
  }
  if (machine.look("/run/systemd/system") === undefined) {
    refuse("/run/systemd/system", "this machine does not run systemd", "run it where the broker runs");
  }
  if (!undo && machine.look(unitPath) === undefined) {
    refuse(unitPath, "the agent is not installed yet", "sudo ./sensorlog-agent install, and then this again");
  }
}
