/**
 * `deno task lab:install`: everything the tests need beyond Deno. Debian packages (as root or by passwordless sudo) and
 * an Elasticsearch from Maven Central with a small plugin of ours, and a Debian to boot. Says nothing and does nothing when all is there;
 * may run several times at once.
 */
import { join } from "node:path";
import { baseSystem } from "./base_system.ts";
import { succeed } from "./command.ts";
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

/** Installs without starting the services that come with the packages, now or at the next boot. */
const aptScript = `set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
for service in mosquitto tinyproxy; do
  case " $* " in *" $service "*) systemctl disable --quiet "$service" 2>/dev/null || : ;; esac
done
`;

async function runs(program: string, ...args: string[]): Promise<boolean> {
  try {
    const command = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" });
    return (await command.output()).success;
  } catch {
    return false;
  }
}

/** Names of the packages that this machine lacks. */
async function missingPackages(): Promise<string[]> {
  if (!await runs("dpkg-query", "--version")) {
    throw new Error(`this is not Debian or a derivative: bring the like of ${packages.join(" ")} yourself`);
  }
  const missing: string[] = [];
  for (const name of packages) {
    const installed = new Deno.Command("dpkg-query", { args: ["-W", "-f", "${db:Status-Status}", name] });
    const { stdout } = await installed.output();
    if (new TextDecoder().decode(stdout) !== "installed") missing.push(name);
  }
  // pip of any origin will do: `deno task compile` may need it
  if (!await runs("pip3", "--version")) missing.push("python3-pip");
  return missing;
}

async function installPackages(say: Say): Promise<void> {
  const missing = await missingPackages();
  if (missing.length === 0) return;
  const asRoot = isRoot ? [] : ["sudo", "-n"];
  if (!isRoot && !await runs("sudo", "-n", "true")) {
    throw new Error(`install these as root, then try again: apt-get install ${missing.join(" ")}`);
  }
  say(`installing ${missing.join(" ")}`);
  const [program, ...args] = [...asRoot, "sh", "-c", aptScript, "sh", ...missing] as [string, ...string[]];
  await succeed(program, args);
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
  await installPackages(say);
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
