/**
 * Another binary in place of the installed one, and back again when it is not well. At every moment a whole binary
 * stands under the installed name; while a new one is on trial the old one stands beside it as `NAME.previous`.
 */
import { dirname } from "node:path";
import { OperationError, reasonOf } from "../agent/base/errors.ts";
import { elfOf } from "./facts.ts";
import { kill, lastLines, restart, type Service, unhealthy } from "./service.ts";

/** What `version --json` says. */
export interface BinaryFacts {
  version: string;
  commit: string;
  /** `MAJOR.MINOR` of the segments that it writes. */
  spool_format?: string;
}

export interface Upgrade {
  /** The new binary. */
  file: string;
  /** The installed one. */
  binary: string;
  configFile: string;
  service: Service;
  /** One line of progress. */
  say(line: string): Promise<void>;
}

const operation = "upgrade the agent";
const answerMs = 20_000;
const checkMs = 120_000;
const healthyMs = 60_000;
const leastBytes = 1024 * 1024;

/**
 * Tries the new binary, puts it in place, restarts the service and waits until it is well. Returns whether anything was
 * changed. Throws OperationError: refused before anything was changed, or the old binary is back, and the message says which.
 */
export async function upgrade(wish: Upgrade): Promise<boolean> {
  const { binary, say, service } = wish;
  const candidate = `${binary}.new`;
  const previous = `${binary}.previous`;
  await settleEarlier(wish, previous);
  try {
    await copyBinary(wish.file, candidate);
    const [now, next] = [await factsOf(service, binary), await factsOf(service, candidate)];
    if ((await service.run("cmp", ["--silent", binary, candidate])).code === 0) {
      await say(`${shown(next)} is installed already: nothing to do`);
      return false;
    }
    await say(`from ${shown(now)} to ${shown(next)}`);
    await checkWith(wish, candidate);
    await assertSpoolReadable(wish, now, next);
    await replaceFile(previous, () => Deno.link(binary, previous));
    await Deno.rename(candidate, binary);
    await syncFolder(dirname(binary));
    await say("the new binary is in place; the service starts again");
    await tryOut(wish, previous, `${next.version}+${next.commit}`);
    return true;
  } finally {
    await Deno.remove(candidate).catch(() => {}); // there only when it was refused
  }
}

/** An earlier upgrade that was killed while the new binary was on trial: the trial is finished first. */
async function settleEarlier(wish: Upgrade, previous: string): Promise<void> {
  if (!await exists(previous)) return;
  await wish.say("an earlier upgrade was interrupted: looking whether its binary is well");
  await restart(wish.service);
  await tryOut(wish, previous, undefined);
}

async function tryOut(wish: Upgrade, previous: string, version: string | undefined): Promise<void> {
  const { service, binary, say } = wish;
  let why: string | undefined;
  try {
    await restart(service);
    why = await unhealthy(service, healthyMs, version);
  } catch (error) {
    why = reasonOf(error);
  }
  if (why === undefined) {
    await Deno.remove(previous);
    return;
  }
  const log = await lastLines(service, 5);
  await say("the new binary is not well; the old one comes back");
  await Deno.rename(previous, binary);
  await syncFolder(dirname(binary));
  await kill(service);
  await restart(service);
  const stillNot = await unhealthy(service, healthyMs);
  throw new OperationError({
    operation,
    place: wish.file,
    cause: `within ${healthyMs / 1_000} s it was not well: ${why}${log === "" ? "" : `; it logged: ${log}`}`,
    remedy: stillNot === undefined
      ? "the old binary is back and runs, and nothing is lost; show this to whoever made the new one"
      : `the old binary is back, but it is not well either (${stillNot}): systemctl status sensorlog-agent`,
  });
}

/** Copies the file to where it is to be run from, whole and on disk, after a look at what it is. */
async function copyBinary(file: string, candidate: string): Promise<void> {
  const refuse = (cause: string, remedy: string) =>
    new OperationError({ operation, place: file, cause, remedy });
  const arch = Deno.build.arch;
  const right = `take sensorlog-agent-${arch}-unknown-linux-gnu`;
  let source: Deno.FsFile;
  try {
    source = await Deno.open(file);
  } catch (error) {
    throw refuse(`it can't be read (${reasonOf(error)})`, "name the file of the new binary");
  }
  using _ = source;
  const { isFile, size } = await source.stat();
  if (!isFile) throw refuse("it is no regular file", right);
  const head = new Uint8Array(20);
  const made = elfOf(head.subarray(0, await source.read(head) ?? 0));
  if (made?.bits !== 64) throw refuse("it is no program for a 64-bit Linux", right);
  if (made.arch !== arch) throw refuse(`it is for ${made.arch}, and this machine is ${arch}`, right);
  if (size < leastBytes) throw refuse(`it has ${size} bytes only: it was cut short`, "copy it again");
  await source.seek(0, Deno.SeekMode.Start);
  await Deno.remove(candidate).catch(() => {});
  try {
    using target = await Deno.open(candidate, { write: true, createNew: true, mode: 0o755 });
    await source.readable.pipeTo(target.writable, { preventClose: true });
    await target.sync();
    await Deno.chmod(candidate, 0o755); // whatever the umask is
  } catch (error) {
    throw new OperationError({
      operation,
      place: candidate,
      cause: reasonOf(error),
      remedy: "make room there, then try again; nothing was changed",
      from: error,
    });
  }
}

async function factsOf(service: Service, binary: string): Promise<BinaryFacts> {
  const { code, stdout, stderr } = await service.run(binary, ["version", "--json"], answerMs);
  try {
    if (code !== 0) throw new Error(`it ended with ${code}`);
    const facts = JSON.parse(stdout) as BinaryFacts;
    if (typeof facts.version !== "string" || typeof facts.commit !== "string") throw new Error("no version");
    return facts;
  } catch (error) {
    const why = code === 124
      ? "it gives no answer"
      : `it does not say its version (${reasonOf(error)}) ${stderr.trim().slice(0, 300)}`;
    throw new OperationError({
      operation,
      place: binary,
      cause: `${why.trim()}: it is damaged, cut short, or no sensorlog-agent`,
      remedy: "compare its SHA-256 with SHA256SUMS and copy it again; nothing was changed",
    });
  }
}

/** A configuration that the new version does not take is a reason against it; a broker that is away today is none. */
async function checkWith(wish: Upgrade, candidate: string): Promise<void> {
  const args = ["check", "--config", wish.configFile];
  const { code, stdout, stderr } = await wish.service.run(candidate, args, checkMs);
  if (code === 0) return await wish.say("its check of this machine finds everything well");
  if (code === 1) {
    await wish.say("its check finds something that is not well; none of it speaks against the new version:");
    const lines = stdout.split("\n").filter((line) => /^\s*(✗|→)/.test(line));
    for (const line of lines) await wish.say(`  ${line.trim()}`);
    return;
  }
  throw new OperationError({
    operation,
    place: wish.file,
    cause: code === 2
      ? `it does not take this machine's configuration: ${stderr.trim()}`
      : `its check ended with ${code}: ${stderr.trim().slice(0, 500)}`,
    remedy: code === 2
      ? "change the configuration first; nothing was changed here"
      : "nothing was changed; show this to whoever made the new one",
  });
}

/** With readings in the spool that the old version can't read there would be no way back. */
async function assertSpoolReadable(wish: Upgrade, now: BinaryFacts, next: BinaryFacts): Promise<void> {
  const major = (facts: BinaryFacts) => Number((facts.spool_format ?? "1.0").split(".")[0]);
  if (major(next) <= major(now)) return;
  const waiting = (await wish.service.ask())?.waiting;
  if (waiting === 0) return;
  throw new OperationError({
    operation,
    place: wish.file,
    cause: `its spool has format ${next.spool_format}, which the installed version can't read, and ` +
      `${waiting ?? "an unknown number of"} readings wait in it: there would be no way back`,
    remedy: "wait until all is shipped (sensorlog-agent status); nothing was changed",
  });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

async function replaceFile(path: string, make: () => Promise<void>): Promise<void> {
  await Deno.remove(path).catch(() => {});
  await make();
}

async function syncFolder(dir: string): Promise<void> {
  using folder = await Deno.open(dir);
  await folder.sync();
}

const shown = (facts: BinaryFacts) => `${facts.version} (${facts.commit})`;
