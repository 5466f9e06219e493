import assert from "node:assert/strict";
import { join } from "node:path";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { shownSha256 } from "../../installer/broker/shown.ts";
import { agentBinary } from "../lab/agent.ts";
import { finish, succeed } from "../lab/command.ts";
import { Publisher } from "../lab/publisher.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { call, carried, succeedIn } from "./install_rig.ts";
import { Pi } from "./pi.ts";

const patienceMs = 60_000;
const port = 8883;
const password = "kitchen-password-5521";

/** Readings at QoS 1 over one TLS connection, until it is told to end. */
class Traffic implements AsyncDisposable {
  /** What the broker has acknowledged, in order. */
  readonly taken: string[] = [];
  #going = true;
  #ended: Promise<void>;
  failure: unknown;

  constructor(private readonly publisher: Publisher) {
    this.#ended = this.#send().catch((error) => {
      this.failure = error;
    });
  }

  async #send(): Promise<void> {
    for (let batch = 0; this.#going; batch++) {
      const messages = Array.from({ length: 5 }, (_, n) => {
        return { topic: "kitchen/t", payload: String(batch * 5 + n), qos: 1 as const };
      });
      await this.publisher.publish(messages, ({ payload }) => this.taken.push(String(payload)));
      await delay(100);
    }
  }

  /** The connection is the first one, and readings go on to be acknowledged. */
  async assertGoesOn(): Promise<void> {
    const before = this.taken.length;
    await waitUntil(
      () => this.taken.length > before + 20 || this.failure !== undefined,
      patienceMs,
      "readings acknowledged over the first connection",
    );
    assert.equal(this.failure, undefined);
  }

  async end(): Promise<void> {
    this.#going = false;
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await this.publisher.close().catch(() => {});
  }
}

/** What the test knows of the broker: as a client outside sees it. */
class Outside {
  constructor(private readonly pi: Pi, readonly address: string, private readonly dir: string) {}

  /** The CA file as a client has it that was given what stands on the machine now. */
  async takeCa(name: string): Promise<string> {
    const file = join(this.dir, name);
    await Deno.writeTextFile(file, await this.pi.container.succeed("cat", [brokerPlaces.caCertificate]));
    return file;
  }

  shown(): Promise<string | undefined> {
    return shownSha256({ hostname: this.address, port });
  }

  /** openssl as a client that compares DNS names only and was given the address. */
  async accepts(caFile: string): Promise<boolean> {
    const args = [
      "s_client",
      "-connect",
      `${this.address}:${port}`,
      "-CAfile",
      caFile,
      "-verify_return_error",
    ];
    const { code, stdout } = await finish("openssl", [...args, "-verify_hostname", this.address], {
      stdin: "",
    });
    return code === 0 && stdout.includes("Verify return code: 0 (ok)");
  }
}

async function addressOf(pi: Pi): Promise<string> {
  const text = await pi.container.succeed("ip", ["-4", "-o", "address", "show", "host0"]);
  return /inet ([\d.]+)/.exec(text)![1]!;
}

async function keyPin(pi: Pi): Promise<string> {
  return JSON.parse(await succeedIn(pi.container, ["broker", "fingerprint", "--json"])).keyPin;
}

/** Every file with a private key in it, on the disk, with mode and owner. */
async function keyFiles(pi: Pi): Promise<string[]> {
  const dirs = ["etc", "var", "root", "tmp", "run", "opt", "srv"].map((dir) => join(pi.container.root, dir));
  const find = [
    "-xdev",
    "-type",
    "f",
    "-size",
    "-1000k",
    "-exec",
    "grep",
    "-lE",
    "BEGIN [A-Z ]*PRIVATE KEY",
    "{}",
    "+",
  ];
  const { stdout } = await finish("find", [...dirs, ...find]);
  const files = stdout.split("\n").filter((line) => line !== "");
  const shown = await Promise.all(files.map((file) => succeed("stat", ["-c", "%a %n", file])));
  return shown.map((line) => line.trim().replace(pi.container.root, "")).sort();
}

Deno.test("broker rotate: certificate, key and CA are changed under traffic; nothing acknowledged is lost and nobody else loses a connection", async (context) => {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-rotate-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const pi = stack.use(await Pi.bare());
  const { container, sink } = pi;
  await container.copyIn(agentBinary(), carried, 0o755);
  await succeedIn(container, ["install", "--plant", "vigo", "--output-url", sink.url]);
  await succeedIn(container, ["broker", "init", "--yes"]);
  await succeedIn(container, ["broker", "user", "add", "kitchen", "--password-file", "-"], password);
  await pi.connected();
  const outside = new Outside(pi, await addressOf(pi), dir);
  const firstCa = await outside.takeCa("first.crt");
  const broker = () => container.succeed("systemctl", ["show", "mosquitto", "--property=MainPID"]);
  const firstPid = await broker();
  const options = { hostname: outside.address, port, username: "kitchen", password };
  const traffic = stack.use(new Traffic(await Publisher.connect({ ...options, caFile: firstCa })));
  const rotate = (...args: string[]) => succeedIn(container, ["broker", "rotate", ...args]);
  /** A change of the certificate that clients with this file of CAs take part in. */
  const changed = async (args: string[], caFile: string) => {
    const before = await outside.shown();
    const output = await rotate(...args, "--yes");
    const shown = await outside.shown();
    assert.notEqual(shown, before, "another certificate is shown");
    assert.equal(output.includes(shown!), true, output);
    assert.equal(await outside.accepts(caFile), true, "openssl accepts the chain and the address as a name");
    await using another = await Publisher.connect({ ...options, caFile });
    await another.publish([{ topic: "kitchen/other", payload: "here", qos: 1 }]);
    await traffic.assertGoesOn();
    return output;
  };

  await context.step("fingerprint shows what openssl shows", async () => {
    const output = await succeedIn(container, ["broker", "fingerprint"]);
    const pem = await container.succeed("cat", [brokerPlaces.certificate]);
    for (const algorithm of ["-sha1", "-sha256"]) {
      const text = await succeed("openssl", ["x509", "-noout", "-fingerprint", algorithm], { stdin: pem });
      assert.equal(output.includes(text.trim().split("=")[1]!), true, output);
    }
    await traffic.assertGoesOn();
  });

  await context.step("rotate: a new certificate with the same key", async () => {
    const pin = await keyPin(pi);
    await rotate("--dry-run");
    const before = await outside.shown();
    const { code, stderr } = await call(container, ["broker", "rotate"]);
    assert.equal(code, 2, "nobody is there to be asked");
    assert.match(stderr, /--yes/);
    assert.equal(await outside.shown(), before);
    await changed([], firstCa);
    assert.equal(await keyPin(pi), pin);
  });

  await context.step("rotate --key: another key", async () => {
    const pin = await keyPin(pi);
    await changed(["--key"], firstCa);
    assert.notEqual(await keyPin(pi), pin);
  });

  await context.step("rotate --ca: each phase waits for the one before it", async () => {
    for (const phase of ["switch", "finish"]) {
      const { code, stderr } = await call(container, ["broker", "rotate", "--ca", phase, "--yes"]);
      assert.equal(code, 1, phase);
      assert.match(stderr, /--ca begin/);
    }
  });

  await context.step("rotate --ca begin: both are trusted, the broker stays as it is", async () => {
    const before = await outside.shown();
    const output = await rotate("--ca", "begin");
    assert.match(output, /without network time.*flashed/s);
    assert.equal(await outside.shown(), before);
    assert.equal(await outside.accepts(await outside.takeCa("both.crt")), true);
    await pi.connected();
    await traffic.assertGoesOn();
    assert.equal((await call(container, ["broker", "rotate", "--ca", "finish", "--yes"])).code, 1);
  });

  await context.step(
    "rotate --ca switch: the new one signs, the key stays, and only who has it comes in",
    async () => {
      const pin = await keyPin(pi);
      await changed(["--ca", "switch"], join(dir, "both.crt"));
      assert.equal(await keyPin(pi), pin);
      assert.equal(await outside.accepts(firstCa), false);
      await pi.connected();
    },
  );

  await context.step("rotate --ca finish: the old one is trusted no more", async () => {
    await rotate("--ca", "finish", "--yes");
    const last = await outside.takeCa("last.crt");
    assert.equal(await outside.accepts(last), true);
    assert.equal((await Deno.readTextFile(last)).match(/BEGIN CERTIFICATE/g)?.length, 1);
    await pi.connected();
    await traffic.assertGoesOn();
    await changed([], last);
  });

  await context.step(
    "the broker was never started again, and every acknowledged reading is there once",
    async () => {
      assert.equal(await broker(), firstPid);
      await traffic.end();
      assert.equal(traffic.failure, undefined);
      const counts = await pi.arrived(traffic.taken);
      assert.deepEqual(traffic.taken.filter((line) => counts.get(line) !== 1), []);
      assert.equal(traffic.taken.length > 100, true);
    },
  );

  await context.step("private keys stand in files for their owners only", async () => {
    assert.deepEqual(await keyFiles(pi), [`600 ${brokerPlaces.key}`, `600 ${brokerPlaces.caKey}`].sort());
  });
});
