/** Where the lab keeps what it fetched and builds, and where the project is. */
import { join } from "node:path";

/** The project's folder, without a slash at its end. */
export const projectDir = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** Whether this process is root: Elasticsearch then runs as another user, who must be able to reach its folders. */
export const isRoot = Deno.uid() === 0;

/** What was fetched and built for the tests; for root a folder that other users can search. */
export const cacheDir = isRoot
  ? "/var/cache/sensorlog-lab"
  : join(Deno.env.get("XDG_CACHE_HOME") ?? join(Deno.env.get("HOME") ?? "/tmp", ".cache"), "sensorlog-lab");

/** The version that `elasticsearch/pom.xml` names. */
export const elasticsearchVersion = "8.19.21";
export const elasticsearchHome = join(cacheDir, "elasticsearch", `elasticsearch-${elasticsearchVersion}`);

/** Debian's JDK 17 of this machine's architecture. */
export const javaHome = `/usr/lib/jvm/java-17-openjdk-${Deno.build.arch === "aarch64" ? "arm64" : "amd64"}`;

/** A new folder under the system's temporary one that other users can pass through; the caller removes it. */
export async function makeLabDir(purpose: string): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: `sensorlog-lab-${purpose}-` });
  await Deno.chmod(dir, 0o711);
  return dir;
}
