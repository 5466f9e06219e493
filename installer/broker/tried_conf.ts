/** A configuration of Mosquitto as a copy of it is to be tried: other ports, no data, no log file. Pure. */
import { type ConfFiles, confTexts, mainConf, parseConf, type Setting } from "./conf.ts";

export interface TriedFile {
  path: string;
  text: string;
}

export interface Tried {
  files: TriedFile[];
  main: string;
}

/** A bridge would connect under the name of the real one and take its session over. */
const bridgeSettings = new Set([
  ...[
    "connection",
    "address",
    "addresses",
    "cleansession",
    "clientid",
    "keepalive_interval",
    "local_cleansession",
  ],
  ...["local_clientid", "local_password", "local_username", "notification_topic", "notifications", "topic"],
  ...["notifications_local_only", "password", "remote_clientid", "remote_password", "remote_username"],
  ...["restart_timeout", "round_robin", "start_type", "threshold", "try_private", "username"],
]);
/** Only on addresses of this machine that others can't reach, and nothing that the real one needs. */
const leftOut = new Set(["socket_domain", "bind_interface", "log_facility", "persistence_file"]);

/**
 * The files of a configuration, to be written into `dir`. `portOf` gives the port that is used in place of another;
 * `copies` names the copy of a file that the configuration names. Everything else stays, also what would stop Mosquitto.
 */
export function triedConf(
  files: ConfFiles,
  dir: string,
  portOf: (port: number) => number,
  copies: ReadonlyMap<string, string>,
): Tried {
  const [first, ...included] = confTexts(files, mainConf);
  const main = `${dir}/mosquitto.conf`;
  if (first === undefined) return { files: [], main };
  const dirs = [...new Set(included.map(({ file }) => file.slice(0, file.lastIndexOf("/"))))];
  const copyOf = (path: string) => `${dir}/included${dirs.indexOf(path.replace(/\/+$/, ""))}`;
  const rewritten = ({ file, text }: { file: string; text: string }) =>
    parseConf(file, text).flatMap((setting) => lineOf(setting, dir, portOf, copies, copyOf));
  const extra = ["log_dest stderr", "persistence false", ...rewritten(first)];
  return {
    main,
    files: [
      { path: main, text: extra.join("\n") + "\n" },
      ...included.map(({ file, text }) => {
        const at = file.lastIndexOf("/");
        const lines = rewritten({ file, text });
        return { path: `${copyOf(file.slice(0, at))}${file.slice(at)}`, text: lines.join("\n") + "\n" };
      }),
    ],
  };
}

function lineOf(
  { name, value }: Setting,
  dir: string,
  portOf: (port: number) => number,
  copies: ReadonlyMap<string, string>,
  copyOf: (dir: string) => string,
): string[] {
  if (leftOut.has(name) || bridgeSettings.has(name) || name.startsWith("bridge_")) return [];
  switch (name) {
    case "listener": {
      const port = Number(value.split(/\s+/)[0]);
      return port > 0 ? [`listener ${portOf(port)} 127.0.0.1`] : [];
    }
    case "port":
      return [`port ${portOf(Number(value))}`];
    case "bind_address":
      return ["bind_address 127.0.0.1"];
    case "persistence":
      return ["persistence false"];
    // kept, because naming one twice stops Mosquitto
    case "persistence_location":
      return [`persistence_location ${dir}/`];
    case "pid_file":
      return [`pid_file ${dir}/pid`];
    case "log_dest":
      return [];
    case "include_dir":
      return copyOf(value).endsWith("-1") ? [] : [`include_dir ${copyOf(value)}`];
    default:
      return [`${name} ${copies.get(value) ?? value}`.trimEnd()];
  }
}
