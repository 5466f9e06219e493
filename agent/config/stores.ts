/** Where the local stores of a configuration are: for commands that read them. */
import { defaultPath, readFile, type Surroundings } from "../config.ts";
import { storeDirDefault } from "./defaults.ts";
import { Look } from "./look.ts";
import { configError } from "./problems.ts";
import { parseYaml } from "./yaml.ts";

/** An output of type `local`. */
export interface LocalStorePlace {
  name: string;
  dir: string;
}

/**
 * The local outputs of a configuration. Looks at names, types and folders only, so that it works for a user who may not
 * read the secrets. A configuration without outputs has the one that a hand-started `run` uses. Throws a ConfigError when
 * the file can't be read.
 */
export function localStoresOf(
  path: string | undefined,
  surroundings: Pick<Surroundings, "defaultPath"> = {},
): LocalStorePlace[] {
  const { file, bytes } = readFile(path, surroundings.defaultPath ?? defaultPath);
  const yaml = parseYaml(bytes);
  if (!yaml.readable) throw configError(file ?? "defaults", yaml.problems);
  const look = new Look(yaml.value);
  const names = look.keys(["outputs"]);
  if (names.length === 0) return [{ name: "local", dir: storeDirDefault }];
  return names.filter((name) => look.text(["outputs", name, "type"]) === "local")
    .map((name) => ({ name, dir: look.text(["outputs", name, "dir"]) ?? storeDirDefault }));
}
