/** Help and options of `install` and `uninstall`. */
import type { Command } from "commander";
import { examples, type Finish, type Host } from "./describe.ts";
import type { InstallOptions } from "./install.ts";
import type { UninstallOptions } from "./uninstall.ts";

export function addInstall(program: Command, host: Host, finish: Finish): void {
  const command = program.command("install")
    .summary("makes this binary a service of this machine")
    .description(
      "Makes this binary a hardened service that comes back after every boot and every crash: user, folders, " +
        "configuration, secrets, systemd unit. Asks what the flags don't say, or takes the defaults where nobody can " +
        "be asked: no broker yet, readings kept on this machine. Run again, it does what is missing and changes nothing " +
        "else; a file that you have edited is never overwritten. As root, on a 64-bit Debian 12 or 13.",
    )
    .option("--plant <name>", "name of this site (default: the host's name)")
    .option("--broker <url>", "mqtts://HOST:8883, or mqtt://HOST:1883 without TLS")
    .option("--ca-file <file>", "CA of the broker's certificate")
    .option("--username <name>", "account at the broker")
    .option("--password-file <file>", "file with its password; - for standard input")
    .option("--output-url <url...>", "Elasticsearch, such as https://10.8.0.1:9200; several are nodes of one")
    .option("--output-ca-file <file>", "CA of its certificate")
    .option("--api-key-file <file>", "file with its API key; - for standard input")
    .option("--dry-run", "shows what would be done, and what would change in each file; changes nothing")
    .option(
      "--root <dir>",
      "installs into the image whose root file system is there, without starting anything",
    )
    .option("--json", "one JSON object per step; asks nothing")
    .action(async (_options, command: Command) => {
      const { install } = await import("./install.ts");
      finish(await install(host, command.optsWithGlobals<InstallOptions>()));
    });
  examples(command, [
    ["sudo ./sensorlog-agent install", "asks for what it needs"],
    ["sudo ./sensorlog-agent install --broker mqtt://127.0.0.1:1883", "the broker on this machine"],
    ["sudo ./sensorlog-agent install --dry-run", "to see before what it does"],
    ["sudo ./sensorlog-agent install --root /mnt/card", "an SD card that a Pi boots from later"],
  ]);
}

export function addUninstall(program: Command, host: Host, finish: Finish): void {
  const command = program.command("uninstall")
    .summary("removes the service; --purge also configuration, secrets and readings")
    .description(
      "Stops the service and removes it with its binary. Configuration, secrets and readings stay, so that a later " +
        "install goes on from there; --purge removes them and the user as well, after asking. As root.",
    )
    .option("--purge", "removes configuration, secrets, readings and the user, too")
    .option("--yes", "with --purge: does not ask")
    .option("--dry-run", "shows what would be removed; changes nothing")
    .option("--root <dir>", "takes it out of the image whose root file system is there")
    .option("--json", "one JSON object per step")
    .action(async (_options, command: Command) => {
      const { uninstall } = await import("./uninstall.ts");
      finish(await uninstall(host, command.optsWithGlobals<UninstallOptions>()));
    });
  examples(command, [
    ["sudo sensorlog-agent uninstall", "keeps what can't be had again"],
    ["sudo sensorlog-agent uninstall --purge", "leaves nothing behind"],
  ]);
}
