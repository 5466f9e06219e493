import assert from "node:assert/strict";
import { join } from "node:path";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";
import { binaryPath, Pi, unit } from "./pi.ts";

Deno.test("service: under its sandbox the agent does its whole job, and systemd rates what it leaves open at 1.5 or less", async (context) => {
  await using pi = await Pi.withService();
  const { container } = pi;
  const property = async (name: string) =>
    (await container.succeed("systemctl", ["show", unit, `--property=${name}`, "--value"])).trim();
  const lines: string[] = [];
  const flow = async (what: string) => {
    lines.push(what);
    await pi.publish([what]);
    const counts = await pi.arrived(lines);
    // nothing is under way when the agent is killed or stopped, so nothing comes twice
    assert.deepEqual([...counts.values()].filter((count) => count !== 1), []);
  };

  await context.step("broker, output, store and socket are reached, the clock is known", async () => {
    const outputs = { ...pi.config().outputs as object, here: { type: "local" } };
    const file = join(container.root, "etc/sensorlog/agent.yaml");
    await Deno.writeTextFile(file, JSON.stringify({ ...pi.config(), outputs }));
    await container.succeed("systemctl", ["restart", unit]);
    await pi.connected();
    await flow("first");
    const { outputs: shown, clock } = await pi.until("both outputs", ({ outputs }) => {
      return outputs.every((output) => output.confirmed > 0 && output.waiting === 0);
    });
    assert.deepEqual(shown.map(({ state }) => state), ["well", "well"]);
    assert.equal(clock.synchronised, "yes");
    const bootId = await container.succeed("cat", ["/proc/sys/kernel/random/boot_id"]);
    assert.equal(
      clock.bootId,
      bootId.trim().replaceAll("-", ""),
      "the boot's own identity, which the sandbox hides",
    );
    const exported = await container.succeed(binaryPath, ["export", "--format", "ndjson"]);
    assert.match(exported, /"first"/);
    assert.match(await container.journal(unit), /the agent starts/);
  });

  await context.step("exposure", async () => {
    const rated = await container.succeed("systemd-analyze", ["security", "--no-pager", unit]);
    const exposure = Number(/Overall exposure level.*: ([\d.]+)/.exec(rated)?.[1]);
    assert.ok(exposure <= 1.5, rated);
  });

  await context.step("systemd sees it ready, and shows what it does", async () => {
    assert.deepEqual([await property("ActiveState"), await property("Type")], ["active", "notify"]);
    await waitUntil(
      async () => /broker: connected/.test(await property("StatusText")),
      20_000,
      "a status text",
    );
    const kept = await container.succeed("sh", [
      "-c",
      "stat -c '%a %U %n' /run/sensorlog /run/sensorlog/agent.sock /var/lib/sensorlog/spool/*",
    ]);
    assert.deepEqual(kept.split("\n").filter((line) => /^\d*[1-7] /.test(line)), [], "nothing is for others");
  });

  await context.step("killed, it comes back by itself", async () => {
    const pid = await property("MainPID");
    await container.succeed("kill", ["-KILL", pid]);
    await flow("while it was gone");
    assert.notEqual(await property("MainPID"), pid);
    assert.equal(await property("NRestarts"), "1");
  });

  await context.step("stopped, the watchdog restarts it", async () => {
    // shorter than the unit's own minute, so that the test need not wait for it
    const dropIn = "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=2s\n";
    await container.succeed("sh", ["-c", `mkdir -p /run/systemd/system/${unit}.d`]);
    await container.succeed("sh", ["-c", `cat > /run/systemd/system/${unit}.d/short.conf`], {
      stdin: dropIn,
    });
    await container.succeed("systemctl", ["daemon-reload"]);
    await container.succeed("systemctl", ["restart", unit]);
    await pi.connected();
    const pid = await property("MainPID");
    await container.succeed("kill", ["-STOP", pid]);
    await flow("while it was stopped");
    assert.notEqual(await property("MainPID"), pid);
    assert.match(await container.journal(unit), /Watchdog timeout/);
  });

  await context.step("a member of the group may ask it, nobody else", async () => {
    await container.succeed("useradd", ["--groups", "sensorlog", "member"]);
    await container.succeed("useradd", ["stranger"]);
    const as = (user: string, ...args: string[]) =>
      container.finish("runuser", ["-u", user, "--", binaryPath, ...args]);
    assert.equal((await as("member", "status")).code, 0);
    const asMember = container.command("runuser", ["-u", "member", "--", binaryPath, "tail", "numbers"]);
    const tail = new Running("nsenter", asMember);
    try {
      await waitUntil(
        async () => {
          await flow(`seen by tail ${lines.length}`);
          return /seen by tail/.test(tail.stdout.text);
        },
        60_000,
        "a reading that tail shows",
        { explain: () => tail.stderr.text },
      );
    } finally {
      await container.finish("pkill", ["--uid", "member"]); // nsenter does not hand a signal on
      await tail.exit;
    }
    for (const command of ["status", "tail"]) {
      const { code, stderr } = await as("stranger", command);
      assert.ok(code !== 0 && /may not|denied/.test(stderr), stderr);
    }
  });
});
