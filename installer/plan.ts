/**
 * What is to be there when the agent is installed, as a list of steps in their order. Pure: facts and the wish in, steps
 * out; nothing is read or written here. `apply.ts` brings them about and takes them away again.
 */
import { brokerPlaces, brokerUnit } from "./broker/places.ts";
import { type AgentUnit, agentUnit, unitName, userName } from "./units.ts";

/** Who owns it, and what others may do with it. */
export interface Access {
  mode: number;
  owner: string;
  group: string;
}

/** One of the two files of a pair: never shown, in no record; a new one replaces the old one. */
export interface PairFile {
  path: string;
  content: string;
  access: Access;
}

/** A program of the system with its arguments. */
export interface Call {
  program: string;
  args: string[];
}

interface StepBase {
  /** Its name in `--json` and in the record. */
  id: string;
  /** What is there when it is done, for people. */
  what: string;
  /** `uninstall` keeps it and what is in it; `--purge` does not. */
  keep?: boolean;
}

/**
 * One thing that is to be there. Each kind says how to see that it is: a user and group by their names, a file by
 * content and access, a unit by its link and its state; a command brings a second one that succeeds when it is done.
 */
export type Step =
  & StepBase
  & (
    | { kind: "user"; name: string; home: string }
    | { kind: "folder"; path: string; access: Access }
    /**
     * `secret`: never shown, in no record; a new one replaces the old one. `basedOn`: the SHA-256 of what its content was
     * made from; when just that stands there, it is replaced, whoever wrote it.
     */
    | { kind: "file"; path: string; content: string; access: Access; secret?: true; basedOn?: string }
    /** A certificate and its private key, which at every moment belong together. */
    | { kind: "pair"; certificate: PairFile; key: PairFile }
    /** Copied from a file of this machine. */
    | { kind: "binary"; path: string; source: string; access: Access }
    /** Enabled, running and well; started again after a change by one of the steps named here. */
    | { kind: "unit"; name: string; startAgainAfter: string[] }
    /**
     * Of another package: started at every boot, and it listens at its port. After a change by one of the steps named here
     * it is started again, or only told to read its files again.
     */
    | { kind: "service"; name: string; port: number; startAgainAfter: string[]; reloadAfter: string[] }
    /** Of the system's package manager; stays when the rest is uninstalled. */
    | { kind: "package"; name: string }
    | { kind: "command"; run: Call; done: Call; undo?: Call }
  );

export const places = {
  binary: "/usr/local/bin/sensorlog-agent",
  config: "/etc/sensorlog/agent.yaml",
  /** Configuration, secrets, and the installer's record: the agent may read it and write nothing in it. */
  configDir: "/etc/sensorlog",
  /** Made by the installer and systemd alike; spool and store. */
  stateDir: "/var/lib/sensorlog",
  logsDir: "/var/log/sensorlog",
  units: "/etc/systemd/system",
} as const;

/** Where the links stand of what is started at every boot. */
export const wantsDir = `${places.units}/multi-user.target.wants`;
export const unitPath = `${places.units}/${unitName}`;

/** A file that the wish brings beside the configuration. */
export interface NamedFile {
  /** As the configuration names it, in its own folder. */
  name: string;
  content: string;
  secret: boolean;
}

export interface Wish {
  /** The binary to install. */
  source: string;
  /** The whole configuration; undefined: what is there stays. */
  config: string | undefined;
  /** The sum of the configuration that a person wrote and `config` was made from. */
  configBasedOn?: string;
  files: NamedFile[];
  /** What the configuration that will be in force names: secrets, and folders outside the agent's own. */
  credentials: AgentUnit["credentials"];
  writableDirs: string[];
}

const ofRoot = (mode: number): Access => ({ mode, owner: "root", group: "root" });
const forAgent = (mode: number): Access => ({ mode, owner: "root", group: userName });
const ofAgent = (mode: number): Access => ({ mode, owner: userName, group: userName });

/** The steps of `install`. */
export function planInstall(wish: Wish): Step[] {
  const files = wish.files.map(fileStep);
  const config: Step[] = wish.config === undefined ? [] : [{
    ...{ kind: "file", id: "configuration", what: "the configuration", keep: true },
    ...{ path: places.config, content: wish.config, access: forAgent(0o640) },
    ...(wish.configBasedOn === undefined ? {} : { basedOn: wish.configBasedOn }),
  }];
  const { binary, configDir, folders, user } = parts(wish.source);
  const unitFile: Step = {
    ...{ kind: "file", id: "unit-file", what: "the service as systemd is told of it" },
    ...{ path: unitPath, content: unitText(wish), access: ofRoot(0o644) },
  };
  const before = [user, configDir, ...folders, binary, ...files, ...config, unitFile];
  return [...before, serviceStep(before.map(({ id }) => id))];
}

/** What `uninstall` takes away, backwards. What is in the folders goes with them. `broker`: one was set up here. */
export function planUninstall(broker = false): Step[] {
  const { binary, configDir, folders, user } = parts("");
  const unitFile: Step = {
    ...{ kind: "file", id: "unit-file", what: "the service as systemd is told of it" },
    ...{ path: unitPath, content: "", access: ofRoot(0o644) },
  };
  return [user, configDir, ...folders, ...(broker ? brokerParts() : []), binary, unitFile, serviceStep([])];
}

/** Without its drop-in, Mosquitto is as its package has it: it listens on this machine only. */
function brokerParts(): Step[] {
  const restart: Call = { program: "systemctl", args: ["try-restart", brokerUnit] };
  return [
    {
      ...{ kind: "folder", id: "broker-folder", what: "accounts and certificate of the broker", keep: true },
      ...{ path: brokerPlaces.dir, access: ofRoot(0o750) },
    },
    {
      ...{ kind: "command", id: "broker", what: "Mosquitto as its package has it", keep: true },
      ...{ run: restart, done: restart, undo: restart },
    },
    {
      ...{ kind: "file", id: "broker-configuration", what: "the broker's configuration", keep: true },
      ...{ path: brokerPlaces.dropIn, content: "", access: ofRoot(0o644) },
    },
  ];
}

function parts(source: string) {
  const user: Step = {
    ...{ kind: "user", id: "user", what: `user and group ${userName}`, keep: true },
    ...{ name: userName, home: places.stateDir },
  };
  const configDir: Step = {
    ...{ kind: "folder", id: "configuration-folder", what: "the folder of configuration and secrets" },
    ...{ keep: true, path: places.configDir, access: forAgent(0o750) },
  };
  const folders: Step[] = [
    { id: "state-folder", what: "the folder of the readings", path: places.stateDir },
    { id: "logs-folder", what: "the folder of logs", path: places.logsDir },
  ].map((folder) => ({ kind: "folder", keep: true, access: ofAgent(0o750), ...folder }));
  const binary: Step = {
    ...{ kind: "binary", id: "binary", what: "the agent itself", path: places.binary, source },
    access: ofRoot(0o755),
  };
  return { user, configDir, folders, binary };
}

function fileStep({ name, content, secret }: NamedFile): Step {
  const path = `${places.configDir}/${name}`;
  return {
    ...{ kind: "file", id: `file-${name}`, keep: true, path, content },
    what: secret ? `the secret ${name}, for root and the service only` : `the certificates ${name}`,
    // systemd reads secrets as root and hands them to the service
    ...(secret ? { access: ofRoot(0o600), secret: true } : { access: forAgent(0o640) }),
  };
}

function unitText({ credentials, writableDirs }: Wish): string {
  return agentUnit({ credentials, binary: places.binary, configFile: places.config, writableDirs });
}

function serviceStep(startAgainAfter: string[]): Step {
  return {
    ...{ kind: "unit", id: "service", what: "the service, started at every boot and well", name: unitName },
    startAgainAfter,
  };
}
