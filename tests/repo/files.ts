/** The project's own files as text. */
import { extname, join, relative } from "node:path";
import { projectDir } from "../lab/paths.ts";

export interface TextFile {
  /** From the project's folder on. */
  path: string;
  text: string;
}

const foreign = new Set([".git", "dist", "node_modules"]);
const texts = new Set([
  ".ts",
  ".md",
  ".json",
  ".sh",
  ".java",
  ".c",
  ".h",
  ".xml",
  ".conf",
  ".yaml",
  ".yml",
  "",
]);

/** Every text file below the project's folder, sorted by path. */
export async function projectFiles(): Promise<TextFile[]> {
  const files: TextFile[] = [];
  const walk = async (folder: string) => {
    for await (const entry of Deno.readDir(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory && !foreign.has(entry.name)) await walk(path);
      if (!entry.isFile || !texts.has(extname(entry.name))) continue;
      files.push({ path: relative(projectDir, path), text: await Deno.readTextFile(path) });
    }
  };
  await walk(projectDir);
  return files.sort((a, b) => a.path < b.path ? -1 : 1);
}
