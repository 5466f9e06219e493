/** A machine in memory for the installer: killed at the n-th change, or failing at it, which a real one can't be made to do. */
import { dirname } from "node:path";
import type { Finished, Found, Machine, NumericAccess } from "../../installer/machine.ts";

type Entry =
  & NumericAccess
  & ({ type: "file"; content: Uint8Array } | { type: "folder" } | { type: "link"; target: string });

/** The process is gone; what it has changed is there. */
export class Killed extends Error {}

const root: NumericAccess = { mode: 0o755, uid: 0, gid: 0 };
const encode = (text: string) => new TextEncoder().encode(text);

export class FakeMachine implements Machine {
  readonly entries = new Map<string, Entry>();
  /** Files of the machine that the installer runs on. */
  readonly sources = new Map<string, string>();
  /** Every change, in order. */
  readonly changes: string[] = [];
  /** Programs that are installed packages, or that `run` was asked for. */
  readonly packages = new Set<string>();
  readonly started: string[] = [];
  active = new Set<string>();
  /** TCP ports at which somebody listens, by the service that opens them when it is started. */
  readonly ports = new Map<string, number>();
  /** At the n-th change from now: "kill" ends it right after, "before" right before, an error fails it. */
  trap: { at: number; how: "kill" | "before" | Error } | undefined;

  constructor(readonly live = true) {
    for (const dir of ["/", "/etc", "/etc/systemd/system", "/usr/local/bin", "/var/lib", "/var/log"]) {
      this.entries.set(dir, { type: "folder", ...root });
    }
    this.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    this.put("/etc/group", "root:x:0:\nusers:x:100:pi\n");
    this.put("/etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640);
  }

  put(path: string, text: string, mode = 0o644): void {
    this.entries.set(path, { type: "file", content: encode(text), ...root, mode });
  }

  text(path: string): string | undefined {
    const content = this.read(path);
    return content === undefined ? undefined : new TextDecoder().decode(content);
  }

  /** Everything that is there, to be compared. */
  listing(): string[] {
    return [...this.entries].map(([path, entry]) => {
      const what = entry.type === "file"
        ? new TextDecoder().decode(entry.content)
        : entry.type === "link"
        ? entry.target
        : "";
      return `${path} ${entry.type} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${what}`;
    }).sort();
  }

  look(path: string): Found | undefined {
    const entry = this.entries.get(path);
    if (entry === undefined) return undefined;
    const { type, mode, uid, gid } = entry;
    return { type, mode, uid, gid, sizeBytes: type === "file" ? entry.content.length : 0 };
  }

  read(path: string): Uint8Array | undefined {
    const entry = this.entries.get(path);
    if (entry?.type === "link") return this.read(entry.target);
    return entry?.type === "file" ? entry.content : undefined;
  }

  linkTarget(path: string): string | undefined {
    const entry = this.entries.get(path);
    return entry?.type === "link" ? entry.target : undefined;
  }

  list(path: string): string[] | undefined {
    if (this.entries.get(path)?.type !== "folder") return undefined;
    return [...this.entries.keys()].filter((one) => dirname(one) === path && one !== path)
      .map((one) => one.slice(one.lastIndexOf("/") + 1));
  }

  listens(port: number): boolean {
    return [...this.ports].some(([service, opened]) => opened === port && this.active.has(service));
  }

  isCopy(path: string, source: string): Promise<boolean> {
    return Promise.resolve(this.text(path) === this.sources.get(source));
  }

  write(path: string, content: Uint8Array, access: NumericAccess): Promise<void> {
    return this.#change(`write ${path}`, () => {
      if (this.entries.get(dirname(path))?.type !== "folder") throw new Error(`${path}: no such folder`);
      this.entries.set(path, { type: "file", content, ...access });
    });
  }

  copy(source: string, path: string, access: NumericAccess): Promise<void> {
    return this.write(path, encode(this.sources.get(source)!), access);
  }

  makeFolder(path: string, access: NumericAccess): Promise<void> {
    return this.#change(`folder ${path}`, () => this.entries.set(path, { type: "folder", ...access }));
  }

  setAccess(path: string, access: NumericAccess): Promise<void> {
    return this.#change(`access ${path}`, () => Object.assign(this.entries.get(path)!, access));
  }

  link(path: string, target: string): Promise<void> {
    return this.#change(`link ${path}`, () => {
      if (!this.entries.has(dirname(path))) this.entries.set(dirname(path), { type: "folder", ...root });
      this.entries.set(path, { type: "link", target, ...root });
    });
  }

  async remove(path: string): Promise<void> {
    if (!this.entries.has(path)) return;
    await this.#change(`remove ${path}`, () => {
      for (const one of [...this.entries.keys()]) {
        if (one === path || one.startsWith(`${path}/`)) this.entries.delete(one);
      }
    });
  }

  async removeEmpty(path: string): Promise<void> {
    if (!this.entries.has(path) || [...this.entries.keys()].some((one) => dirname(one) === path)) return;
    await this.#change(`remove ${path}`, () => this.entries.delete(path));
  }

  async run(program: string, args: string[]): Promise<Finished> {
    if (!this.live) throw new Error("nothing is run for an image");
    const well = { code: 0, stdout: "", stderr: "" };
    const name = args.at(-1)!;
    switch (`${program} ${args[0]}`) {
      case "systemctl show": {
        const state = this.active.has(args[1]!) ? "active" : "inactive";
        return { ...well, stdout: `ActiveState=${state}\nNeedDaemonReload=no\n` };
      }
      case "systemctl enable":
        await this.link(`/etc/systemd/system/multi-user.target.wants/${name}`, `/lib/systemd/system/${name}`);
        return well;
      case "systemctl restart":
        await this.start(name);
        return well;
      case "systemctl reload":
        await this.#change(`reload ${name}`, () => {});
        return well;
      case "systemctl stop":
        await this.#change(`stop ${name}`, () => this.active.delete(name));
        return well;
      case "groupadd --system":
        await this.#append("/etc/group", `${name}:x:990:`);
        return well;
      case "useradd --system":
        await this.#append("/etc/passwd", `${name}:x:991:990:${args[args.indexOf("--comment") + 1]}:/x:/y`);
        return well;
      case `userdel ${name}`:
      case `groupdel ${name}`: {
        const path = program === "userdel" ? "/etc/passwd" : "/etc/group";
        const left = this.text(path)!.split("\n").filter((line) => !line.startsWith(`${name}:`)).join("\n");
        await this.#change(`${program} ${name}`, () => this.put(path, left));
        return well;
      }
      case "dpkg-query -W":
        return { ...well, stdout: this.packages.has(name) ? "installed" : "", code: 0 };
      case "apt-get install":
        await this.#change(`package ${name}`, () => this.packages.add(name));
        return well;
      case "test -e":
        return { ...well, code: this.entries.has(name) ? 0 : 1 };
      case "test !":
        return { ...well, code: this.entries.has(name) ? 1 : 0 };
      case `touch ${name}`:
        await this.#change(`touch ${name}`, () => this.put(name, ""));
        return well;
      case `rm ${name}`:
      case "rm -f":
        await this.remove(name);
        return well;
      default:
        return well;
    }
  }

  start(unit: string): Promise<void> {
    return this.#change(`start ${unit}`, () => {
      this.started.push(unit);
      this.active.add(unit);
    });
  }

  #append(path: string, line: string): Promise<void> {
    return this.#change(`append ${path}`, () => this.put(path, `${this.text(path)}${line}\n`));
  }

  // deno-lint-ignore require-await
  async #change(what: string, make: () => void): Promise<void> {
    const now = this.trap !== undefined && --this.trap.at === 0 ? this.trap.how : undefined;
    if (now === "before") throw new Killed(what);
    if (now instanceof Error) throw now;
    this.changes.push(what);
    make();
    if (now === "kill") throw new Killed(what);
  }
}
