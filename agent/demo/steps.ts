/** What a reader can type in a second terminal while the demo runs, as this program itself was started. */
import { basename, delimiter, dirname, join, relative } from "node:path";

export interface Step {
  command: string;
  /** What it does, in a few words. */
  what: string;
}

/** How this process came to be, and what else there is to start. */
export interface Surroundings {
  /** Of the program that runs: the compiled agent, or Deno. */
  execPath: string;
  denoVersion: string;
  cwd: string;
  /** Whether a program stands at a path. */
  isThere(path: string): boolean;
  /** Folders of $PATH. */
  path: string[];
}

export function thisProcess(): Surroundings {
  return {
    execPath: Deno.execPath(),
    denoVersion: Deno.version.deno,
    cwd: Deno.cwd(),
    isThere(path) {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    },
    path: (Deno.env.get("PATH") ?? "").split(delimiter).filter((folder) => folder !== ""),
  };
}

/** The first one publishes; the others ask the agent whose configuration is `configFile`. */
export function stepsFor(url: string, configFile: string, here: Surroundings): Step[] {
  const agent = agentCommand(here);
  const { hostname, port } = new URL(url);
  const client = isInstalled("mosquitto_pub", here) ? "mosquitto_pub" : "npx --yes mqtt pub";
  const config = `--config ${quoted(configFile)}`;
  return [
    {
      command: `${client} -h ${hostname} -p ${port} -q 1 -t my/desk -m 21.5`,
      what: "a reading of your own: it shows up here",
    },
    { command: `${agent} status ${config}`, what: "what the agent says of itself" },
    { command: `${agent} tail ${config}`, what: "readings as they come" },
    { command: `${agent} export ${config}`, what: "the store as CSV" },
  ];
}

/** What stands for `sensorlog-agent` on a command line here. */
function agentCommand(here: Surroundings): string {
  const { execPath, denoVersion, cwd } = here;
  if (!/^deno/.test(basename(execPath))) {
    return isInstalled(basename(execPath), here, execPath)
      ? basename(execPath)
      : quoted(shorter(execPath, cwd));
  }
  // what npx has put on the path for this run is not there for the next command
  const own = execPath.includes("/node_modules/") ? false : isInstalled("deno", here, execPath);
  return `${own ? "deno" : `npx deno@${denoVersion}`} task agent`;
}

/** Whether a command of this name is on the path; the one at `place` when that is given. */
function isInstalled(name: string, { path, isThere }: Surroundings, place?: string): boolean {
  const folder = path.find((one) => isThere(join(one, name)));
  return folder !== undefined && (place === undefined || folder === dirname(place));
}

/** Relative to the folder where the reader is, when it lies in it. */
function shorter(path: string, cwd: string): string {
  const inside = relative(cwd, path);
  return inside.startsWith("..") ? path : `./${inside}`;
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
