import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { assertSame, call, carried, listing, placesOf, succeedIn } from "./install_rig.ts";
import { Pi, unit } from "./pi.ts";

const password = "correct-horse-battery-7319";
const apiKey = "c2VjcmV0LWlkOnNlY3JldC1rZXktODA0NQ==";

/** A Mosquitto that wants an account. */
async function closeBroker(pi: Pi): Promise<void> {
  const { container } = pi;
  const script = `set -e
    cat > /etc/mosquitto/conf.d/closed.conf
    touch /etc/mosquitto/accounts && chmod 640 /etc/mosquitto/accounts && chown root:mosquitto /etc/mosquitto/accounts
    mosquitto_passwd -b /etc/mosquitto/accounts sensor sensor-password
    systemctl restart mosquitto`;
  const config = "listener 1883 127.0.0.1\nallow_anonymous false\npassword_file /etc/mosquitto/accounts\n";
  await container.succeed("sh", ["-c", script], { stdin: config });
}

async function addAccount(pi: Pi): Promise<void> {
  // over standard input: no test shall put into a process list what is searched for there
  const script = `p=$(cat); printf 'agent:%s\\n' "$p" > /tmp/agent && mosquitto_passwd -U /tmp/agent &&
    cat /tmp/agent >> /etc/mosquitto/accounts && rm /tmp/agent && systemctl restart mosquitto`;
  await pi.container.succeed("sh", ["-c", script], { stdin: password });
}

async function publish(pi: Pi, lines: string[]): Promise<void> {
  const args = ["-u", "sensor", "-P", "sensor-password", "-q", "1", "-t", "numbers", "-l"];
  await pi.container.succeed("mosquitto_pub", args, { stdin: lines.map((line) => `${line}\n`).join("") });
}

Deno.test("install: from nothing to a reading in the output, over a boot, a power cut, a second run and back to nothing", async (context) => {
  await using pi = await Pi.bare();
  const { container, sink } = pi;
  await container.copyIn(agentBinary(), carried, 0o755);
  await closeBroker(pi);
  await addAccount(pi);
  const accounts = () =>
    Promise.all(
      ["passwd", "group", "shadow", "gshadow"].map((name) => container.succeed("cat", [`/etc/${name}`])),
    );
  const units = () => container.succeed("systemctl", ["list-unit-files", "--no-pager", "--no-legend"]);
  const before = { files: await listing(container.root), accounts: await accounts(), units: await units() };
  const flags = ["--plant", "vigo", "--broker", "mqtt://127.0.0.1:1883", "--username", "agent"];
  const wish = [...flags, "--output-url", sink.url, "--password-file", "-", "--api-key-file", "/srv/key"];
  const said: string[] = [];
  let count = 0;
  const flow = async () => {
    const lines = [String(++count), String(++count)];
    await publish(pi, lines);
    const counts = await pi.arrived(lines);
    assert.deepEqual([...counts.values()].filter((times) => times !== 1), []);
  };

  await context.step("a look before changes nothing and shows what would be written", async () => {
    await container.succeed("sh", ["-c", "umask 077; cat > /srv/key"], { stdin: apiKey });
    const output = await succeedIn(container, ["install", "--dry-run", ...wish], password);
    said.push(output);
    assert.match(output, /\+ plant: vigo/);
    assert.match(output, /\+ LoadCredential=mqtt-password:\/etc\/sensorlog\/mqtt-password/);
    assertSame(
      (await listing(container.root)).filter((line) => !line.includes("/srv/key")),
      before.files,
      "dry run",
    );
  });

  await context.step("installed, the service is well and a reading arrives", async () => {
    const output = await succeedIn(container, ["install", ...wish], password);
    said.push(output);
    assert.match(output, /service, started at every boot and well.*: new/);
    await container.succeed("rm", ["/srv/key"]);
    await pi.connected();
    // as people ask for it: by root, who is not the user of the service
    const found = await succeedIn(container, ["check"]);
    assert.match(found, /✓ spool: \/var\/lib\/sensorlog\/spool can be written/);
    assert.deepEqual((await listing(container.root)).filter((line) => line.includes("spool/check-")), []);
    await flow();
  });

  await context.step("a second run changes nothing, not even the time of a file", async () => {
    const files = await listing(container.root, true);
    const { pid } = await pi.status();
    for (const args of [["install"], ["install", ...flags], ["install", "--dry-run"]]) {
      const output = await succeedIn(container, args);
      said.push(output);
      assert.match(output, /everything is there already|would do nothing/);
      assertSame(await listing(container.root, true), files, args.join(" "));
    }
    assert.equal((await pi.status()).pid, pid);
  });

  await context.step("each secret stands in its own file of mode 0600 and nowhere else", async () => {
    for (const args of [["status"], ["status", "--json"], ["check"], ["install", "--json"]]) {
      const { stdout, stderr } = await call(container, args);
      said.push(stdout + stderr);
    }
    for (const [name, secret] of [["mqtt-password", password], ["elastic-api-key", apiKey]] as const) {
      const found = await placesOf(container, secret);
      // systemd's copy in memory, for the service alone
      const copies = found.filter((place) => place.startsWith("/run/credentials/"));
      assert.deepEqual(found.filter((place) => !copies.includes(place)), [`/etc/sensorlog/${name}`]);
      assert.equal(await container.succeed("stat", ["-c", "%a %U", `/etc/sensorlog/${name}`]), "600 root\n");
      for (const copy of copies) {
        assert.match(await container.succeed("stat", ["-c", "%a", copy]), /^[46][04]0\n$/);
        assert.match(await container.succeed("stat", ["-c", "%a", join(copy, "..")]), /^[57][05]0\n$/);
      }
      assert.ok(!said.join("").includes(secret), `${name} in the output`);
    }
  });

  await context.step("booted again, it is back by itself", async () => {
    await container.powerOff();
    await container.boot();
    await pi.setClock();
    await pi.connected();
    await flow();
  });

  await context.step("the power goes while readings flow: what was acknowledged arrives", async () => {
    sink.fault = { status: 503 };
    const lines = Array.from({ length: 3_000 }, () => String(++count));
    const base = (await pi.status()).subscriber.acknowledged;
    const publishing = publish(pi, lines).catch(() => {}); // its broker goes with the rest
    const { subscriber } = await pi.until("some of them acknowledged", ({ subscriber }) => {
      return subscriber.acknowledged > base;
    });
    await container.kill();
    await publishing;
    sink.fault = undefined;
    await container.boot();
    await pi.setClock();
    const counts = await pi.arrived(lines.slice(0, subscriber.acknowledged - base));
    assert.deepEqual([...counts.values()].filter((times) => times !== 1), []);
    await pi.connected();
    await flow();
  });

  await context.step("an edited configuration is kept; what flags say stands beside it", async () => {
    const file = join(container.root, "etc/sensorlog/agent.yaml");
    const edited = (await Deno.readTextFile(file)).replace("plant: vigo", "plant: mine");
    await Deno.writeTextFile(file, edited);
    const output = await succeedIn(container, ["install", "--plant", "lugo"]);
    assert.match(output, /agent\.yaml is not as the installer wrote it and stays as it is/);
    assert.equal(await Deno.readTextFile(file), edited);
    assert.match(await Deno.readTextFile(`${file}.new`), /^plant: lugo$/m);
    await Deno.remove(`${file}.new`);
  });

  await context.step(
    "uninstalled, readings and configuration stay, and a later install goes on from there",
    async () => {
      sink.fault = { status: 503 };
      await publish(pi, [String(++count)]);
      await pi.until("a waiting reading", ({ outputs }) => outputs[0]!.waiting > 0);
      const output = await succeedIn(container, ["uninstall"]);
      assert.match(output, /configuration, secrets and readings are kept/);
      assert.notEqual((await container.finish("systemctl", ["is-active", unit])).code, 0);
      for (const gone of ["/usr/local/bin/sensorlog-agent", `/etc/systemd/system/${unit}`]) {
        assert.notEqual((await container.finish("test", ["-e", gone])).code, 0, gone);
      }
      assert.match(await succeedIn(container, ["uninstall"]), /nothing to remove/);
      sink.fault = undefined;
      await succeedIn(container, ["install"]);
      await pi.arrived([String(count)]);
      await pi.connected();
      await flow();
    },
  );

  await context.step("purged, files, users and units are as they were before", async () => {
    const refused = await call(container, ["uninstall", "--purge"]);
    assert.deepEqual([refused.code, /nobody is there to be asked.*--yes/.test(refused.stderr)], [2, true]);
    await succeedIn(container, ["uninstall", "--purge", "--dry-run"]);
    assert.equal((await container.succeed("systemctl", ["is-active", unit])).trim(), "active");
    await succeedIn(container, ["uninstall", "--purge", "--yes"]);
    assertSame(await listing(container.root), before.files, "files");
    assert.deepEqual(await accounts(), before.accounts);
    assert.equal(await units(), before.units);
    const known = await container.succeed("systemctl", ["list-units", "--all", "--no-legend", "sensorlog*"]);
    assert.equal(known, "");
    assert.match(await succeedIn(container, ["uninstall", "--purge", "--yes"]), /nothing to remove/);
  });
});
