/** Rules of the sources. Each returns complaints, one line each: `agent/x.ts:3: …`. */
import { dirname, join, normalize } from "node:path";
import type { Source } from "./source.ts";

const fileLinesMax = 320;
const functionLinesMax = 60;

/** Rooms of the agent, from the ground up. What is higher may import what is lower, never the other way round. */
const rooms: [RegExp, { name: string; height: number; stage?: boolean; only?: string[] }][] = [
  [/^agent\/(limits|settings|version)\.ts$/, { name: "shared", height: -1 }],
  [/^agent\/base\//, { name: "base", height: 0 }],
  [/^agent\/spool\//, { name: "spool", height: 1 }],
  [/^agent\/subscriber\//, { name: "subscriber", height: 2, stage: true }],
  [/^agent\/shipper\//, { name: "shipper", height: 2, stage: true }],
  [/^agent\/cleaner\//, { name: "cleaner", height: 2, stage: true }],
  [/^agent\/status\//, { name: "status", height: 2, stage: true }],
  [/^agent\/(config\.ts$|config\/)/, { name: "config", height: 3 }],
  [/^agent\/pipeline\.ts$/, { name: "pipeline", height: 3, stage: true }],
  [/^installer\//, { name: "installer", height: 3.5, only: ["shared", "base", "config"] }],
  [/^agent\/demo\//, { name: "demo", height: 3.5 }],
  [/^agent\/import\//, { name: "import", height: 3.7 }],
  [/^agent\/commands\//, { name: "commands", height: 4 }],
  [/^agent\/main\.ts$/, { name: "main", height: 5 }],
  [/^agent\/build\//, { name: "build", height: 6 }],
];

const roomOf = (path: string) => rooms.find(([pattern]) => pattern.test(path))?.[1];

/**
 * main → commands → pipeline → stages → spool → base. Stages don't import each other, only types from and for `status`;
 * nothing of the agent imports tests or bench. The installer stands between: commands use it, and it knows the configuration
 * and what is below, none of the stages.
 */
export function importFaults(source: Source): string[] {
  const here = roomOf(source.path);
  if (!/^(agent|installer)\//.test(source.path)) return [];
  if (here === undefined) return [`${source.path}:1: belongs to no room of the agent`];
  return source.imports.flatMap(({ specifier, typeOnly, line }) => {
    if (!specifier.startsWith(".")) return [];
    const path = normalize(join(dirname(source.path), specifier));
    if (path === "deno.json") return [];
    const there = roomOf(path);
    const complaint = `${source.path}:${line}: ${here.name} imports ${path}`;
    if (there === undefined) return [`${complaint}, which is not the agent's`];
    if (there.name !== here.name && here.only?.includes(there.name) === false) return [complaint];
    if (there.name === here.name || there.height < here.height) return [];
    const ofStatus = here.stage && there.stage && (here.name === "status" || there.name === "status");
    return ofStatus && typeOnly ? [] : [complaint];
  });
}

/** `@scope/name` or `name` of what an import names. */
export function packageOf(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Packages that the agent's own code may import; the others are for building and testing. */
export function packageFaults(source: Source, known: string[], agents: string[]): string[] {
  const isAgent = /^(agent|installer)\//.test(source.path) && !source.path.startsWith("agent/build/");
  return source.imports.flatMap(({ specifier, typeOnly, line }) => {
    if (/^(\.|node:)/.test(specifier)) return [];
    const name = packageOf(specifier);
    if (!known.includes(name)) {
      return [`${source.path}:${line}: imports ${specifier}, not named in import_map.json`];
    }
    if (isAgent && !typeOnly && !agents.includes(name)) {
      return [`${source.path}:${line}: the agent imports ${name}`];
    }
    return [];
  });
}

/** Files of the agent and bench are a few screens long, functions one. */
export function sizeFaults(source: Source): string[] {
  if (!/^(agent|bench|installer)\//.test(source.path)) return [];
  const faults = source.functions.filter(({ lines }) => lines > functionLinesMax)
    .map(({ name, lines, line }) =>
      `${source.path}:${line}: ${name} has ${lines} lines (${functionLinesMax})`
    );
  if (source.lines > fileLinesMax) {
    faults.unshift(`${source.path}:1: ${source.lines} lines (${fileLinesMax})`);
  }
  return faults;
}

/** Nothing is left for later, left out of the tests, or hidden from the compiler. */
export function looseEnds(source: Source): string[] {
  const faults: [number, string][] = [
    ...source.anys.map((line): [number, string] => [line, "the type any"]),
    ...source.leftOut.map((line): [number, string] => [line, "a test is left out"]),
    ...source.comments.flatMap(({ text, line }): [number, string][] => {
      const words = /\b(TODO|FIXME|XXX|HACK)\b/.exec(text) ??
        /@ts-(ignore|nocheck|expect-error)|deno-lint-ignore-file|deno-coverage-ignore/.exec(text);
      return words === null ? [] : [[line, words[0]]];
    }),
  ];
  return faults.map(([line, what]) => `${source.path}:${line}: ${what}`);
}
