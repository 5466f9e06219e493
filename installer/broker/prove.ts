/**
 * Proves a configuration of Mosquitto before the real one gets it: Mosquitto has no check of its own, and one that does
 * not start lets no sensor in. A copy is started on a free port over copies of the files, without data of its own.
 */
import { basename } from "node:path";
import { OperationError, reasonOf } from "../../agent/base/errors.ts";
import { numericAccess } from "../accounts.ts";
import { type Machine, textOf } from "../machine.ts";
import { type Account, connackCode, type Trust } from "./connack.ts";
import { type ConfFiles, mainConf } from "./conf.ts";
import { triedConf } from "./tried_conf.ts";

export interface Proof {
  /** Files as they are to be, by path; the rest of the configuration is what stands there. */
  planned: ReadonlyMap<string, string>;
  /** Of the listener that is tried, as the configuration has it. */
  port: number;
  trust: Trust;
  /** Who must be let in. */
  account: Account;
}

const program = "/usr/sbin/mosquitto";
/** In memory: no copy of a key comes to the disk. */
const folder = "/run";
const startMs = 20_000;
const pollMs = 50;
const logBytesMax = 64 * 1024;
/** CONNACK of MQTT 3.1.1: identifier or password wrong, not authorised. */
const refusals = [4, 5];

/** The configuration of a machine with some files as they are to be. */
export function plannedFiles(machine: Machine, planned: ReadonlyMap<string, string>): ConfFiles {
  return {
    text: (path) => planned.get(path) ?? textOf(machine, path),
    names: (dir) => {
      const own = [...planned.keys()].filter((path) => path.slice(0, path.lastIndexOf("/")) === dir);
      const present = machine.list(dir);
      return present === undefined
        ? undefined
        : [...new Set([...present, ...own.map((path) => basename(path))])];
    },
  };
}

/**
 * Starts the copy and connects to it: the account is let in; without one, and with a wrong password, nobody is. Throws
 * OperationError with what Mosquitto said when it is otherwise. Leaves nothing behind.
 */
export async function proveBroker(machine: Machine, proof: Proof): Promise<void> {
  const dir = await Deno.makeTempDir({ dir: folder, prefix: "sensorlog-broker-" });
  try {
    const { main, port } = await writeCopy(machine, proof, dir);
    await using copy = new Copy(main);
    await copy.untilItListens(port);
    await tryAccounts(copy, port, proof);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function writeCopy(
  machine: Machine,
  proof: Proof,
  dir: string,
): Promise<{ main: string; port: number }> {
  const owner = numericAccess(machine, { mode: 0, owner: "mosquitto", group: "mosquitto" });
  if (owner === undefined) throw new Error("there is no user or group mosquitto");
  const own = async (path: string, mode: number) => {
    await Deno.chown(path, owner.uid, owner.gid);
    await Deno.chmod(path, mode);
  };
  await own(dir, 0o700);
  const copies = new Map<string, string>();
  for (const [at, [path, text]] of [...proof.planned].entries()) {
    const copy = `${dir}/${at}-${basename(path)}`;
    copies.set(path, copy);
    await Deno.writeTextFile(copy, text, { mode: 0o600, createNew: true });
    await own(copy, 0o600);
  }
  const ports = new Map<number, number>();
  const portOf = (wanted: number) => {
    const port = ports.get(wanted) ?? freePort();
    ports.set(wanted, port);
    return port;
  };
  const { files, main } = triedConf(plannedFiles(machine, proof.planned), dir, portOf, copies);
  for (const { path, text } of files) {
    const parent = path.slice(0, path.lastIndexOf("/"));
    await Deno.mkdir(parent, { recursive: true, mode: 0o700 });
    await own(parent, 0o700);
    await Deno.writeTextFile(path, text, { mode: 0o600, createNew: true });
    await own(path, 0o600);
  }
  const port = ports.get(proof.port);
  if (port !== undefined) return { main, port };
  throw refused(`${mainConf} and what it includes name no listener at port ${proof.port}`);
}

async function tryAccounts(copy: Copy, port: number, { trust, account }: Proof): Promise<void> {
  const attempt = async (who: string, as: Account | undefined) => {
    try {
      return await connackCode(port, trust, as);
    } catch (error) {
      throw refused(`it listens, but ${who} could not connect: ${reasonOf(error)}`, copy.log);
    }
  };
  const code = await attempt(`the account ${account.name}`, account);
  if (code !== 0) throw refused(`it refused the account ${account.name} with code ${code}`, copy.log);
  const others: [string, Account | undefined][] = [
    ["a client without an account", undefined],
    ["a client with a wrong password", { name: account.name, password: `${account.password} wrong` }],
  ];
  for (const [who, as] of others) {
    if (!refusals.includes(await attempt(who, as))) throw refused(`it let ${who} in`, copy.log);
  }
}

/** The copy of Mosquitto, and what it says. */
class Copy implements AsyncDisposable {
  log = "";
  #ended = false;
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  constructor(main: string) {
    this.#process = new Deno.Command(program, {
      ...{ args: ["-c", main], stdin: "null", stdout: "null", stderr: "piped" },
    }).spawn();
    this.#reading = this.#read();
  }

  async untilItListens(port: number): Promise<void> {
    const endMs = performance.now() + startMs;
    for (;;) {
      if (this.#ended) throw refused("it ended at once", this.log);
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return;
      } catch {
        // not yet
      }
      if (performance.now() > endMs) throw refused(`it did not listen within ${startMs / 1_000} s`, this.log);
      await new Promise((done) => setTimeout(done, pollMs));
    }
  }

  async #read(): Promise<void> {
    const text = this.#process.stderr.pipeThrough(new TextDecoderStream());
    for await (const chunk of text) this.log = (this.log + chunk).slice(-logBytesMax);
    this.#ended = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // it has ended already
    }
    await this.#reading;
    await this.#process.status;
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** What Mosquitto says last is most often why. */
function refused(cause: string, log = ""): OperationError {
  const lines = log.trim().split("\n").slice(-4).map((line) => line.replace(/^\d+: /, "")).join("; ");
  return new OperationError({
    ...{ operation: "try the broker's configuration", place: "a copy of Mosquitto" },
    cause: lines === "" ? cause : `${cause}; it said: ${lines}`,
    remedy: "nothing was changed; Mosquitto runs on as before",
  });
}
