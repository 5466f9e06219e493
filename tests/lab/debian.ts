/** Debian packages: which are missing, and their installation as root or by passwordless sudo. */
import { finish, succeed } from "./command.ts";
import { isRoot } from "./paths.ts";

/** Installs without starting the services that come with the packages, now or at the next boot. */
const script = `set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
for service in mosquitto rsyslog tinyproxy; do
  case " $* " in *" $service "*) systemctl disable --quiet "$service" 2>/dev/null || : ;; esac
done
`;

/** Names of those that this machine lacks. */
async function missingOf(names: string[]): Promise<string[]> {
  const missing: string[] = [];
  try {
    for (const name of names) {
      const { stdout } = await finish("dpkg-query", ["-W", "-f", "${db:Status-Status}", name]);
      if (stdout !== "installed") missing.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`this is not Debian or a derivative: bring the like of ${names.join(" ")} yourself`);
  }
  return missing;
}

/** Brings those that are missing; throws an error that says what to install when it can't. */
export async function installDebian(names: string[], say: (line: string) => void): Promise<void> {
  const missing = await missingOf(names);
  if (missing.length === 0) return;
  const asRoot = isRoot ? [] : ["sudo", "-n"];
  if (!isRoot && (await finish("sudo", ["-n", "true"]).catch(() => undefined))?.code !== 0) {
    throw new Error(`install these as root, then try again: apt-get install ${missing.join(" ")}`);
  }
  say(`installing ${missing.join(" ")}`);
  const [program, ...args] = [...asRoot, "sh", "-c", script, "sh", ...missing] as [string, ...string[]];
  await succeed(program, args);
}
