/** What the tests of `install` and `uninstall` look at: everything on the disk of a container, and where a secret stands. */
import assert from "node:assert/strict";
import type { Container } from "../lab/container.ts";
import { finish, type Finished, succeed } from "../lab/command.ts";

export const carried = "/srv/sensorlog-agent";

/** What changes by itself while a system runs. */
const restless = [
  ...["/var/log", "/var/cache", "/var/tmp", "/var/lib/mosquitto", "/var/lib/systemd", "/run", "/tmp"],
  ...["/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock", "/etc/machine-id"],
];

/** Every name on the disk with type, mode and owner, and for what is ours to change content and time as well. */
export async function listing(root: string, times = false): Promise<string[]> {
  const all = await succeed("find", [root, "-xdev", "-printf", "/%P %y %m %U:%G %l\n"]);
  const kept = restless.filter((one) => !(times && one.startsWith("/var/log")));
  const names = all.split("\n").filter((line) =>
    !kept.some((one) => line.startsWith(`${one}/`) || (line.startsWith(`${one} `) && !one.startsWith("/var")))
  );
  const files = ["-xdev", "-type", "f", "-not", "-name", "*-", "-not", "-name", "machine-id"];
  const where = [`${root}/etc`, `${root}/usr/local`];
  const sums = await succeed("find", [...where, ...files, "-exec", "sha256sum", "{}", "+"]);
  const stamps = times ? await succeed("find", [...where, ...files, "-printf", "%p %i %T@\n"]) : "";
  return [...names, ...sums.split("\n"), ...stamps.split("\n")].map((line) => line.replaceAll(root, ""))
    .sort();
}

/** Two listings are the same; shows what they differ in, not all of them. */
export function assertSame(after: string[], before: string[], what: string): void {
  const [old, now] = [new Set(before), new Set(after)];
  const added = after.filter((line) => !old.has(line));
  const gone = before.filter((line) => !now.has(line));
  assert.deepEqual({ added, gone }, { added: [], gone: [] }, what);
}

/** `install …` or `uninstall …` of the binary that was carried there. */
export async function call(container: Container, args: string[], stdin?: string): Promise<Finished> {
  return await container.finish(carried, args, stdin === undefined ? {} : { stdin });
}

/** The same, which must succeed. */
export async function succeedIn(container: Container, args: string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await call(container, args, stdin);
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}${stderr}`);
  return stdout + stderr;
}

/** Files that hold a secret, on the disk and in memory, and `process list`, `journal`. */
export async function placesOf(container: Container, secret: string): Promise<string[]> {
  const grep = async (program: "here" | "inside", dirs: string[]) => {
    const args = ["-rlaF", "--devices=skip", "--", secret, ...dirs];
    const { stdout } = program === "here" ? await finish("grep", args) : await container.finish("grep", args);
    return stdout.split("\n").filter((line) => line !== "").map((line) => line.replace(container.root, ""));
  };
  const found = [
    ...await grep("here", [container.root]),
    ...await grep("inside", ["/run", "/tmp", "/dev/shm"]),
  ];
  const journal = await container.succeed("journalctl", ["--no-pager", "--output=export"]);
  if (journal.includes(secret)) found.push("journal");
  const script = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'";
  if ((await container.finish("sh", ["-c", script])).stdout.includes(secret)) found.push("process list");
  return found;
}
