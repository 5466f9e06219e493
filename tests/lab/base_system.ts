/** The Debian that every test container is a copy of: made once, kept in the lab's cache. */
import { join } from "node:path";
import { succeed } from "./command.ts";
import { exclusively } from "./exclusively.ts";
import { cacheDir } from "./paths.ts";

/** LAB_DEBIAN names another release, such as trixie. */
const release = Deno.env.get("LAB_DEBIAN") ?? "bookworm";
/** As little as a Raspberry Pi OS Lite has of what the agent meets, and the broker. */
const packages = [
  ...["systemd", "systemd-sysv", "dbus", "udev", "iproute2", "ca-certificates", "procps"],
  ...["mosquitto", "mosquitto-clients"],
];
/** Changes with every change of how it is made. */
const recipe = `2 ${release} ${packages.join(" ")}`;

/** The folder of the base system; made when it is missing, which takes a minute. As root only. */
export async function baseSystem(say: (line: string) => void = () => {}): Promise<string> {
  const dir = join(cacheDir, `debian-${release}`);
  const marker = `${dir}.ready`;
  const ready = async () => await Deno.readTextFile(marker).catch(() => "") === recipe;
  if (await ready()) return dir;
  await Deno.mkdir(cacheDir, { recursive: true, mode: 0o755 });
  await exclusively(`${dir}.lock`, async () => {
    if (await ready()) return;
    say(`making a Debian ${release} for the tests on a booted systemd`);
    await succeed("rm", ["-rf", "--one-file-system", dir]);
    await succeed("debootstrap", ["--variant=minbase", `--include=${packages.join(",")}`, release, dir]);
    await succeed("rm", ["-rf", join(dir, "var/cache/apt/archives"), join(dir, "var/lib/apt/lists")]);
    await Deno.writeTextFile(join(dir, "etc/hostname"), "pi\n");
    await Deno.writeTextFile(join(dir, "etc/hosts"), "127.0.0.1 localhost pi\n::1 localhost\n");
    // filled at its first boot, as on an image: each container is a machine of its own
    await Deno.writeTextFile(join(dir, "etc/machine-id"), "");
    await Deno.writeTextFile(marker, recipe);
  });
  return dir;
}
