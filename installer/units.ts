/**
 * What systemd is told of the agent. Pure: text in, text out. `systemd-analyze security` rates the service by what it
 * leaves open; what stands here is everything that V8 and the agent bear.
 */

/** A secret that systemd reads as root and hands to the service, which alone can see it. */
export interface Credential {
  /** As the configuration names it. */
  name: string;
  /** Where the secret lies. */
  path: string;
}

export interface AgentUnit {
  /** A missing file would keep the unit from starting, so only those that the configuration names. */
  credentials: Credential[];
  /** `run --config FILE` of this binary. */
  binary: string;
  configFile: string;
  /** Folders outside /var/lib/sensorlog that the configuration lets the agent write: spool or store on a disk of its own. */
  writableDirs: string[];
}

export const unitName = "sensorlog-agent.service";
export const userName = "sensorlog";

/** How long systemd waits for a sign of life (WatchdogSec), and for the end of a stop: shipping takes 5 s of it. */
const watchdogS = 60;
const stopS = 30;
/** A crash every so often for ever is better than a service that has given up on a plant without people. */
const restartS = 5;

/** The service's unit file. Paths and names are escaped as systemd.unit(5) and systemd.syntax(7) want it. */
export function agentUnit({ credentials, binary, configFile, writableDirs }: AgentUnit): string {
  const loads = credentials.map(({ name, path }) => `LoadCredential=${name}:${escapeSpecifiers(path)}`);
  const writable = writableDirs.map((dir) => `ReadWritePaths=-${quoted(dir)}`);
  return [
    "# Made by sensorlog-agent install. Changes of your own: systemctl edit sensorlog-agent",
    "[Unit]",
    "Description=Brings MQTT readings into Elasticsearch, each once",
    "Documentation=file:///etc/sensorlog/agent.yaml",
    "Wants=network-online.target time-sync.target",
    "After=network-online.target time-sync.target mosquitto.service",
    "StartLimitIntervalSec=0",
    "",
    ...["[Service]", ...service(binary, configFile), ...loads, ...writable],
    "",
    ...sandbox,
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}

function service(binary: string, configFile: string): string[] {
  return [
    "Type=notify",
    "NotifyAccess=main",
    `ExecStart=${commandWord(binary)} run --config ${commandWord(configFile)}`,
    "ExecReload=kill -HUP $MAINPID",
    `WatchdogSec=${watchdogS}`,
    `TimeoutStopSec=${stopS}`,
    "Restart=always",
    `RestartSec=${restartS}`,
    `User=${userName}`,
    `Group=${userName}`,
    "StateDirectory=sensorlog sensorlog/spool sensorlog/store",
    "StateDirectoryMode=0750",
    "RuntimeDirectory=sensorlog",
    "RuntimeDirectoryMode=0750",
    "ConfigurationDirectory=sensorlog",
    "ConfigurationDirectoryMode=0750",
    "LogsDirectory=sensorlog",
    "LogsDirectoryMode=0750",
    "WorkingDirectory=/var/lib/sensorlog",
    // the boot's identity, which the sandbox hides, and no terminal to ask for colours
    "Environment=SENSORLOG_BOOT_ID=%b NO_COLOR=1",
    "MemoryHigh=400M",
    "MemoryMax=600M",
    "TasksMax=64",
    "LimitCORE=0",
    "OOMScoreAdjust=-100",
  ];
}

/** MemoryDenyWriteExecute is missing: V8 compiles at run time. @pkey is there: V8 guards its code pages with it. */
const sandbox = [
  "UMask=0077",
  "NoNewPrivileges=yes",
  "CapabilityBoundingSet=",
  "AmbientCapabilities=",
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "PrivateUsers=yes",
  "PrivateMounts=yes",
  "ProtectClock=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "ProtectControlGroups=yes",
  "ProtectProc=invisible",
  "ProcSubset=pid",
  "KeyringMode=private",
  "LockPersonality=yes",
  "RemoveIPC=yes",
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service @pkey",
  "SystemCallFilter=~@privileged @resources",
  "SystemCallErrorNumber=EPERM",
  "DevicePolicy=closed",
];

/** `%` begins a specifier everywhere in a unit file. A control character can't be written: it would begin another line. */
function escapeSpecifiers(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new Error(`a control character in ${JSON.stringify(text)}`);
  return text.replaceAll("%", "%%");
}

/** One word of a list, whatever is in it. */
function quoted(word: string): string {
  if (/^[\w./:@+,=-]+$/.test(word)) return word;
  return `"${escapeSpecifiers(word).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** One word of a command line, where `$` begins a variable as well (systemd.service(5), "Command lines"). */
function commandWord(word: string): string {
  return quoted(word).replaceAll("$", "$$$$");
}
