/** Help and options of `upgrade`. */
import type { Command } from "commander";
import { type CommonOptions, examples, type Finish, type Host } from "./describe.ts";

export function addUpgrade(program: Command, host: Host, finish: Finish): void {
  const command = program.command("upgrade")
    .summary("puts a new binary in place; the old one comes back when it is not well")
    .description(
      "Looks at the new binary (right machine, whole, takes this configuration), puts it in place, restarts the " +
        "service and waits until it is well. When it is not within 60 s, the old one comes back. Nothing is lost " +
        "meanwhile: what is on disk stays, and the broker keeps what arrives. As root.",
    )
    .argument("<file>", "the new binary")
    .action(async (file: string, _options, command: Command) => {
      const { upgrade } = await import("./upgrade.ts");
      finish(await upgrade(host, file, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sudo sensorlog-agent upgrade ./sensorlog-agent-aarch64-unknown-linux-gnu", "on a Raspberry Pi"],
    ["ssh pi sudo sensorlog-agent upgrade /tmp/sensorlog-agent", "from elsewhere, after scp"],
  ]);
}
