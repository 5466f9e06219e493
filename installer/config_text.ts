/** agent.yaml as `install` writes it: what was answered, and for a person who edits it later, what else there is. */
import { stringify } from "yaml";
import { parseYaml } from "../agent/config/yaml.ts";
import { Look } from "../agent/config/look.ts";
import { places } from "./plan.ts";
import type { Credential } from "./units.ts";

/** What the configuration is made from. Secrets and certificates stand in files of these names beside it. */
export interface Answers {
  plant?: string;
  broker?: string;
  brokerCa?: boolean;
  /** A CA that stands elsewhere, by its path. */
  brokerCaPath?: string;
  username?: string;
  password?: boolean;
  /** What the agent may publish below. */
  statusTopic?: string;
  outputUrls?: string[];
  outputCa?: boolean;
  apiKey?: boolean;
}

export const fileNames = {
  brokerCa: "mqtt-ca.crt",
  password: "mqtt-password",
  outputCa: "cloud-ca.crt",
  apiKey: "elastic-api-key",
} as const;

/** A scalar as YAML has it, on one line, quoted where it must be. */
const scalar = (value: string) => stringify(value, { lineWidth: 0 }).trim();

/** A key, or, without an answer, the same as a comment with an example. */
function key(name: string, value: string | undefined, example: string): string {
  return value === undefined ? `# ${name}: ${example}` : `${name}: ${value}`;
}

/** The whole file. */
export function configText(answers: Answers): string {
  const { plant, broker, username, brokerCaPath, statusTopic } = answers;
  const text = (value: string | undefined) => value === undefined ? undefined : scalar(value);
  const name = (there: boolean | undefined, file: string) => there ? file : undefined;
  const sections = [
    "# Configuration of sensorlog-agent. What is commented out is an example; the README lists every key.",
    "# After a change: sensorlog-agent check, then systemctl restart sensorlog-agent",
    "",
    "# The name of this site, in every reading. Without it: the host's name.",
    key("plant", text(plant), "vigo"),
    "",
    "mqtt:",
    "  # The broker, with TLS or without (mqtt://HOST:1883). Without it the service is up and receives nothing.",
    `  ${key("url", text(broker), "mqtts://192.168.1.46:8883")}`,
    "  # The CA of its certificate, beside this file or with its whole path. Without it: those of the system.",
    `  ${
      key("ca_file", name(answers.brokerCa, fileNames.brokerCa) ?? text(brokerCaPath), fileNames.brokerCa)
    }`,
    "  # The account there. A secret stands in a file of its own, which root reads and hands to the service.",
    `  ${key("username", text(username), "agent")}`,
    `  ${key("password_file", name(answers.password, fileNames.password), fileNames.password)}`,
    `  # topics: ["#"]`,
    "  # exclude: []",
    "  # A topic that the agent may publish under lets it tell queued messages from new ones.",
    `  ${key("status_topic", text(statusTopic), "sensorlog/vigo")}`,
    "",
    ...outputs(answers),
    "",
    "# Readings wait here until they have arrived.",
    "# spool:",
    "#   max_size: 2GiB",
    "#   min_free: 512MiB",
    "",
  ];
  return sections.join("\n");
}

function outputs({ outputUrls, outputCa, apiKey }: Answers): string[] {
  if (outputUrls === undefined || outputUrls.length === 0) {
    return [
      "outputs:",
      "  # Readings stay on this machine: sensorlog-agent export",
      "  here:",
      "    type: local",
      "    # keep: 365d",
      "  # cloud:",
      "  #   type: elasticsearch",
      "  #   urls: [https://10.8.0.1:9200]",
      `  #   api_key_file: ${fileNames.apiKey}`,
    ];
  }
  return [
    "outputs:",
    "  cloud:",
    "    type: elasticsearch",
    `    urls: ${JSON.stringify(outputUrls)}`,
    "    # The CA of its certificate. Without it: those of the system.",
    `    ${key("ca_file", outputCa ? fileNames.outputCa : undefined, fileNames.outputCa)}`,
    `    ${key("api_key_file", apiKey ? fileNames.apiKey : undefined, fileNames.apiKey)}`,
    "    # index: mqtt-%Y.%m.%d",
    "  # Readings on this machine as well: sensorlog-agent export",
    "  # here:",
    "  #   type: local",
  ];
}

/** What the service needs for a configuration: its secrets, and folders that it writes outside the agent's own. */
export interface Needs {
  credentials: Credential[];
  writableDirs: string[];
}

/** Of a configuration that was found to be valid. Secrets with a path of their own are read by the agent itself. */
export function needsOf(config: Uint8Array): Needs {
  const look = new Look(parseYaml(config).value);
  const names = look.keys(["outputs"]);
  const secrets = [
    ...["password_file", "key_file"].map((name) => look.text(["mqtt", name])),
    ...names.flatMap((name) =>
      ["api_key_file", "password_file"].map((one) => look.text(["outputs", name, one]))
    ),
  ].filter((name) => name !== undefined && !name.includes("/")) as string[];
  const dirs = [look.text(["spool", "dir"]), ...names.map((name) => look.text(["outputs", name, "dir"]))];
  const own = (dir: string) => dir === places.stateDir || dir.startsWith(`${places.stateDir}/`);
  return {
    credentials: [...new Set(secrets)].map((name) => ({ name, path: `${places.configDir}/${name}` })),
    writableDirs: [...new Set(dirs)].filter((dir) => dir !== undefined && !own(dir)) as string[],
  };
}
