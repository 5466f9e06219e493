import assert from "node:assert/strict";
import { join } from "node:path";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { agentBinary } from "../lab/agent.ts";
import { waitUntil } from "../lab/wait.ts";
import { assertSame, call, carried, listing, placesOf, succeedIn } from "./install_rig.ts";
import { Pi } from "./pi.ts";

const patienceMs = 60_000;
const passphrase = "four words by chance";
const password = "kitchen-password-8830";
const file = "/srv/broker.backup";
const asked = ["--passphrase-file", "-"];

/** A sensor that knows the CA, the account and nothing else. */
async function publishAs(pi: Pi, caFile: string, payload: string): Promise<void> {
  const args = ["-h", "127.0.0.1", "-p", "8883", "--cafile", caFile, "-u", "kitchen", "-P", password];
  await pi.container.succeed("mosquitto_pub", [...args, "-q", "1", "-t", "kitchen/t", "-m", payload]);
}

async function exported(pi: Pi): Promise<string> {
  return await succeedIn(pi.container, ["export", "--format", "ndjson"]);
}

async function stored(pi: Pi, payload: string): Promise<void> {
  await waitUntil(async () => (await exported(pi)).includes(payload), patienceMs, `the reading ${payload}`);
}

Deno.test("broker backup: a new machine with it takes the old one's place, for sensors and the agent alike", async (context) => {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-backup-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const [backupFile, caFile] = [join(dir, "broker.backup"), join(dir, "ca.crt")];
  let fingerprint = "";

  await context.step("the old machine is set up, backed up, and dies", async () => {
    await using old = await Pi.bare();
    const { container } = old;
    await container.copyIn(agentBinary(), carried, 0o755);
    await succeedIn(container, ["install", "--plant", "vigo"]);
    await succeedIn(container, ["broker", "init", "--yes"]);
    await succeedIn(container, ["broker", "user", "add", "kitchen", "--password-file", "-"], password);
    await old.connected();
    await publishAs(old, brokerPlaces.caCertificate, "7001");
    await stored(old, "7001");
    fingerprint = await succeedIn(container, ["broker", "fingerprint", "--json"]);
    const short = await call(container, ["broker", "backup", file, ...asked], "short");
    assert.equal(short.code, 2);
    assert.match(short.stderr, /shorter than 8/);
    assert.equal((await container.finish("ls", [file])).code, 2);
    await succeedIn(container, ["broker", "backup", file, ...asked], `${passphrase}\n`);
    assert.equal((await container.succeed("stat", ["-c", "%a %U", file])).trim(), "600 root");
    const again = await call(container, ["broker", "backup", file, ...asked], passphrase);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /there already/);
    assert.deepEqual(await placesOf(container, passphrase), [], "the passphrase stands nowhere");
    await Deno.copyFile(join(container.root, file), backupFile);
    await Deno.copyFile(join(container.root, brokerPlaces.caCertificate), caFile);
  });

  const pi = stack.use(await Pi.bare());
  const { container } = pi;
  await container.copyIn(agentBinary(), carried, 0o755);
  await container.copyIn(backupFile, file, 0o600);
  await container.copyIn(caFile, "/srv/sensor/ca.crt");
  const restore = (from: string, phrase: string, ...more: string[]) =>
    call(container, ["broker", "restore", from, ...asked, ...more], phrase);

  await context.step(
    "a wrong passphrase, a cut and a changed file say what is wrong and change nothing",
    async () => {
      const bytes = await Deno.readFile(backupFile);
      const put = async (name: string, content: Uint8Array) => {
        await Deno.writeFile(join(dir, name), content);
        await container.copyIn(join(dir, name), `/srv/${name}`, 0o600);
      };
      await put("cut", bytes.slice(0, bytes.length - 100));
      await put("changed", bytes.with(200, bytes[200]! ^ 1));
      const before = await listing(container.root);
      const cases: [string, string, RegExp][] = [
        [file, "another passphrase", /passphrase is not that of this backup/],
        ["/srv/cut", passphrase, /it is cut off/],
        ["/srv/changed", passphrase, /it is damaged/],
        ["/srv/missing", passphrase, /No such file/],
        [carried, passphrase, /too large|no backup/],
      ];
      for (const [from, phrase, pattern] of cases) {
        const { code, stderr } = await restore(from, phrase, "--yes");
        assert.equal(code, 1, from);
        assert.match(stderr, pattern);
      }
      const { code, stdout } = await restore(file, passphrase, "--dry-run");
      assert.equal(code, 0);
      assert.match(stdout, /nothing was changed/);
      assert.equal(stdout.includes("PRIVATE KEY"), false);
      assert.equal((await restore(file, passphrase)).code, 2, "nobody is there to be asked");
      assertSame(await listing(container.root), before, "nothing was changed");
    },
  );

  await context.step("restored, the agent and a sensor connect as they did", async () => {
    const { code, stdout, stderr } = await restore(file, passphrase, "--yes");
    assert.equal(code, 0, stdout + stderr);
    await pi.connected();
    assert.equal(await succeedIn(container, ["broker", "fingerprint", "--json"]), fingerprint);
    await publishAs(pi, "/srv/sensor/ca.crt", "7002");
    await stored(pi, "7002");
    const secret = await placesOf(container, "PRIVATE KEY");
    const modes = await Promise.all(
      secret.filter((path) => path.startsWith("/etc/")).map((path) =>
        container.succeed("stat", ["-c", "%a", path])
      ),
    );
    assert.deepEqual(new Set(modes.map((mode) => mode.trim())), new Set(["600"]));
  });

  await context.step("again it changes nothing, and another CA is not overwritten", async () => {
    const before = await listing(container.root, true);
    const again = await restore(file, passphrase, "--yes");
    assert.match(again.stdout, /everything is there already/);
    assertSame(await listing(container.root, true), before, "restored again");
    for (const phase of ["begin", "switch", "finish"]) {
      await succeedIn(container, ["broker", "rotate", "--ca", phase, "--yes"]);
    }
    const changed = await listing(container.root, true);
    const refused = await restore(file, passphrase, "--yes");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /another CA.*--replace/s);
    assertSame(await listing(container.root, true), changed, "refused");
    const replaced = await restore(file, passphrase, "--yes", "--replace");
    assert.equal(replaced.code, 0, replaced.stderr);
    await pi.connected();
    await publishAs(pi, "/srv/sensor/ca.crt", "7003");
    await stored(pi, "7003");
  });
});
