/** `deno task docs`: puts the configuration reference into the README. */
import { join } from "node:path";
import { projectDir } from "../lab/paths.ts";
import { withReference } from "./reference.ts";

const path = join(projectDir, "README.md");
await Deno.writeTextFile(path, withReference(await Deno.readTextFile(path)));
console.log("README.md has the keys, defaults and descriptions of agent/config/schema.ts");
