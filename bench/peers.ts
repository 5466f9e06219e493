/** The programs of the peers: rsyslog from Debian's packages, Telegraf built from its published source. */
import { join } from "node:path";
import { finish, succeed } from "../tests/lab/command.ts";
import { installDebian } from "../tests/lab/debian.ts";
import { cacheDir } from "../tests/lab/paths.ts";

const telegrafVersion = "1.37.2";
/** The Go that this version's go.mod asks for. */
const goNeeded = "1.25.5";
/** Only what the bench's configurations name is built in. */
const telegrafTags = [
  "custom",
  "inputs.mqtt_consumer",
  "outputs.elasticsearch",
  "outputs.file",
  "parsers.json_v2",
  "parsers.json",
  "parsers.value",
  "serializers.json",
];

export const rsyslogProgram = "/usr/sbin/rsyslogd";
export const telegrafProgram = join(cacheDir, `telegraf-${telegrafVersion}`);

type Say = (line: string) => void;

export async function prepareRsyslog(say: Say): Promise<void> {
  await installDebian(["rsyslog", "rsyslog-elasticsearch", "mosquitto", "mosquitto-clients"], say);
}

/** Whether version `a` ("1.25.5") is at least `b`. */
export function atLeast(a: string, b: string): boolean {
  const parts = (text: string) => text.split(".").map((part) => parseInt(part, 10) || 0);
  const [have, want] = [parts(a), parts(b)];
  for (let i = 0; i < want.length; i++) {
    if ((have[i] ?? 0) !== want[i]) return (have[i] ?? 0) > want[i]!;
  }
  return true;
}

/** A Go of this machine and its version; undefined when there is none. */
async function installedGo(): Promise<{ path: string; version: string } | undefined> {
  for (const path of ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"]) {
    try {
      const env = { GOTOOLCHAIN: "local" };
      const version = /go version go([\d.]+)/.exec((await finish(path, ["version"], { env })).stdout)?.[1];
      if (version !== undefined) return { path, version };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/**
 * A Go that is new enough, in `dir` when it has to be fetched: an older one brings it as the module `golang.org/toolchain`,
 * from 1.21 on by itself.
 */
async function newEnoughGo(dir: string, env: Record<string, string>, say: Say): Promise<string> {
  if (await installedGo() === undefined) await installDebian(["golang-go"], say);
  const go = await installedGo();
  if (go === undefined) throw new Error("there is no Go");
  if (atLeast(go.version, goNeeded)) return go.path;
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
  const module = `golang.org/toolchain@v0.0.1-go${goNeeded}.linux-${arch}`;
  const json = await succeed(go.path, ["mod", "download", "-json", module], { cwd: dir, env });
  const root = (JSON.parse(json) as { Dir: string }).Dir;
  await succeed("chmod", ["-R", "u+x", join(root, "bin"), join(root, "pkg/tool")]); // a module has no executables
  return join(root, "bin/go");
}

async function buildTelegraf(say: Say): Promise<void> {
  say(`building Telegraf ${telegrafVersion} from source: some 3 minutes`);
  const dir = await Deno.makeTempDir({ dir: cacheDir, prefix: "telegraf-build-" });
  const env: Record<string, string> = {
    GOPATH: dir,
    GOBIN: join(dir, "bin"),
    GOCACHE: join(dir, "cache"),
    GOFLAGS: "-modcacherw -buildvcs=false", // so that the folder can be removed
    GOTOOLCHAIN: "local",
    GOROOT: "",
  };
  try {
    const go = await newEnoughGo(dir, env, say);
    const version = `-X github.com/influxdata/telegraf/internal.Version=${telegrafVersion}`;
    await succeed(go, [
      ...["install", "-trimpath", "-tags", telegrafTags.join(","), "-ldflags", `-s -w ${version}`],
      `github.com/influxdata/telegraf/cmd/telegraf@v${telegrafVersion}`,
    ], { cwd: dir, env });
    await Deno.rename(join(dir, "bin/telegraf"), telegrafProgram);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Why there is no Telegraf here; undefined when there is one, built now or before. */
export async function prepareTelegraf(say: Say): Promise<string | undefined> {
  const there = () => Deno.stat(telegrafProgram).then(() => true, () => false);
  await Deno.mkdir(cacheDir, { recursive: true, mode: 0o755 });
  const lock = await Deno.open(join(cacheDir, "telegraf.lock"), { write: true, create: true });
  try {
    await lock.lock(true); // another bench may be building it
    if (!await there()) await buildTelegraf(say);
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `not built: ${why.split("\n").slice(0, 2).join(" ").slice(0, 200)}`;
  } finally {
    lock.close();
  }
}
