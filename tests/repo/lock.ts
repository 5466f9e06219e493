/**
 * `deno task lock`: writes deno.lock anew from import_map.json. The lock is made from every bare name at once, so that
 * it does not depend on which files happen to import it.
 */
import importMap from "../../import_map.json" with { type: "json" };

const root = new URL("../../", import.meta.url).pathname;
const lock = `${root}deno.lock`;
await Deno.remove(lock).catch((error) => {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
});
const command = new Deno.Command(Deno.execPath(), {
  args: ["cache", `--lock=${lock}`, "--frozen=false", ...Object.values(importMap.imports)],
  cwd: root,
});
const { success } = await command.spawn().status;
Deno.exit(success ? 0 : 1);
