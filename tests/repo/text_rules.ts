/** Rules of texts and configuration files. Each returns complaints, one line each. */
import type { TextFile } from "./files.ts";

/** Lines of a file for which `judge` has a complaint. */
function byLine({ path, text }: TextFile, judge: (line: string) => string | undefined): string[] {
  return text.split("\n").flatMap((line, at) => {
    const complaint = judge(line);
    return complaint === undefined ? [] : [`${path}:${at + 1}: ${complaint}`];
  });
}

// put together here, so that this file passes its own rule
const hosts = [
  "registry.npmjs",
  "pypi",
  "pythonhosted",
  "repo1.maven",
  "repo.maven",
  "deb.debian",
  "crates",
  "jsr",
]
  .map((name) => name.replaceAll(".", "\\.")).join("|");
const registry = new RegExp(`\\b(${hosts})\\.(org|io)\\b|\\bproxy\\.golang\\.org|\\bdl\\.deno\\.land`, "i");
const mirror = /https?:\/\/(registry|repo\d*|proxy|deb|index|files|static|npm|pypi|mirror)\./i;

/** Where packages come from is the business of their clients, not of the project. */
export function registryFaults(file: TextFile): string[] {
  return byLine(file, (line) => {
    const found = registry.exec(line) ?? mirror.exec(line);
    return found === null ? undefined : `names the registry ${found[0]}`;
  });
}

/** `homes`: folders of this machine, such as the project's own and the user's. */
export function machinePathFaults(file: TextFile, homes: string[]): string[] {
  const anybody = /(?<![\w.])\/(home\/[a-z][\w-]*|root|Users\/\w+)\/[\w.]/;
  return byLine(file, (line) => {
    const found = homes.find((home) => line.includes(home)) ?? anybody.exec(line)?.[0];
    return found === undefined ? undefined : `names ${found}, a path of one machine`;
  });
}

/** Every text that names a Deno version names the pinned one, and the places that must name it do. */
export function denoVersionFaults(files: TextFile[], pinned: string, needed: string[]): string[] {
  const faults: string[] = [];
  const naming = new Set<string>();
  for (const file of files) {
    faults.push(...byLine(file, (line) => {
      const versions = [...line.matchAll(/\bdeno@v?([\w.]+\w)|denoVersion: "([\d.]+)"/g)].map((m) =>
        m[1] ?? m[2]!
      );
      if (versions.length > 0) naming.add(file.path);
      const other = versions.find((version) => version !== pinned);
      return other === undefined ? undefined : `Deno ${other}, pinned is ${pinned}`;
    }));
  }
  const silent = needed.filter((path) => !naming.has(path));
  return [...faults, ...silent.map((path) => `${path}: does not name Deno ${pinned}`)];
}

/** Tasks that texts tell a reader to run exist. */
export function taskFaults(files: TextFile[], tasks: string[]): string[] {
  return files.flatMap((file) =>
    byLine(file, (line) => {
      const named = [...line.matchAll(/\bdeno(?:@[\w.]+)? task ([a-z][\w:-]*)/g)].map((match) => match[1]!);
      const unknown = named.find((name) => !tasks.includes(name));
      return unknown === undefined ? undefined : `there is no task ${unknown}`;
    })
  );
}

/** Every dependency has its line in the table of the agent's README, and the table names nothing else. */
export function dependencyFaults(readme: TextFile, dependencies: string[]): string[] {
  const rows = [...readme.text.matchAll(/^\| npm:(\S+)[^|]*\|([^|]*)\|/gm)];
  const named = rows.map((row) => row[1]!);
  const missing = dependencies.filter((name) => !named.includes(name));
  const stale = named.filter((name) => !dependencies.includes(name));
  const silent = rows.filter((row) => row[2]!.trim() === "").map((row) => row[1]!);
  return [
    ...missing.map((name) => `${readme.path}: no line says what npm:${name} is for`),
    ...stale.map((name) => `${readme.path}: npm:${name} is not in import_map.json`),
    ...silent.map((name) => `${readme.path}: npm:${name} is named without what it is for`),
  ];
}

/** Links between files of the project lead somewhere. */
export function linkFaults(file: TextFile, exists: (path: string) => boolean): string[] {
  const folder = file.path.includes("/") ? file.path.replace(/[^/]*$/, "") : "";
  return byLine(file, (line) => {
    const targets = [...line.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map((match) => match[1]!);
    const broken = targets.find((target) => !/^\w+:/.test(target) && !exists(folder + target));
    return broken === undefined ? undefined : `links to ${broken}, which is not there`;
  });
}

/** A command as a README names it: its words and the options shown with it. */
export interface NamedCommand {
  words: string;
  options: string[];
}

function command(text: string, group: string): NamedCommand {
  const withoutPlaceholders = text.replace(/\[(?!--)[^\]]*\]|<[^>]*>|'[^']*'/g, " ");
  const words = withoutPlaceholders.split(/\s+/).filter((word) => /^[a-z][a-z-]*$/.test(word));
  const options = [...text.matchAll(/--[a-z][a-z-]*/g)].map((match) => match[0]);
  return { words: [group, ...words].join(" ").trim(), options };
}

/**
 * Commands of a README: those in the first column of the table headed `command` (`spool ls`, `verify`: the later ones
 * are of the same group), and those that follow the program's name in code.
 */
export function commandsNamed(readme: string, program: string): NamedCommand[] {
  const commands: NamedCommand[] = [];
  const table = /^\| command \|[^\n]*\n\|[-| ]+\|\n((?:\|[^\n]*\n)+)/m.exec(readme)?.[1] ?? "";
  for (const row of table.split("\n")) {
    const cells = [...(row.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    const group = cells.length > 1 ? cells[0]!.split(" ")[0]! : "";
    commands.push(...cells.map((cell, at) => command(cell, at === 0 ? "" : group)));
  }
  const code = [...readme.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);
  for (const line of [...code, ...readme.split("\n")]) {
    const [, called] = new RegExp(`^\\s*(?:sudo )?${program} ([a-z-].*)$`).exec(line) ?? [];
    if (called !== undefined) commands.push(command(called.replace(/ #.*/, ""), ""));
  }
  return commands;
}

/** `help` maps each command (`spool ls`) to its help text; the README names all of them and no other. */
export function commandFaults(readme: TextFile, program: string, help: Map<string, string>): string[] {
  const named = commandsNamed(readme.text, program);
  const faults: string[] = [];
  for (const { words, options } of named) {
    const text = help.get(words);
    if (text === undefined) faults.push(`${readme.path}: there is no command ${words}`);
    for (const option of options) {
      if (text?.includes(option) === false) faults.push(`${readme.path}: ${words} has no ${option}`);
    }
  }
  const missing = [...help.keys()].filter((name) => !named.some(({ words }) => words === name));
  return [...faults, ...missing.map((name) => `${readme.path}: does not name the command ${name}`)];
}
