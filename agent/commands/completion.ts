/** `completion`: what the TAB key offers, as a script for a shell, made from the commands themselves. */
import type { Command } from "commander";
import { bashScript } from "./completion_bash.ts";
import { fishScript } from "./completion_fish.ts";
import { placesOf } from "./completion_places.ts";
import { zshScript } from "./completion_zsh.ts";
import type { Host } from "./describe.ts";

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** Prints the script. */
export async function completion(
  { terminal }: Host,
  program: Command,
  shell: keyof typeof scripts,
): Promise<number> {
  await terminal.out(scripts[shell](program.name(), placesOf(program)));
  return 0;
}
