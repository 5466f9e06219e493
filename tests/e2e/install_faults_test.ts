import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { finish } from "../lab/command.ts";
import { Container } from "../lab/container.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";
import { assertSame, call, carried, listing, succeedIn } from "./install_rig.ts";
import { unit } from "./pi.ts";

const patienceMs = 90_000;

async function bare(): Promise<Container> {
  await using stack = new AsyncDisposableStack();
  const container = stack.use(await Container.create());
  await container.boot();
  await container.copyIn(agentBinary(), carried, 0o755);
  stack.move();
  return container;
}

/** nsenter starts one process, which becomes the agent. */
function childOf(pid: number): number | undefined {
  return Number(Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim()) || undefined;
}

Deno.test("install: killed at each of its steps and run again, it completes, and purge takes all of it away", async () => {
  await using container = await bare();
  const before = await listing(container.root);
  const wish = ["install", "--broker", "mqtt://127.0.0.1:1883"];
  await succeedIn(container, wish);
  const whole = await listing(container.root);
  const steps = (await succeedIn(container, ["install", "--json"])).trim().split("\n").length - 1;
  assert.ok(steps >= 8, "steps are seen");
  for (let killed = 1; killed < steps; killed++) {
    await succeedIn(container, ["uninstall", "--purge", "--yes"]);
    assertSame(await listing(container.root), before, `purged before ${killed}`);
    const running = new Running("nsenter", container.command(carried, wish));
    const pid = await waitUntil(() => childOf(running.pid), patienceMs, "the process inside", { everyMs: 1 });
    const lines = () => running.stdout.text.split("\n").length - 1;
    await waitUntil(() => running.ended || lines() >= killed, patienceMs, "a step", { everyMs: 1 });
    Deno.kill(pid, "SIGKILL");
    assert.notEqual((await running.exit).code, 0, `killed after step ${killed}: ${running.stdout.text}`);
    // without the status that a whole run ends with
    assert.ok(lines() >= killed && !/broker/.test(running.stdout.text), running.stdout.text);
    assert.match(await succeedIn(container, wish), /: nothing to do/, "what was done stays");
    assertSame(await listing(container.root), whole, `killed after step ${killed}`);
    assert.equal((await container.succeed("systemctl", ["is-active", unit])).trim(), "active");
  }
});

Deno.test("install: where it does not fit or can't finish, it says so and leaves everything as it was", async (context) => {
  await using container = await bare();
  const before = await listing(container.root);
  const refused = async (what: string, script: string, says: RegExp) => {
    await context.step(what, async () => {
      // a mount of its own for what the script does
      const { code, stdout, stderr } = await container.finish("unshare", ["--mount", "sh", "-euc", script]);
      assert.equal(code, 1, stdout + stderr);
      assert.equal(stdout, "");
      assert.match(stderr, says);
      assert.ok(!/\n./.test(stderr), "one line");
      assertSame(await listing(container.root), before, what);
    });
  };
  const install = `exec ${carried} install`;
  await refused(
    "without root",
    `exec runuser -u nobody -- ${carried} install`,
    /may not do that; be root: sudo/,
  );
  await refused("without systemd", `mount -t tmpfs none /run/systemd; ${install}`, /not started by systemd/);
  await refused(
    "read-only /usr",
    `mount --bind /usr /usr; mount -o remount,bind,ro /usr; ${install}`,
    /read-only/,
  );
  await refused(
    "read-only /etc",
    `mount --bind /etc /etc; mount -o remount,bind,ro /etc; ${install}`,
    /read-only/,
  );
  await refused(
    "full disk",
    `mount -t tmpfs -o size=20m none /usr/local/bin; ${install}`,
    /20 MiB are free.*are needed; make room/,
  );
  await refused(
    "Debian 11",
    `sed s/12/11/ /etc/os-release > /tmp/os; mount --bind /tmp/os /usr/lib/os-release; ${install}`,
    /too old; upgrade it to Debian 12/,
  );
  await refused(
    "32-bit system",
    `printf '\\177ELF\\001\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\050\\0' > /tmp/systemd
     mount --bind /tmp/systemd /usr/lib/systemd/systemd; ${install}`,
    /32-bit system.*64-bit/,
  );
  await context.step("a configuration that is not valid", async () => {
    const { code, stderr } = await call(container, ["install", "--broker", "ftp://x"]);
    assert.deepEqual([code, /mqtt\.url: found the scheme ftp/.test(stderr)], [2, true], stderr);
    assertSame(await listing(container.root), before, "files");
  });
  await context.step("a service that does not become well", async () => {
    // the agent is there, but something keeps it from its spool
    const dropIn = "[Service]\nExecStartPre=/bin/false\n";
    const dir = `/etc/systemd/system/${unit}.d`;
    await container.succeed("sh", ["-c", `mkdir ${dir} && cat > ${dir}/a.conf`], { stdin: dropIn });
    const failed = await call(container, ["install"]);
    assert.equal(failed.code, 1, failed.stdout);
    assert.match(
      failed.stderr,
      /was not well.*journalctl.*7 of 8 steps are done, and the same install again goes on/,
    );
    await container.succeed("rm", ["-r", dir]);
    assert.match(await succeedIn(container, ["install"]), /well.*: changed/);
  });
});

Deno.test("install: a configuration and a user from before are taken as they are; one that is not valid stops it first", async () => {
  await using container = await bare();
  await container.succeed("useradd", ["--system", "--shell", "/usr/sbin/nologin", "sensorlog"]);
  await container.succeed("sh", ["-c", "umask 077; mkdir /etc/sensorlog; echo secret > /etc/sensorlog/pass"]);
  const file = join(container.root, "etc/sensorlog/agent.yaml");
  const own = "plant: old\nmqtt:\n  url: mqtt://127.0.0.1:1883\n  username: a\n  password_file: pass\n";
  await Deno.writeTextFile(file, `${own}nonsense: 1\n`);
  const before = await listing(container.root);
  const wrong = await call(container, ["install"]);
  assert.deepEqual([wrong.code, /agent\.yaml:6:1: nonsense: there is no such key/.test(wrong.stderr)], [
    2,
    true,
  ]);
  assertSame(await listing(container.root), before, "nothing is done");

  await Deno.writeTextFile(file, own);
  await succeedIn(container, ["install"]);
  assert.equal(await Deno.readTextFile(file), own);
  const text = await container.succeed("cat", [`/etc/systemd/system/${unit}`]);
  assert.match(text, /^LoadCredential=pass:\/etc\/sensorlog\/pass$/m);
  const { stdout } = await container.finish("/usr/local/bin/sensorlog-agent", ["status", "--json"]);
  assert.equal(JSON.parse(stdout).plant, "old");
  const output = await succeedIn(container, ["uninstall", "--purge", "--yes"]);
  assert.match(output, /user and group sensorlog: kept\n.*did not make this user/);
  await container.succeed("id", ["sensorlog"]);
});

Deno.test("install --root: an image that boots into a running agent; nothing of this machine is touched", async () => {
  await using container = await Container.create();
  const { root } = container;
  const host = async (...args: string[]) => {
    const result = await finish(agentBinary(), args);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result.stdout;
  };
  const before = await listing(root);
  const wish = ["--root", root, "--plant", "vigo", "--broker", "mqtt://127.0.0.1:1883"];
  await host("install", ...wish, "--dry-run");
  assertSame(await listing(root), before, "dry run");
  await host("install", ...wish);
  const installed = await listing(root, true);
  assert.match(await host("install", "--root", root), /everything is there already/);
  assertSame(await listing(root, true), installed, "a second run");
  await host("uninstall", "--root", root, "--purge", "--yes");
  assertSame(await listing(root), before, "purged");
  await host("install", ...wish);

  await container.boot();
  await container.succeed("sh", [
    "-c",
    "mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized",
  ]);
  const agent = "/usr/local/bin/sensorlog-agent";
  const explain = () => container.journal(unit);
  const state = async () =>
    JSON.parse((await container.finish(agent, ["status", "--json"])).stdout).subscriber?.state;
  const connected = async () => await state() === "connected";
  await waitUntil(connected, patienceMs, "a connected agent", { everyMs: 300, explain });
  await container.succeed("mosquitto_pub", ["-q", "1", "-t", "hall/t", "-m", "21.5"]);
  await waitUntil(
    async () => /hall\/t.*21\.5/.test((await container.finish(agent, ["export"])).stdout),
    patienceMs,
    "a reading in the store",
    { everyMs: 300, explain },
  );
  await container.copyIn(agentBinary(), carried, 0o755);
  const output = await succeedIn(container, ["install"]);
  assert.match(output, /everything is there already/, "the booted image is as an installation of its own");
});

Deno.test("install --root: an image of another kind, a folder that is none, and links out of it are refused", async (context) => {
  const root = await Deno.makeTempDir({ prefix: "sensorlog-lab-image-" });
  try {
    const refused = async (what: string, args: string[], says: RegExp) => {
      await context.step(what, async () => {
        const before = await listing(root);
        const { code, stderr } = await finish(agentBinary(), ["install", ...args]);
        assert.ok(code !== 0 && says.test(stderr), stderr);
        assertSame(await listing(root), before, what);
      });
    };
    await Deno.mkdir(join(root, "etc"), { recursive: true });
    await Deno.mkdir(join(root, "usr/local/bin"), { recursive: true });
    await refused("an empty folder", ["--root", root], /no systemd/);
    await refused("no folder", ["--root", join(root, "none")], /--root.*root file system is mounted/);
    await refused("the running system", ["--root", "/"], /running system; leave --root out/);
    const other = Deno.build.arch === "x86_64" ? 183 : 62;
    const elf = (bits: number, machine: number) =>
      new Uint8Array([0x7f, 0x45, 0x4c, 0x46, bits, 1, 1, ...new Uint8Array(9), 2, 0, machine, 0]);
    await Deno.mkdir(join(root, "usr/lib/systemd"), { recursive: true });
    const systemd = join(root, "usr/lib/systemd/systemd");
    await Deno.writeFile(systemd, elf(2, other));
    await refused("another architecture", ["--root", root], /64-bit.*take sensorlog-agent-/);
    await Deno.writeFile(systemd, elf(1, 40));
    await refused("32 bits", ["--root", root], /32-bit system/);
    await Deno.writeFile(systemd, elf(2, Deno.build.arch === "x86_64" ? 62 : 183));
    await Deno.writeTextFile(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
    await Deno.writeTextFile(join(root, "etc/group"), "root:x:0:\n");
    await Deno.mkdir(join(root, "var"));
    await Deno.symlink("/var/lib", join(root, "var/lib"));
    await refused(
      "a link that leads out",
      ["--root", root],
      /leads out of it, to \/var\/lib; make the link relative/,
    );
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
