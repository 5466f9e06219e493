/** From what was answered to the wish of the plan, with a configuration that was found to be valid. */
import { join } from "node:path";
import { type Answers, configText, fileNames, needsOf } from "../../installer/config_text.ts";
import { sumOf } from "../../installer/kinds.ts";
import type { Machine } from "../../installer/machine.ts";
import { type NamedFile, places, type Wish } from "../../installer/plan.ts";
import type { InstallRecord } from "../../installer/record.ts";
import { ConfigError } from "../base/errors.ts";
import { loadSettings } from "../config.ts";
import { parseYaml } from "../config/yaml.ts";
import type { Answered } from "./install_answers.ts";

/** The flag that brings each of the files. */
const flags: Record<string, string> = {
  [fileNames.brokerCa]: "--ca-file",
  [fileNames.password]: "--password-file",
  [fileNames.outputCa]: "--output-ca-file",
  [fileNames.apiKey]: "--api-key-file",
};

/** Stands for a secret while the configuration is looked at; also valid as an API key. */
const placeholder = "cGxhY2Vob2xkZXI=\n";

/** `answered` undefined: the configuration stays as it is. Throws ConfigError when the one that would hold is not valid. */
export function wishOf(
  machine: Machine,
  record: InstallRecord,
  source: string,
  answered: Answered | undefined,
): Wish {
  const present = machine.read(places.config);
  const text = answered === undefined ? undefined : configText(answered.answers);
  if (answered !== undefined) assertAnswered(machine, text!, answered);
  const isReplaced = text !== undefined &&
    (present === undefined || record.wrote(places.config, sumOf(present)));
  const holds = isReplaced ? new TextEncoder().encode(text) : present!;
  if (!isReplaced) assertPresentValid(machine, holds);
  return { source, config: text, files: answered?.files ?? [], ...needsOf(holds) };
}

function assertAnswered(machine: Machine, text: string, { answers, files, coming = {} }: Answered): void {
  const beside = namesIn(answers).map((name) =>
    files.find((one) => one.name === name) ?? presentFile(machine, name)
  );
  assertValid(text, beside, coming, "say it otherwise; nothing was changed");
}

/**
 * Loads a configuration as the agent will, from a folder of its own in which placeholders stand for the secrets, and
 * what comes for what is not there yet. Throws ConfigError.
 */
export function assertValid(
  text: string,
  beside: NamedFile[],
  coming: Record<string, string>,
  remedy: string,
): void {
  const dir = Deno.makeTempDirSync({ prefix: "sensorlog-install-" });
  const put = (name: string, content: string) =>
    Deno.writeTextFileSync(join(dir, name), content, { mode: 0o600 });
  try {
    let looked = text;
    for (const [at, [path, content]] of Object.entries(coming).entries()) {
      put(`coming-${at}`, content);
      looked = looked.replaceAll(path, join(dir, `coming-${at}`));
    }
    put("agent.yaml", looked);
    for (const file of beside) put(file.name, file.secret ? placeholder : file.content);
    loadSettings(join(dir, "agent.yaml"), { credentialsDir: undefined });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const cause = error.message.replaceAll(dir, places.configDir);
    throw new ConfigError({ operation: "install", place: "the new configuration", cause, remedy });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function namesIn(answers: Answers): string[] {
  return Object.entries(fileNames)
    .filter(([answer]) => answers[answer as keyof typeof fileNames] === true)
    .map(([, name]) => name);
}

/** One that an earlier run has put there. */
function presentFile(machine: Machine, name: string): NamedFile {
  const content = machine.read(`${places.configDir}/${name}`);
  const secret = name === fileNames.password || name === fileNames.apiKey;
  if (content !== undefined) return { name, secret, content: new TextDecoder().decode(content) };
  throw new ConfigError({
    ...{ operation: "install", place: `${places.configDir}/${name}` },
    cause: "the configuration names this file, which is not there",
    remedy: `bring it with ${flags[name]}`,
  });
}

/** A configuration that a person wrote. That of an image names files of the image, so only its form can be looked at. */
function assertPresentValid(machine: Machine, bytes: Uint8Array): void {
  if (machine.live) {
    loadSettings(places.config, { credentialsDir: undefined });
  } else if (!parseYaml(bytes).readable) {
    throw new ConfigError({
      ...{ operation: "install", place: places.config, cause: "the one in the image can't be read as YAML" },
      remedy: "put it right, or remove it",
    });
  }
}
