/** Help and options of what is about the program itself: `completion`, `version`. */
import { Argument, type Command } from "commander";
import { type CommonOptions, examples, type Finish, type Host } from "./describe.ts";

export function addCompletion(program: Command, host: Host, finish: Finish): void {
  const command = program.command("completion")
    .summary("what the TAB key offers, for bash, zsh or fish")
    .description(
      "Prints a script that teaches a shell the commands, options and files of this program. Made anew after an " +
        "upgrade, it knows what is new. The examples install it for all users (as root); in " +
        "~/.bashrc this line does it for one: source <(sensorlog-agent completion bash)",
    )
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .action(async (shell: "bash" | "zsh" | "fish") => {
      const { completion } = await import("./completion.ts");
      finish(await completion(host, program, shell));
    });
  examples(command, [
    ["sensorlog-agent completion bash >/etc/bash_completion.d/sensorlog-agent", "bash"],
    ["sensorlog-agent completion zsh >/usr/local/share/zsh/site-functions/_sensorlog-agent", "zsh"],
    ["sensorlog-agent completion fish >/etc/fish/completions/sensorlog-agent.fish", "fish"],
  ]);
}

export function addVersion(program: Command, host: Host, finish: Finish): void {
  const command = program.command("version")
    .summary("version, commit and architecture")
    .description("Shows version, commit and architecture.")
    .option("--json", "as a JSON object")
    .action(async (_options, command: Command) => {
      const { version } = await import("./version.ts");
      finish(await version(host, command.optsWithGlobals<CommonOptions>()));
    });
  examples(command, [
    ["sensorlog-agent version", "for people"],
    ["sensorlog-agent version --json", "for a script"],
  ]);
}
