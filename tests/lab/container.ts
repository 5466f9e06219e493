/**
 * A Debian of its own with a booted systemd, as a fresh Raspberry Pi OS has it: systemd-nspawn over a copy of a base
 * system that is made once. A pair of virtual interfaces connects it with this machine and with nothing else.
 */
import { basename, join } from "node:path";
import { baseSystem } from "./base_system.ts";
import { finish, type Finished, succeed } from "./command.ts";
import { isRoot, makeLabDir } from "./paths.ts";
import { Running } from "./process.ts";
import { waitUntil } from "./wait.ts";

/** How long a boot may take on a busy machine. */
const bootMs = 90_000;
/** How many containers there can be at a time: each has four addresses of 192.0.2.0/24. */
const networks = 64;

/** Two systemd in one control group would end each other's services. */
const inOwnCgroup = `name=$1; shift
for top in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  [ -e "$top/cgroup.procs" ] || continue
  mkdir -p "$top/$name" && echo $$ > "$top/$name/cgroup.procs"
done
exec "$@"
`;

/** `await using` kills it and removes its folder. */
export class Container implements AsyncDisposable {
  #nspawn: Running | undefined;
  #pid = 0;
  /** Of its pair of interfaces; stays the same over its boots. */
  #network: number | undefined;

  private constructor(private readonly dir: string) {}

  /** A fresh system that has not been booted. Throws when this process is not root. */
  static async create(): Promise<Container> {
    if (!isRoot) throw new Error("tests on a booted systemd must run as root: sudo deno task test");
    const base = await baseSystem();
    const dir = await makeLabDir("container");
    await Deno.chmod(dir, 0o755);
    await succeed("cp", ["-a", "--reflink=auto", base, join(dir, "root")]);
    return new Container(dir);
  }

  /** Its root folder as this machine sees it. */
  get root(): string {
    return join(this.dir, "root");
  }

  /** Process id of its systemd on this machine. */
  get pid(): number {
    if (this.#pid === 0) throw new Error("this container is not booted");
    return this.#pid;
  }

  /** This machine's address as the container sees it: the same over all boots, there while it is booted. */
  get hostAddress(): string {
    if (this.#network === undefined) throw new Error("this container was never booted");
    return addressesOf(this.#network).host;
  }

  /** Boots, or boots again after `powerOff` or `kill`; returns when systemd has started everything. */
  async boot(): Promise<void> {
    // a process namespace around nspawn: what it started would outlive it otherwise
    const nspawn = new Running("sh", [
      ...["-c", inOwnCgroup, "sh", basename(this.dir)],
      ...["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "systemd-nspawn"],
      ...["--quiet", "--directory", this.root, "--boot", "--register=no", "--keep-unit", "--private-network"],
      ...["--machine", "pi", "--resolv-conf=off", "--timezone=off", "--console=pipe"],
    ]);
    this.#nspawn = nspawn;
    const explain = () => nspawn.stdout.text.slice(-4_000) + nspawn.stderr.text;
    this.#pid = await waitUntil(() => systemdBelow(nspawn.pid), bootMs, "systemd in the container", {
      explain,
    });
    await this.#connect();
    await waitUntil(
      async () => {
        const { stdout } = await this.finish("systemctl", ["is-system-running"]);
        return /^(running|degraded)$/.test(stdout.trim());
      },
      bootMs,
      "a booted system",
      { explain, everyMs: 200 },
    );
  }

  /** Runs a program inside, as root, and returns exit code and output. `env` is added to an environment as of a login. */
  async finish(
    program: string,
    args: string[] = [],
    options: { env?: Record<string, string>; stdin?: string } = {},
  ): Promise<Finished> {
    return await finish("nsenter", this.command(program, args, options.env), {
      ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
    });
  }

  /** Like `finish`, but throws when the program fails; returns its standard output. */
  async succeed(
    program: string,
    args: string[] = [],
    options: { env?: Record<string, string>; stdin?: string } = {},
  ): Promise<string> {
    return await succeed("nsenter", this.command(program, args, options.env), {
      ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
    });
  }

  /** What `nsenter` is given to run a program inside: for those that go on beside the test. */
  command(program: string, args: string[] = [], env: Record<string, string> = {}): string[] {
    const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const variables = Object.entries({ HOME: "/root", LANG: "C.UTF-8", ...env }).map(([key, value]) =>
      `${key}=${value}`
    );
    return ["-t", String(this.pid), "-a", "env", "-i", path, ...variables, program, ...args];
  }

  /** Copies a file of this machine into it. */
  async copyIn(file: string, inside: string, mode = 0o644): Promise<void> {
    const to = join(this.root, inside);
    await Deno.mkdir(join(to, ".."), { recursive: true });
    await Deno.copyFile(file, to);
    await Deno.chmod(to, mode);
  }

  /** What a unit has logged, oldest first. */
  async journal(unit: string): Promise<string> {
    return await this.succeed("journalctl", ["--no-pager", "--output=cat", "--unit", unit]);
  }

  /** Ends it as `poweroff` does. */
  async powerOff(): Promise<void> {
    await succeed("kill", ["-s", "RTMIN+4", String(this.pid)]);
    const nspawn = this.#nspawn!;
    const timer = setTimeout(() => nspawn.signal("SIGKILL"), bootMs);
    await nspawn.exit;
    clearTimeout(timer);
    await this.#forget();
  }

  /** Ends it as pulling the plug does: every process at once. (What the kernel holds of files stays.) */
  async kill(): Promise<void> {
    if (this.#nspawn === undefined) return;
    this.#nspawn.signal("SIGKILL");
    await this.#nspawn.exit;
    await this.#forget();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await finish("rm", ["-rf", "--one-file-system", this.dir]);
    const groups = ["", "systemd/", "unified/"].map((top) => `/sys/fs/cgroup/${top}${basename(this.dir)}`);
    await finish("find", [...groups, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
  }

  async #forget(): Promise<void> {
    this.#nspawn = undefined;
    this.#pid = 0;
    // it goes with the container's network, a moment later
    await finish("ip", ["link", "delete", `lab${this.#network}`]);
  }

  /** A pair of interfaces between this machine and the container's network, which each boot makes anew. */
  async #connect(): Promise<void> {
    const first = Math.floor(Math.random() * networks);
    const numbers = this.#network === undefined
      ? Array.from({ length: networks }, (_, n) => (first + n) % networks)
      : [this.#network];
    for (const number of numbers) {
      const here = `lab${number}`;
      const { host, inside } = addressesOf(number);
      const peer = ["peer", "name", "host0", "netns", String(this.#pid)];
      const made = await finish("ip", ["link", "add", here, "type", "veth", ...peer]);
      if (/File exists/.test(made.stderr)) continue;
      if (made.code !== 0) throw new Error(`no network for the container: ${made.stderr.trim()}`);
      this.#network = number;
      await succeed("ip", ["address", "add", `${host}/30`, "dev", here]);
      await succeed("ip", ["link", "set", here, "up"]);
      const ip = ["-t", String(this.#pid), "-n", "ip"];
      await succeed("nsenter", [...ip, "address", "add", `${inside}/30`, "dev", "host0"]);
      await succeed("nsenter", [...ip, "link", "set", "host0", "up"]);
      return;
    }
    throw new Error("no network for the container: all addresses are in use");
  }
}

/** Addresses of the two ends, from 192.0.2.0/24 (RFC 5737). */
function addressesOf(network: number): { host: string; inside: string } {
  return { host: `192.0.2.${4 * network + 1}`, inside: `192.0.2.${4 * network + 2}` };
}

/** The systemd that `unshare` and nspawn have made, or undefined. */
async function systemdBelow(pid: number): Promise<number | undefined> {
  for (const nspawn of await childrenOf(pid)) {
    for (const child of await childrenOf(nspawn)) {
      const name = await Deno.readTextFile(`/proc/${child}/comm`).catch(() => "");
      if (name.trim() === "systemd") return child;
    }
  }
  return undefined;
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
  return children.split(" ").filter((child) => child !== "").map(Number);
}
