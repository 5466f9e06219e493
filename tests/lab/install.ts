/**
 * `deno task lab:install`: everything the tests need beyond Deno. Debian packages (as root or by passwordless sudo),
 * an Elasticsearch from Maven Central with a small plugin of ours, and a Debian to boot. Says nothing and does nothing when
 * all is there; may run several times at once.
 */
import { join } from "node:path";
import { baseSystem } from "./base_system.ts";
import { finish, succeed } from "./command.ts";
import { installDebian } from "./debian.ts";
import { exclusively } from "./exclusively.ts";
import { cacheDir, elasticsearchHome, elasticsearchVersion, isRoot, javaHome, projectDir } from "./paths.ts";

const packages = [
  "mosquitto",
  "mosquitto-clients",
  "openjdk-17-jdk-headless",
  "maven",
  "curl",
  "openssl",
  "gcc",
  "libc6-dev",
  "qemu-user",
  "qemu-user-static",
  "libc6-arm64-cross",
  "libgcc-s1-arm64-cross",
  "tinyproxy",
  "zsh",
  "fish",
  "debootstrap",
  "systemd-container",
];

type Say = (line: string) => void;

/** pip of any origin will do: `deno task compile` may need it. */
async function hasPip(): Promise<boolean> {
  return await finish("pip3", ["--version"]).then(({ code }) => code === 0, () => false);
}

async function fingerprint(...paths: string[]): Promise<string> {
  const parts = await Promise.all(paths.map((path) => Deno.readTextFile(path)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(parts.join("\0")));
  return new Uint8Array(digest).slice(0, 8).toHex();
}

/** Unpacks Elasticsearch and builds its plugin, unless a marker says that just this was done. */
async function prepareElasticsearch(say: Say): Promise<void> {
  const source = join(projectDir, "tests/lab/elasticsearch");
  const marker = join(cacheDir, "elasticsearch.ready");
  const wanted = await fingerprint(
    join(source, "pom.xml"),
    join(source, "build.sh"),
    join(source, "src/LabExtras.java"),
  );
  const ready = async () => await Deno.readTextFile(marker).catch(() => "") === wanted;
  if (await ready()) return;
  await Deno.mkdir(cacheDir, { recursive: true, mode: 0o755 });
  await exclusively(join(cacheDir, "lock"), async () => {
    if (await ready()) return;
    say(`fetching Elasticsearch ${elasticsearchVersion} and building its test plugin`);
    const home = join(cacheDir, "elasticsearch");
    await Deno.remove(home, { recursive: true }).catch(() => {});
    const env = { JAVA_HOME: javaHome, PATH: `${javaHome}/bin:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}` };
    await succeed("mvn", [
      "-q",
      "-B",
      "-f",
      join(source, "pom.xml"),
      `-Des.dir=${home}`,
      "generate-resources",
    ], {
      env,
    });
    await succeed(join(source, "build.sh"), [elasticsearchHome], { env });
    await Deno.writeTextFile(marker, wanted);
  });
}

/** Brings everything, telling what takes long. Throws an error of one line that says what to do when it can't. */
export async function install(say: Say): Promise<void> {
  await installDebian(await hasPip() ? packages : [...packages, "python3-pip"], say);
  await prepareElasticsearch(say);
  if (isRoot) await baseSystem(say); // without root the tests on a booted systemd say what they need
}

if (import.meta.main) {
  Deno.umask(0o022); // another user runs Elasticsearch
  try {
    await install((line) => console.log(line));
  } catch (error) {
    console.error(`lab:install: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
