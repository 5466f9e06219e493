/** Debian packages that the base system of the containers lacks: fetched once, kept in the lab's cache, unpacked inside. */
import { join } from "node:path";
import { baseSystem } from "../../lab/base_system.ts";
import { succeed } from "../../lab/command.ts";
import type { Container } from "../../lab/container.ts";
import { exclusively } from "../../lab/exclusively.ts";
import { cacheDir } from "../../lab/paths.ts";

const names = ["cron", "apache2-utils"];

/** Installs cron, and rotatelogs of the Apache tools. */
export async function installPackages(container: Container): Promise<void> {
  const dir = await fetched();
  const debs = [...Deno.readDirSync(dir)].map(({ name }) => name).filter((name) => name.endsWith(".deb"));
  for (const name of debs) await container.copyIn(join(dir, name), `/srv/debs/${name}`);
  await container.succeed("sh", [
    "-c",
    "apt-get -qq --yes install /srv/debs/*.deb && rm -r /srv/debs && systemctl start cron",
  ]);
}

/** What these packages need beside the base system. */
async function fetched(): Promise<string> {
  const base = await baseSystem();
  const dir = join(cacheDir, "original-debs");
  const marker = join(dir, "ready");
  const isReady = async () => await Deno.readTextFile(marker).catch(() => "") === names.join(" ");
  if (await isReady()) return dir;
  await exclusively(`${dir}.lock`, async () => {
    if (await isReady()) return;
    await Deno.mkdir(join(dir, "partial"), { recursive: true });
    await succeed("apt-get", ["-qq", "update"]);
    await succeed("apt-get", [
      ...["-qq", "--yes", "--download-only", "--no-install-recommends"],
      ...["-o", `Dir::State::status=${base}/var/lib/dpkg/status`, "-o", `Dir::Cache::archives=${dir}`],
      ...["install", ...names],
    ]);
    await Deno.writeTextFile(marker, names.join(" "));
  });
  return dir;
}
