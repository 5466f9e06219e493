/**
 * The command line as a whole: which commands there are, and what becomes of their output. Names, options and help of
 * each stand in `describe_*.ts`; what it does in a file of its own, loaded when it is called.
 */
import { Command, CommanderError } from "commander";
import { addBroker } from "./describe_broker.ts";
import { defaultFile, type Finish, type Host } from "./describe.ts";
import { addDemo } from "./describe_demo.ts";
import { addDead } from "./describe_dead.ts";
import { addInstall, addUninstall } from "./describe_install.ts";
import { addExport, addSpool, addTail } from "./describe_readings.ts";
import { addCheck, addRun, addStatus } from "./describe_service.ts";
import { addUpgrade } from "./describe_upgrade.ts";
import { addCompletion, addVersion } from "./describe_shell.ts";

export type { CommonOptions, Host } from "./describe.ts";

/**
 * Runs the command that `args` name. Returns the exit code: 0 done, 1 failed, 2 wrong use; `status` alone 3 when no
 * agent answers. Throws what the command throws.
 */
export async function runCommandLine(args: string[], host: Host): Promise<number> {
  let exitCode = 0;
  const printed: { out: string; err: string } = { out: "", err: "" };
  const program = describe(host, (code) => exitCode = code);
  for (const command of [program, ...everyCommand(program)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => printed.out += text,
      writeErr: (text) => printed.err += text,
      getOutHelpWidth: () => host.terminal.size().columns,
      getErrHelpWidth: () => host.terminal.size().columns,
      getOutHasColors: () => host.terminal.colour,
      getErrHasColors: () => false,
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    exitCode = error.exitCode === 0 ? 0 : 2;
  }
  if (printed.out !== "") await host.terminal.out(printed.out);
  if (printed.err !== "") await host.terminal.err(printed.err);
  return exitCode;
}

function everyCommand(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...everyCommand(child)]);
}

function describe(host: Host, finish: Finish): Command {
  const program = new Command("sensorlog-agent")
    .description("Brings every MQTT reading of a plant into Elasticsearch, once.")
    .configureHelp({ showGlobalOptions: true })
    .version(host.version, "--version", "shows the version")
    .option("--config <file>", `configuration to use (default: ${defaultFile})`)
    .showHelpAfterError("(--help shows what is allowed)");
  addRun(program, host, finish);
  addDemo(program, host, finish);
  addCheck(program, host, finish);
  addStatus(program, host, finish);
  addTail(program, host, finish);
  addExport(program, host, finish);
  addSpool(program, host, finish);
  addDead(program, host, finish);
  addInstall(program, host, finish);
  addUpgrade(program, host, finish);
  addUninstall(program, host, finish);
  addBroker(program, host, finish);
  addCompletion(program, host, finish);
  addVersion(program, host, finish);
  for (const command of everyCommand(program)) command.configureHelp({ showGlobalOptions: true });
  return program;
}
