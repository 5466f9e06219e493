/** `version`: which build this is. */
import { spoolFormat } from "../spool/format.ts";
import type { CommonOptions, Host } from "./program.ts";

export async function version({ terminal, version }: Host, options: CommonOptions): Promise<number> {
  const [number, commit] = version.split("+");
  const { target } = Deno.build;
  const facts = {
    version: number,
    commit: commit ?? "source",
    target,
    deno: Deno.version.deno,
    spool_format: spoolFormat,
  };
  const text = options.json
    ? JSON.stringify(facts)
    : `sensorlog-agent ${facts.version} (${facts.commit}), ${target}, Deno ${facts.deno}`;
  await terminal.out(text + "\n");
  return 0;
}
