/** The configuration after checking: every default filled in, sizes in bytes, times in milliseconds, secrets still in files. */

/** A secret: where to read it, never its value. `read()` trims one trailing newline and throws ConfigError. */
export interface SecretFile {
  path: string;
  read(): string;
}

export interface ListenAddress {
  /** An IPv4 or IPv6 address, without brackets. */
  host: string;
  port: number;
}

export interface MqttSettings {
  /** Undefined: no broker configured; the agent stays up and says so. */
  url: string | undefined;
  /**
   * The agent's own broker listens here, instead of a connection to `url`; port 0: a free one. Then username, password,
   * certificate and key are the broker's own.
   */
  listen: ListenAddress | undefined;
  /** PEM text of the CA file; undefined: the system's and Mozilla's roots. */
  caPem: string | undefined;
  /** SHA-256 of the broker's certificate, 64 lower-case hex digits. */
  fingerprintSha256: string | undefined;
  username: string | undefined;
  password: SecretFile | undefined;
  certificatePem: string | undefined;
  key: SecretFile | undefined;
  clientId: string;
  topics: string[];
  exclude: string[];
  qos: 0 | 1 | 2;
  maxPayloadBytes: number;
  statusTopic: string | undefined;
  keepAliveS: number;
}

export interface SpoolSettings {
  dir: string;
  maxSizeBytes: number;
  minFreeBytes: number;
  syncWindowMs: number;
  whenFull: "block" | "drop_oldest";
}

export interface ElasticsearchSettings {
  type: "elasticsearch";
  name: string;
  urls: string[];
  caPem: string | undefined;
  apiKey: SecretFile | undefined;
  username: string | undefined;
  password: SecretFile | undefined;
  /** URL of an HTTP proxy. */
  proxy: string | undefined;
  /** strftime pattern such as `mqtt-%Y.%m.%d`; exactly one of `index` and `dataStream` is set. */
  index: string | undefined;
  dataStream: string | undefined;
  manageTemplate: boolean;
}

/** Readings go into a SQLite database on this machine. */
export interface LocalSettings {
  type: "local";
  name: string;
  /** Folder of the database; no other output's. */
  dir: string;
  /** Readings whose time is longer ago go; undefined: none does for its age. */
  keepMs: number | undefined;
  /** The oldest readings go when the database would become larger. */
  maxSizeBytes: number;
}

/** One of these per entry of `outputs:`; more types join later. */
export type OutputSettings = ElasticsearchSettings | LocalSettings;

export interface Settings {
  plant: string;
  /** `host_ip:`; undefined: the address towards the output. */
  hostIp: string | undefined;
  labels: Record<string, string>;
  /** Such as `{area}/{machine}/+`; undefined: no labels from the topic. */
  labelsFromTopic: string | undefined;
  mqtt: MqttSettings;
  spool: SpoolSettings;
  outputs: OutputSettings[];
  log: { format: "text" | "json"; level: "error" | "warning" | "notice" | "info" | "debug" };
  /** Path of the agent's Unix socket. */
  socket: string;
  /** The file that was read; undefined: embedded defaults. */
  file: string | undefined;
}
