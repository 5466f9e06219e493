/** The demo's folder: configuration, spool and store, for as long as it runs. */
import { join } from "node:path";

const prefix = "sensorlog-demo-";

/** Makes a folder that only this user can enter, and removes those of demos that were killed. */
export function makePlace(): string {
  const top = Deno.env.get("TMPDIR") ?? "/tmp";
  for (const entry of Deno.readDirSync(top)) {
    if (entry.isDirectory && entry.name.startsWith(prefix)) removeIfLeft(join(top, entry.name));
  }
  const dir = Deno.makeTempDirSync({ dir: top, prefix });
  Deno.writeTextFileSync(join(dir, "pid"), `${Deno.pid} ${startOf(Deno.pid)}\n`);
  return dir;
}

/** The configuration that the other commands find the demo by. */
export function writeConfiguration(dir: string): string {
  const file = join(dir, "agent.yaml");
  const text = `# Of a demo that runs; it goes with it.
plant: demo
mqtt: { listen: "127.0.0.1:0" } # a free port
spool: { dir: "${join(dir, "spool")}", max_size: 64MiB, min_free: 1MiB }
outputs:
  here: { type: local, dir: "${join(dir, "store")}", max_size: 64MiB }
`;
  Deno.writeTextFileSync(file, text, { mode: 0o600 });
  return file;
}

/** A folder of this user's whose process is gone. Anything else is left alone. */
function removeIfLeft(dir: string): void {
  try {
    if (Deno.lstatSync(dir).uid !== Deno.uid()) return;
    const [pid, start] = Deno.readTextFileSync(join(dir, "pid")).trim().split(" ");
    if (startOf(Number(pid)) === start) return;
    Deno.removeSync(dir, { recursive: true });
  } catch {
    // another demo is just making or removing it
  }
}

/** When a process began, in the kernel's ticks: with its id it names a process for ever. Empty: there is none. */
function startOf(pid: number): string {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
