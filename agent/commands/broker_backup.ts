/** `broker backup` and `broker restore`: what sensors know the broker by, in one encrypted file and back. */
import { hostname } from "node:os";
import { resolve } from "node:path";
import { apply, examineAll, type Examined } from "../../installer/apply.ts";
import { assertWhole, openBackup, sealBackup } from "../../installer/broker/backup.ts";
import { readBackup, writeBackup } from "../../installer/broker/backup_file.ts";
import { collectFiles } from "../../installer/broker/backup_files.ts";
import { machineNames } from "../../installer/broker/names.ts";
import { brokerPackage } from "../../installer/broker/plan_broker.ts";
import { proveBroker } from "../../installer/broker/prove.ts";
import { planRestore, type Restoration } from "../../installer/broker/restore.ts";
import { assertInstallable, gatherFacts } from "../../installer/facts.ts";
import type { Machine } from "../../installer/machine.ts";
import { safeJson, safeText } from "../base/display.ts";
import { ConfigError, OperationError } from "../base/errors.ts";
import type { CommonOptions, Host } from "./describe.ts";
import { StepReport } from "./install_report.ts";
import { installerMachine } from "./installer_machine.ts";
import { passphraseFor } from "./passphrase.ts";
import { type Questions, questionsOf } from "./questions.ts";

export interface BackupOptions extends CommonOptions {
  passphraseFile?: string;
}

export interface RestoreOptions extends BackupOptions {
  replace?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

/** Ends with 0 when the file is there whole. */
export async function brokerBackup(
  host: Host,
  file: string,
  options: BackupOptions,
  questions: Questions | undefined = questionsOf(host.terminal),
): Promise<number> {
  const { terminal } = host;
  const { json = false } = options;
  assertRoot("make a backup", "backup");
  const path = resolve(file);
  const machine = installerMachine(host, () => Promise.resolve());
  const { files, notes } = collectFiles(machine);
  const passphrase = await passphraseFor("make", options.passphraseFile, json ? undefined : questions);
  const sealed = await sealBackup({ made: new Date(), host: hostname(), files }, passphrase);
  const { readableByOthers } = await writeBackup(path, sealed);
  if (readableByOthers) {
    notes.push("others can read the file, since its file system knows no owners: it is encrypted");
  }
  if (json) {
    const names = [...files.keys()];
    await terminal.out(safeJson({ file: path, bytes: sealed.length, holds: names, notes }) + "\n");
    return 0;
  }
  const lines = [
    `${path} holds the broker's CA, keys, accounts and configuration, and the agent's: ${files.size} files.`,
    "Keep it elsewhere than on this machine, and the passphrase elsewhere than with it: nobody can open it without.",
    ...notes,
  ];
  await terminal.out(lines.map((line) => `${safeText(line)}\n`).join(""));
  return 0;
}

/** Ends with 0 when all is there and well, and with 1 when the question was not answered with yes. */
export async function brokerRestore(
  host: Host,
  file: string,
  options: RestoreOptions,
  asked: Questions | undefined = questionsOf(host.terminal),
): Promise<number> {
  const { terminal } = host;
  const { json = false, dryRun = false } = options;
  const questions = json ? undefined : asked;
  assertRoot("restore the broker", "restore");
  const report = new StepReport(terminal, json, false);
  const machine = installerMachine(host, (line) => report.say(line));
  const source = Deno.execPath();
  assertInstallable(await gatherFacts(machine, undefined, source));
  const place = resolve(file);
  const bytes = await readBackup(place);
  assertWhole(bytes, place); // before anybody is asked for anything
  const backup = await openBackup(
    bytes,
    await passphraseFor("open", options.passphraseFile, questions),
    place,
  );
  await report.say(`the backup was made on ${backup.made.toISOString()} of ${safeText(backup.host)}`);
  const restoration = await planRestore(machine, {
    backup,
    place,
    source,
    replace: options.replace ?? false,
  });
  const examined = await examineAll(machine, restoration.steps);
  if (dryRun) {
    for (const one of examined) await report.show(one);
    await sayNames(report, restoration);
    await report.say("nothing was changed");
    return 0;
  }
  const changes = examined.filter(({ outcome }) => outcome !== "nothing").length;
  if (changes > 0 && !options.yes && !await isSure(changes, questions)) {
    await report.say("nothing was changed");
    return 1;
  }
  await carryOut(machine, restoration, report, terminal.stop);
  await sayNames(report, restoration);
  return 0;
}

/** Mosquitto first, a copy of which is tried with what it is to get; then the rest. */
async function carryOut(
  machine: Machine,
  { steps, proof }: Restoration,
  report: StepReport,
  signal: AbortSignal,
): Promise<void> {
  const command = "broker restore";
  await apply([brokerPackage], { machine, signal, command, onStep: () => Promise.resolve() });
  if (proof !== undefined) await proveBroker(machine, proof);
  await apply(steps, { machine, signal, command, onStep: (examined: Examined) => report.show(examined) });
  if (report.changed === 0) await report.say("everything is there already");
}

/** Sensors look for the broker under a name or address that its certificate has. */
async function sayNames(report: StepReport, { names }: Restoration): Promise<void> {
  const missing = machineNames().filter((name) => !names.includes(name));
  await report.say(`the broker's certificate is for ${safeText(names.join(", "))}`);
  if (missing.length === 0) return;
  await report.say(
    `it is not for ${
      safeText(missing.join(", "))
    }: sensors find this machine when it gets the old one's name or ` +
      "address; sudo sensorlog-agent broker rotate makes a certificate for the new ones, too",
  );
}

async function isSure(changes: number, questions: Questions | undefined): Promise<boolean> {
  if (questions === undefined) {
    throw new ConfigError({
      ...{ operation: "restore the broker", place: "standard input", cause: "nobody is there to be asked" },
      remedy: "--dry-run shows what would be done, --yes does it; nothing was changed",
    });
  }
  const answer = await questions.ask(`This changes ${changes} things on this machine. Type yes to go on:`);
  return answer === "yes";
}

function assertRoot(operation: string, command: string): void {
  if (Deno.uid() === 0) return;
  throw new OperationError({
    ...{ operation, place: `user id ${Deno.uid()}`, cause: "only root may do that" },
    remedy: `sudo sensorlog-agent broker ${command} FILE`,
  });
}
