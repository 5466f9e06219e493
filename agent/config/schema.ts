/** Every key of the configuration: what may stand behind it and what holds without it. */
import { isIP } from "node:net";
import * as z from "zod";
import { payloadBytesMax, segmentBytes, topicBytesMax } from "../limits.ts";
import { nameFault, patternFault } from "../shipper/index_pattern.ts";
import { topicFilterFault, topicNameFault } from "../subscriber/topic_filter.ts";
import { brokerUrlFault, elasticsearchUrlFault, listenFault, proxyUrlFault } from "./addresses.ts";
import { spoolDirDefault, storeDirDefault } from "./defaults.ts";
import { found } from "./problems.ts";
import { duration, list, oneOf, secretFile, size, text, url } from "./values.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const TiB = 1024 * GiB;
const dayMs = 86_400_000;

export const levels = ["error", "warning", "notice", "info", "debug"] as const;
/** What `type:` of an output may be; others come with later versions. */
export const outputTypes = ["elasticsearch", "local"] as const;
export const indexDefault = "mqtt-%Y.%m.%d";

const plantPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const labelPattern = /^[a-z_][a-z0-9_-]{0,62}$/i;
export const outputNamePattern = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** Why a text can't be the plant's name, which goes into client ids, topics and labels; or undefined. */
export const plantFault = (plant: string) => plantPattern.test(plant) ? undefined : "has other characters";

/** Why a text can't be the name of a label, or undefined. `plant` is the agent's own. */
export function labelNameFault(name: string): string | undefined {
  if (name === "plant") return "the label plant is the agent's own: set plant: itself";
  if (labelPattern.test(name)) return undefined;
  return "a label's name has at most 63 letters, digits, _ and -, and begins with a letter or _";
}

/** Why a text is no topic to publish under, as the rest of a sentence; or undefined. */
function statusTopicFault(topic: string): string | undefined {
  const bytes = new TextEncoder().encode(topic);
  // room for what the agent adds behind it
  if (bytes.length > topicBytesMax - 256) return "is too long";
  if (topic.startsWith("$")) return "begins with $, which belongs to the broker";
  if (topic.startsWith("/") || topic.endsWith("/")) return "begins or ends with /";
  return topicNameFault(bytes, 0, bytes.length);
}

function clientIdFault(id: string): string | undefined {
  if (/\p{C}/u.test(id)) return "has control characters";
  return new TextEncoder().encode(id).length > topicBytesMax ? "is too long" : undefined;
}

function fingerprintFault(fingerprint: string): string | undefined {
  return /^([0-9a-f]{64}|[0-9a-f]{2}(:[0-9a-f]{2}){31})$/i.test(fingerprint) ? undefined : "is none";
}

/** The pattern of `labels_from_topic`: why it is none, as the rest of a sentence, or undefined. */
function topicLabelsFault(pattern: string): string | undefined {
  const levels = pattern.split("/");
  const names = levels.flatMap((level) => /^\{([^{}]*)\}$/.exec(level)?.[1] ?? []);
  if (names.length === 0) return "names no label";
  if (names.some((name) => labelNameFault(name) !== undefined)) return "has a name that no label can have";
  if (new Set(names).size < names.length) return "names a label twice";
  if (levels.some((level) => /[{}]/.test(level) && !/^\{[^{}]*\}$/.test(level))) {
    return "has { or } in a level that is not wholly a label";
  }
  return topicFilterFault(levels.map((level) => level.startsWith("{") ? "x" : level).join("/"));
}

/** The names that Elasticsearch takes say what "it" is. */
const rest = (fault: string | undefined) => fault?.replace(/^it /, "");

/** A fault of a list's item as a whole sentence. */
const filterFault = (fault: (filter: string) => string | undefined) => (filter: string) => {
  const why = fault(filter);
  return why === undefined
    ? undefined
    : `found ${found(filter)}, which ${why}; allowed: a topic filter, such as "hall/+/t"`;
};

function excludeFault(filter: string): string | undefined {
  return filter.startsWith("$share/") ? "is a shared subscription" : topicFilterFault(filter);
}

/** A section: nothing behind its name is the same as its absence. */
const section = <S extends z.core.$ZodLooseShape>(shape: S) => {
  return z.preprocess((raw) => raw ?? {}, z.strictObject(shape)).prefault({});
};
/** A section whose keys are names that the user gives. */
const names = <T extends z.ZodType>(one: T) => {
  return z.preprocess((raw) => raw ?? {}, z.record(z.string(), one)).prefault({});
};

/** Descriptions and defaults are Markdown, for the README's reference. */
const code = (text: string) => `\`${text}\``;
const systemRoots = "the system's";

const mqttShape = {
  url: url(brokerUrlFault).meta({
    description: "the broker: `mqtts://host:8883`, or `mqtt://host:1883` without TLS",
    byDefault: "none; started by hand, the agent opens its own broker",
  }),
  listen: text('an address and a port, such as 127.0.0.1:1883 or "[::1]:1883"', listenFault)
    .describe(
      "instead of `url`: the agent's own broker listens here; off loopback only with password and TLS",
    ),
  ca_file: text("the name of a file with certificates (PEM)").meta({
    description: "CA of the broker's certificate (PEM), trusted beside the system's",
    byDefault: systemRoots,
  }),
  fingerprint_sha256: text("the SHA-256 of the broker's certificate, 64 hex digits", fingerprintFault)
    .describe("SHA-256 of the broker's certificate, instead of a CA: this one and no other"),
  username: text("a user name").describe(
    "account at the broker; with `listen`, the account that clients need",
  ),
  password_file: secretFile().describe("file with its password"),
  cert_file: text("the name of a file with a certificate (PEM)")
    .describe("the agent's client certificate (PEM); with `listen`, the broker's own"),
  key_file: secretFile().describe("file with its private key (PEM)"),
  client_id: text("any text without control characters", clientIdFault).meta({
    description: "name of the agent's session at the broker; two clients never share one",
    byDefault: "from plant and machine",
  }),
  topics: list("topic filters", 1, ["#"], filterFault(topicFilterFault))
    .describe("topic filters to subscribe; `$share/…` works"),
  exclude: list("topic filters", 0, [], filterFault(excludeFault))
    .describe("topic filters whose messages are acknowledged and counted, but not stored"),
  qos: oneOf([0, 1, 2], 1).describe("highest QoS at which the broker delivers: 0, 1 or 2"),
  max_payload: size(KiB, payloadBytesMax, MiB)
    .describe(
      "of a larger message only the first 64 KiB, its size and its SHA-256 are stored; at most 4 MiB",
    ),
  status_topic: text("a topic without wildcards, such as sensorlog/vigo", statusTopicFault).describe(
    "the agent publishes a marker under it, and nothing elsewhere: it tells queued messages from new ones",
  ),
  keep_alive: duration(1_000, 65_535_000, 60_000, 1_000).describe("how soon a dead connection is noticed"),
};

const spoolShape = {
  dir: text("the whole path of a folder", (dir) => dir.startsWith("/") ? undefined : "does not begin with /")
    .meta({
      description: "folder where readings wait until they have arrived",
      byDefault: code(spoolDirDefault),
    }),
  max_size: size(2 * segmentBytes, 1_024 * TiB, 2 * GiB).describe("the spool takes at most this"),
  min_free: size(MiB, 1_024 * TiB, 512 * MiB).describe("the spool leaves this much of the disk free"),
  sync_window: duration(0, 1_000, 20)
    .describe("after a small batch, how long messages gather before the next sync; at most 1 s"),
  when_full: oneOf(["block", "drop_oldest"], "block").describe(
    "`block`: receive nothing more, the broker queues; `drop_oldest`: delete the oldest, and count them",
  ),
};

const elasticsearchShape = {
  urls: list("URLs of one Elasticsearch", 1, [], elasticsearchUrlFault)
    .meta({ description: "nodes of one cluster; when one fails, the next is asked", byDefault: "required" }),
  ca_file: text("the name of a file with certificates (PEM)").meta({
    description: "CA of its certificate (PEM), trusted beside the system's",
    byDefault: systemRoots,
  }),
  api_key_file: secretFile().describe("file with the API key as Elasticsearch gave it out under `encoded`"),
  username: text("a user name").describe("instead of an API key: a user"),
  password_file: secretFile().describe("file with the user's password"),
  proxy: url(proxyUrlFault).describe("HTTP proxy on the way there, `http://host:3128`"),
  index: text(`a pattern such as ${indexDefault}`, (pattern) => rest(patternFault(pattern)))
    .meta({
      description: "index, named by the reading's `@timestamp` in UTC",
      byDefault: code(indexDefault),
    }),
  data_stream: text("a name such as mqtt-plant", (name) => rest(nameFault(name)))
    .describe("instead of `index`: a data stream"),
  manage_template: oneOf([true, false], true).describe("put the index template there and keep it up to date"),
};

const localShape = {
  dir: text("the whole path of a folder", (dir) => dir.startsWith("/") ? undefined : "does not begin with /")
    .meta({
      description: "folder of the SQLite database; each output its own",
      byDefault: code(storeDirDefault),
    }),
  keep: duration(1_000, 36_500 * dayMs, 365 * dayMs).describe("older readings are deleted"),
  max_size: size(16 * MiB, 1_024 * TiB, 2 * GiB).describe("beyond this the oldest readings are deleted"),
};

const typeShape = {
  type: oneOf(outputTypes, "elasticsearch")
    .meta({ description: "`elasticsearch` or `local`", byDefault: "required" }),
};

const outputShape = { ...typeShape, ...elasticsearchShape, ...localShape };

/** For each type of output the keys that it has beside `type`. */
export const outputKeys: Record<typeof outputTypes[number], string[]> = {
  elasticsearch: Object.keys(elasticsearchShape),
  local: Object.keys(localShape),
};

const logShape = {
  format: oneOf(["text", "json"], "text").describe("`text`, or `json`: one object per line"),
  level: oneOf(levels, "info").describe("what is written: `error`, `warning`, `notice`, `info` or `debug`"),
};

const label = text(
  "text of at most 1,024 characters",
  (label) => label.length > 1_024 ? "is too long" : undefined,
);

const plainShape = {
  plant: text("at most 63 letters, digits, . _ and -, the first a letter or digit", plantFault)
    .meta({ description: "name of this site: `host.name` and `labels.plant`", byDefault: "the host's name" }),
  host_ip: text("an IPv4 or IPv6 address", (address) => isIP(address) === 0 ? "is none" : undefined)
    .meta({ description: "`host.ip`", byDefault: "the address towards the output" }),
  labels: names(label).describe('`labels.*` of every reading, such as `line: "7"`'),
  labels_from_topic: text('levels such as "{area}/{machine}/+"', topicLabelsFault)
    .describe('labels from levels of the topic, such as `"{area}/{machine}/+"`'),
};

const topShape = {
  ...plainShape,
  mqtt: section(mqttShape),
  spool: section(spoolShape),
  outputs: names(z.strictObject(outputShape)),
  log: section(logShape),
};

/** The keys in the order in which the reference shows them, by the section in which they stand. */
export const shapes = {
  "": plainShape,
  mqtt: mqttShape,
  spool: spoolShape,
  "outputs.NAME": typeShape,
  "outputs.NAME elasticsearch": elasticsearchShape,
  "outputs.NAME local": localShape,
  log: logShape,
};

export const schema = z.strictObject(topShape);
export type Checked = z.output<typeof schema>;

/** The keys that the section at `path` may have, or undefined when they are names of the user's own. */
export function keysOf(path: readonly PropertyKey[]): string[] | undefined {
  if (path.length === 0) return Object.keys(topShape);
  if (path[0] === "outputs") return path.length === 2 ? Object.keys(outputShape) : undefined;
  const shape = { mqtt: mqttShape, spool: spoolShape, log: logShape }[String(path[0])];
  return shape === undefined ? undefined : Object.keys(shape);
}
