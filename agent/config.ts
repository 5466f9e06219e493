/**
 * The configuration, from the file to settings: YAML → keys and values → what they mean to each other → the files they
 * name. All problems are found in one go, each with its line and column, and no message shows a secret.
 */
import { dirname, join, resolve } from "node:path";
import { errorCode } from "./base/errors.ts";
import { ConfigError } from "./base/errors.ts";
import { listenAddress } from "./config/addresses.ts";
import {
  clientIdOf,
  listenDefault,
  type Machine,
  plantOf,
  spoolDirDefault,
  storeDirDefault,
  thisMachine,
} from "./config/defaults.ts";
import { NamedFiles, type Places } from "./config/files.ts";
import { Look, type Report } from "./config/look.ts";
import { configError, dotted, nearest, type Path, type Problem, problemLine } from "./config/problems.ts";
import { checkRelations } from "./config/relations.ts";
import { type Checked, indexDefault, keysOf, schema } from "./config/schema.ts";
import { type ParsedYaml, parseYaml } from "./config/yaml.ts";
import type { ListenAddress, MqttSettings, OutputSettings, Settings } from "./settings.ts";

export { compareSettings } from "./config/compare.ts";

export const defaultPath = "/etc/sensorlog/agent.yaml";
const defaultSocket = "/run/sensorlog/agent.sock";

/** What the settings depend on beside the file. Everything is this machine's own unless a test says otherwise. */
export interface Surroundings {
  /** Read when no path is given and it is there. */
  defaultPath?: string;
  machine?: Machine;
  credentialsDir?: string | undefined;
  /** Where neither a broker nor an output is configured, the agent's own are used: for `run` by hand. */
  embedded?: boolean;
}

/** The outputs of a `run` by hand that names none. */
const ownStore = schema.parse({ outputs: { local: { type: "local" } } }).outputs;

/** Settings, and what `check` shows beside them: nothing of it keeps the agent from running. */
export interface LoadedSettings extends Settings {
  /** One line each, with place and remedy. */
  warnings: string[];
}

/**
 * Reads and checks the configuration. Without `path` the default file, or, when that is not there, the defaults.
 * Throws a ConfigError that lists every problem, one per line; reads certificates, but of secrets only whether they are
 * there.
 */
export function loadSettings(path: string | undefined, surroundings: Surroundings = {}): LoadedSettings {
  const { file, bytes } = readFile(path, surroundings.defaultPath ?? defaultPath);
  const shownFile = file ?? "defaults";
  const yaml = parseYaml(bytes);
  const problems = [...yaml.problems];
  if (!yaml.readable) throw configError(shownFile, problems);
  const warnings: string[] = [];
  const report: Report = (at, text) => problems.push({ ...yaml.valueAt(at), key: dotted(at), text });
  const warn: Report = (at, text) => {
    warnings.push(problemLine(shownFile, { ...yaml.valueAt(at), key: dotted(at), text }));
  };
  const values = schema.safeParse(yaml.value ?? {});
  if (!values.success) problems.push(...schemaProblems(values.error.issues, yaml));
  const look = new Look(yaml.value);
  const embedded = surroundings.embedded ?? false;
  const socket = socketFor(look.text(["spool", "dir"]));
  checkRelations(look, report, warn, { socket, embedded });
  const places: Places = {
    beside: dirname(resolve(file ?? defaultPath)),
    credentialsDir: "credentialsDir" in surroundings
      ? surroundings.credentialsDir
      : Deno.env.get("CREDENTIALS_DIRECTORY"),
  };
  const files = new NamedFiles(look, places, report, warn);
  const mqttFiles = brokerFiles(files);
  const outputFiles = new Map(look.keys(["outputs"]).map((name) => [name, filesOfOutput(files, name)]));
  if (!values.success || problems.length > 0) throw configError(shownFile, problems);
  const checked = values.data;
  const machine = surroundings.machine ?? thisMachine();
  const plant = checked.plant ?? plantOf(machine.hostname);
  // an empty section says that there shall be none
  const outputs = embedded && !look.has(["outputs"]) ? ownStore : checked.outputs;
  return {
    plant,
    hostIp: checked.host_ip,
    labels: checked.labels as Record<string, string>,
    labelsFromTopic: checked.labels_from_topic,
    mqtt: {
      ...brokerSettings(checked.mqtt, mqttFiles, checked.mqtt.client_id ?? clientIdOf(plant, machine)),
      listen: ownBroker(checked.mqtt, embedded),
    },
    spool: {
      dir: checked.spool.dir ?? spoolDirDefault,
      maxSizeBytes: checked.spool.max_size,
      minFreeBytes: checked.spool.min_free,
      syncWindowMs: checked.spool.sync_window,
      whenFull: checked.spool.when_full,
    },
    outputs: Object.entries(outputs).map(([name, output]) =>
      outputSettings(name, output, outputFiles.get(name) ?? filesOfOutput(files, name))
    ),
    log: checked.log,
    socket: socketFor(checked.spool.dir),
    file,
    warnings,
  };
}

/**
 * The socket of the agent that runs with this configuration. Looks at `spool.dir` only, so that it works for a user who
 * may not read the secrets. Throws a ConfigError when the file can't be read.
 */
export function socketOf(
  path: string | undefined,
  surroundings: Pick<Surroundings, "defaultPath"> = {},
): string {
  const { file, bytes } = readFile(path, surroundings.defaultPath ?? defaultPath);
  const yaml = parseYaml(bytes);
  if (!yaml.readable) throw configError(file ?? "defaults", yaml.problems);
  return socketFor(new Look(yaml.value).text(["spool", "dir"]));
}

/** In the spool's folder when that is not the default one: two agents on one machine have two sockets. */
function socketFor(spoolDir: string | undefined): string {
  return spoolDir === undefined || resolve(spoolDir) === spoolDirDefault
    ? defaultSocket
    : join(spoolDir, "agent.sock");
}

/** The file's name (undefined: there is none by default) and content. Throws a ConfigError when it can't be read. */
export function readFile(
  path: string | undefined,
  byDefault: string,
): { file: string | undefined; bytes: Uint8Array } {
  const file = path ?? byDefault;
  try {
    return { file, bytes: Deno.readFileSync(file) };
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    if (missing && path === undefined) return { file: undefined, bytes: new Uint8Array(0) };
    const denied = error instanceof Deno.errors.PermissionDenied;
    throw new ConfigError({
      operation: "read the configuration",
      place: file,
      cause: missing
        ? "there is no such file"
        : denied
        ? `user id ${Deno.uid()} may not read it`
        : `it can't be read (${errorCode(error) ?? (error as Error).name})`,
      remedy: denied ? "use an account that may, or sudo" : "name another one with --config FILE",
    });
  }
}

/** What of the schema was not met, with places. */
function schemaProblems(issues: readonly SchemaIssue[], yaml: ParsedYaml): Problem[] {
  return issues.flatMap((issue): Problem[] => {
    const path = issue.path as Path;
    if (issue.code === "unrecognized_keys") {
      return (issue.keys ?? []).map((key) => {
        const here = [...path, key];
        return { ...yaml.keyAt(here), key: dotted(here), text: unknownKey(path, key) };
      });
    }
    const known = keysOf(path)?.join(", ") ?? "names, with a value or section each";
    const text = issue.code === "custom" || issue.expected === "array"
      ? issue.message
      : `found something else than a section; allowed: ${known}`;
    return [{ ...yaml.valueAt(path), key: dotted(path), text }];
  });
}

interface SchemaIssue {
  code: string;
  path: PropertyKey[];
  message: string;
  keys?: string[];
  expected?: string;
}

/** Keys that people write who know other programs, or this one's later versions. */
const remedies: Record<string, string> = {
  password: "a secret stands in a file of its own: name it with password_file",
  api_key: "a secret stands in a file of its own: name it with api_key_file",
  key: "a secret stands in a file of its own: name it with key_file",
  host: "write it into the URL: mqtts://HOST:PORT",
  port: "write it into the URL: mqtts://HOST:PORT",
  tls: "TLS is on when the URL begins with mqtts:// or https://",
};

function unknownKey(path: Path, key: string): string {
  const known = keysOf(path) ?? [];
  const remedy = Object.hasOwn(remedies, key) ? remedies[key] : undefined;
  const near = nearest(key, known);
  if (remedy !== undefined) return `there is no such key; ${remedy}`;
  if (near !== undefined) return `there is no such key; did you mean ${near}?`;
  return `there is no such key; allowed: ${known.join(", ")}`;
}

function brokerFiles(files: NamedFiles) {
  return {
    caPem: files.certificates(["mqtt", "ca_file"]),
    password: files.secret(["mqtt", "password_file"]),
    certificatePem: files.certificates(["mqtt", "cert_file"]),
    key: files.secret(["mqtt", "key_file"]),
  };
}

function filesOfOutput(files: NamedFiles, name: string) {
  return {
    caPem: files.certificates(["outputs", name, "ca_file"]),
    apiKey: files.secret(["outputs", name, "api_key_file"]),
    password: files.secret(["outputs", name, "password_file"]),
  };
}

function brokerSettings(
  mqtt: Checked["mqtt"],
  files: ReturnType<typeof brokerFiles>,
  clientId: string,
): Omit<MqttSettings, "listen"> {
  return {
    url: mqtt.url,
    ...files,
    fingerprintSha256: mqtt.fingerprint_sha256?.replaceAll(":", "").toLowerCase(),
    username: mqtt.username,
    clientId,
    topics: mqtt.topics,
    exclude: mqtt.exclude,
    qos: mqtt.qos,
    maxPayloadBytes: mqtt.max_payload,
    statusTopic: mqtt.status_topic,
    keepAliveS: mqtt.keep_alive / 1_000,
  };
}

function ownBroker({ url, listen }: Checked["mqtt"], embedded: boolean): ListenAddress | undefined {
  if (listen !== undefined) return listenAddress(listen);
  return embedded && url === undefined ? listenDefault : undefined;
}

function outputSettings(
  name: string,
  output: Checked["outputs"][string],
  files: ReturnType<typeof filesOfOutput>,
): OutputSettings {
  if (output.type === "local") {
    const { type, keep, max_size } = output;
    return { type, name, dir: output.dir ?? storeDirDefault, keepMs: keep, maxSizeBytes: max_size };
  }
  const index = output.index ?? (output.data_stream === undefined ? indexDefault : undefined);
  return {
    type: output.type,
    name,
    urls: output.urls,
    ...files,
    username: output.username,
    proxy: output.proxy,
    index,
    dataStream: output.data_stream,
    manageTemplate: output.manage_template,
  };
}
