/** What `install` is to write into agent.yaml and beside it: from flags, from questions, from an earlier run. */
import { hostname } from "node:os";
import { type Answers, fileNames } from "../../installer/config_text.ts";
import type { NamedFile } from "../../installer/plan.ts";
import { ConfigError, reasonOf } from "../base/errors.ts";
import { brokerUrlFault, elasticsearchUrlFault } from "../config/addresses.ts";
import { plantOf } from "../config/defaults.ts";
import { plantFault } from "../config/schema.ts";
import type { Questions } from "./questions.ts";

/** Flags of `install` that go into the configuration. Of secrets only the names of files. */
export interface AnswerFlags {
  plant?: string | undefined;
  broker?: string | undefined;
  caFile?: string | undefined;
  username?: string | undefined;
  passwordFile?: string | undefined;
  outputUrl?: string[] | undefined;
  outputCaFile?: string | undefined;
  apiKeyFile?: string | undefined;
}

export interface Answered {
  answers: Answers;
  files: NamedFile[];
  /** Contents of files that the configuration names by their paths and that are not there yet. */
  coming?: Record<string, string>;
}

const fileBytesMax = 1024 * 1024;
/** The form in which Elasticsearch gives out a key under `encoded`. */
const apiKey = /^[A-Za-z0-9+/_=-]+$/;

/** Whether a flag says something about the configuration. */
export function hasAnswers(flags: AnswerFlags): boolean {
  const { plant, broker, caFile, username, passwordFile, outputUrl, outputCaFile, apiKeyFile } = flags;
  return [plant, broker, caFile, username, passwordFile, outputUrl, outputCaFile, apiKeyFile]
    .some((flag) => flag !== undefined);
}

/** Flags on top of what an earlier run was told. Throws ConfigError for a file that can't be used. */
export async function fromFlags(flags: AnswerFlags, earlier: Answers): Promise<Answered> {
  if (flags.passwordFile === "-" && flags.apiKeyFile === "-") {
    throw wrong("--api-key-file -", "standard input holds one secret only", "put the other one into a file");
  }
  const files: NamedFile[] = [];
  const bring = async (flag: string, file: string | undefined, name: string, secret: boolean) => {
    if (file === undefined) return undefined;
    const content = await contentOf(flag, file, secret);
    files.push({ name, content, secret });
    return true;
  };
  const brought = {
    brokerCa: await bring("--ca-file", flags.caFile, fileNames.brokerCa, false),
    password: await bring("--password-file", flags.passwordFile, fileNames.password, true),
    outputCa: await bring("--output-ca-file", flags.outputCaFile, fileNames.outputCa, false),
    apiKey: await bring("--api-key-file", flags.apiKeyFile, fileNames.apiKey, true),
  };
  const said = {
    plant: flags.plant,
    broker: flags.broker,
    username: flags.username,
    outputUrls: flags.outputUrl,
    ...brought,
  };
  const known = Object.entries(said).filter(([, value]) => value !== undefined);
  const answers: Answers = { ...earlier, ...Object.fromEntries(known) };
  if (brought.brokerCa || (flags.broker !== undefined && flags.broker !== earlier.broker)) {
    // those were of the broker before
    delete answers.brokerCaPath;
    delete answers.statusTopic;
  }
  return { answers, files };
}

/** Asks for what no flag has said. */
export async function askFor(
  flags: AnswerFlags,
  questions: Questions,
): Promise<AnswerFlags & { secrets: NamedFile[] }> {
  const asked: AnswerFlags & { secrets: NamedFile[] } = { ...flags, secrets: [] };
  const own = plantOf(hostname());
  asked.plant ??= await until(questions, `Name of this plant [${own}]:`, (plant) => {
    return plantFault(plant) && "letters, digits, . _ and -, at most 63";
  }) ?? own;
  asked.broker ??= await until(
    questions,
    "Broker, such as mqtts://192.168.1.46:8883 [none yet]:",
    brokerUrlFault,
  );
  if (asked.broker !== undefined) await askForBroker(asked, questions);
  if (asked.outputUrl === undefined) {
    const question = "Elasticsearch, such as https://10.8.0.1:9200 [keep readings on this machine]:";
    const url = await until(questions, question, elasticsearchUrlFault);
    if (url !== undefined) asked.outputUrl = [url];
  }
  if (asked.outputUrl === undefined) return asked;
  if (asked.outputUrl.some((url) => url.startsWith("https:"))) {
    asked.outputCaFile ??= await file(questions, "File with the CA of its certificate [the system's]:");
  }
  if (asked.apiKeyFile === undefined) await secret(asked, questions, "Its API key [none]:", fileNames.apiKey);
  return asked;
}

async function askForBroker(
  asked: AnswerFlags & { secrets: NamedFile[] },
  questions: Questions,
): Promise<void> {
  if (asked.broker!.startsWith("mqtts:")) {
    asked.caFile ??= await file(questions, "File with the CA of its certificate [the system's]:");
  }
  asked.username ??= (await questions.ask("Account at the broker [none]:")) || undefined;
  if (asked.username === undefined || asked.passwordFile !== undefined) return;
  await secret(asked, questions, "Its password:", fileNames.password);
}

async function secret(
  asked: { secrets: NamedFile[] },
  questions: Questions,
  question: string,
  name: string,
): Promise<void> {
  let typed = await questions.askSecret(question);
  while (name === fileNames.apiKey && typed !== "" && !apiKey.test(typed)) {
    typed = await questions.askSecret(`That is no API key in base64 form. ${question}`);
  }
  if (typed !== "") asked.secrets.push({ name, content: `${typed}\n`, secret: true });
}

/** Asks again until there is no fault; undefined for ENTER alone. */
async function until(
  questions: Questions,
  question: string,
  faultOf: (answer: string) => string | undefined,
): Promise<string | undefined> {
  let prefix = "";
  for (;;) {
    const answer = await questions.ask(`${prefix}${question}`);
    if (answer === "") return undefined;
    const fault = faultOf(answer);
    if (fault === undefined) return answer;
    prefix = `That can't be used: ${fault}\n`;
  }
}

function file(questions: Questions, question: string): Promise<string | undefined> {
  return until(questions, question, (name) => {
    try {
      return Deno.statSync(name).isFile ? undefined : "it is no file";
    } catch (error) {
      return reasonOf(error);
    }
  });
}

/** A file's text, or for `-` that of standard input. A secret is one line; it stands in no message. */
export async function contentOf(
  flag: string,
  name: string,
  isSecret: boolean,
  operation = "install",
): Promise<string> {
  const place = `${flag} ${name}`;
  const wrong = (place: string, cause: string, remedy: string) =>
    new ConfigError({ operation, place, cause, remedy });
  const bytes = await bytesOf(name).catch((error) => {
    throw wrong(place, reasonOf(error), "name a file that can be read");
  });
  if (bytes.length > fileBytesMax) throw wrong(place, "it is larger than 1 MiB", "name another file");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw wrong(place, "it is not text in UTF-8", "name another file");
  }
  if (!isSecret) return text;
  const value = text.replace(/\r?\n$/, "");
  if (value === "") throw wrong(place, "it is empty", "put the secret into it");
  if (/[\0\r\n]/.test(value)) {
    throw wrong(place, "it holds more than one line", "put nothing but the secret into it");
  }
  if (flag === "--api-key-file" && !apiKey.test(value)) {
    const remedy = "Elasticsearch shows that form as `encoded` when the key is made";
    throw wrong(place, "it holds no API key in base64 form", remedy);
  }
  return `${value}\n`;
}

async function bytesOf(name: string): Promise<Uint8Array> {
  if (name !== "-") return await Deno.readFile(name);
  if (Deno.stdin.isTerminal()) throw new Error("standard input is a terminal, which would show the secret");
  return new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
}

function wrong(place: string, cause: string, remedy: string): ConfigError {
  return new ConfigError({ operation: "install", place, cause, remedy });
}
