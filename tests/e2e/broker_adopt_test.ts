import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { projectDir } from "../lab/paths.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";
import { assertSame, call, carried, listing, succeedIn } from "./install_rig.ts";
import { installPackages } from "./original/packages.ts";
import { Pi, unit } from "./pi.ts";

/** Home of the user whom the original's manual works as. */
const home = "/srv/pi";
const patienceMs = 60_000;
const ca = "/etc/mosquitto/ca_certificates/ca.crt";

/** The original as its manual sets it up, and a sensor of its own that knows the certificate's SHA-1. */
class Plant {
  fingerprint = "";

  constructor(readonly pi: Pi) {}

  async setUp(): Promise<void> {
    const { container } = this.pi;
    await installPackages(container);
    const dir = join(projectDir, "tests/e2e/original");
    for (const { name } of Deno.readDirSync(dir)) {
      await container.copyIn(join(dir, name), `/srv/original/${name}`);
    }
    await container.succeed("sh", ["/srv/original/setup.sh", home, "/srv/original"]);
    this.fingerprint = await this.shownFingerprint();
  }

  /** What the sensor compares: SHA-1 of the certificate that the broker shows at the old port. */
  async shownFingerprint(): Promise<string> {
    const script =
      "openssl s_client -connect 127.0.0.1:1883 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha1";
    return (await this.pi.container.succeed("sh", ["-c", script])).trim();
  }

  /** The sensor's message over TLS with its old account; whether the broker acknowledged it. */
  async publish(value: number, qos = 1): Promise<boolean> {
    const { code } = await this.pi.container.finish("mosquitto_pub", [
      ...["--cafile", ca, "--insecure", "-p", "1883", "-u", "user", "-P", "passwd", "-i", "esp8266"],
      ...["-q", String(qos), "-t", "/feeds/0/temp", "-m", String(value)],
    ]);
    return code === 0;
  }

  /** Publishes numbers from `from` on until `end` says so; those that were acknowledged, and all. */
  async keepPublishing(
    from: number,
    end: () => boolean,
  ): Promise<{ acknowledged: number[]; sent: number[] }> {
    const acknowledged: number[] = [];
    const sent: number[] = [];
    for (let value = from; !end(); value++) {
      sent.push(value);
      if (await this.publish(value)) acknowledged.push(value);
    }
    return { acknowledged, sent };
  }

  /** Everything in the message files. */
  async inFiles(): Promise<string> {
    return await this.pi.container.succeed("sh", ["-c", `cat ${home}/mqtt/*.log`]);
  }

  async inFilesSoon(values: number[]): Promise<void> {
    const has = async () => {
      const text = await this.inFiles();
      return values.every((value) => text.includes(`/feeds/0/temp ${value}\n`));
    };
    await waitUntil(has, patienceMs, `${values} in the message files`);
  }

  /** Filebeat has shipped everything of today's file before this value. */
  async shippedBefore(value: number): Promise<void> {
    const script = `set -e; f=$(ls ${home}/mqtt/*.log | tail -n 1)
      at=$(grep -b -m 1 " ${value}$" "$f" | cut -d : -f 1)
      printf '[{"source":"%s","offset":%s,"timestamp":"2020-03-27T10:15:02+01:00","ttl":-1,"type":"log","meta":null,"FileStateOS":{"inode":%s,"device":1}}]' \
        "$f" "$at" "$(stat -c %i "$f")" > /var/lib/filebeat/registry/filebeat/data.json`;
    await this.pi.container.succeed("bash", ["-c", script]);
  }

  async state(name: string): Promise<string> {
    const { container } = this.pi;
    const words = ["is-enabled", "is-active"].map((verb) => container.finish("systemctl", [verb, name]));
    return (await Promise.all(words)).map(({ stdout }) => stdout.trim()).join(" ");
  }

  async crontab(): Promise<string> {
    return (await this.pi.container.finish("crontab", ["-l"])).stdout;
  }

  /** How often each value is in the index, and with which time and topic. */
  arrived(): Map<number, Record<string, unknown>[]> {
    const found = new Map<number, Record<string, unknown>[]>();
    for (const source of this.pi.sink.sources()) {
      if (source["topic"] !== "/feeds/0/temp") continue;
      const value = source["value"] as number;
      found.set(value, [...found.get(value) ?? [], source]);
    }
    return found;
  }

  /** All of these, each once, and nothing else but what may be there. */
  async arrivedOnce(values: number[], perhaps: number[] = []): Promise<void> {
    const { sink, container } = this.pi;
    await waitUntil(
      () => values.every((value) => this.arrived().has(value)),
      patienceMs,
      "all values in the index",
      {
        explain: async () => {
          const missing = values.filter((value) => !this.arrived().has(value));
          return `missing: ${missing}\n${await container.journal(unit)}`;
        },
      },
    );
    const often = [...this.arrived()].filter(([, all]) => all.length !== 1).map(([value]) => value);
    assert.deepEqual(often, [], "more than once");
    const known = new Set([...values, ...perhaps]);
    assert.deepEqual([...this.arrived().keys()].filter((value) => !known.has(value)), [], "not expected");
    assert.deepEqual(sink.violations, []);
  }
}

const adopt = (...more: string[]) => ["broker", "adopt", ...more];
/** What belongs to the broker, the agent's configuration and root's jobs. */
const ofBroker = (lines: string[]) =>
  lines.filter((line) => /^(\S{64} +)?\/(etc\/(mosquitto|sensorlog|systemd)|var\/spool\/cron)\b/.test(line))
    .filter((line) => !/installed\.json|mqtt-password\.|\.service\.d/.test(line));

/** nsenter starts one process, which becomes the agent. */
function childOf(pid: number): number | undefined {
  return Number(Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim()) || undefined;
}

Deno.test("broker adopt: the original changes over without a sensor being touched, and back", async (context) => {
  await using pi = await Pi.bare();
  const { container, sink } = pi;
  await container.copyIn(agentBinary(), carried, 0o755);
  const plant = new Plant(pi);
  await plant.setUp();
  await succeedIn(container, ["install", "--plant", "vigo", "--output-url", sink.url]);
  const before = ofBroker(await listing(container.root));
  const cron = await plant.crontab();
  let expected: number[] = [];
  const killedAfter = async (line: RegExp) => {
    const running = new Running("nsenter", container.command(carried, adopt("--yes")));
    const pid = await waitUntil(() => childOf(running.pid), patienceMs, "the process inside", { everyMs: 1 });
    await waitUntil(() => running.ended || line.test(running.stdout.text), patienceMs, "a step", {
      ...{ everyMs: 1, explain: () => running.stdout.text + running.stderr.text },
    });
    Deno.kill(pid, "SIGKILL");
    assert.notEqual((await running.exit).code, 0, running.stdout.text);
  };
  const perhaps: number[] = [];

  await context.step("the original works: what its sensor sends stands in its files", async () => {
    for (const value of [1, 2, 3, 4, 5]) assert.ok(await plant.publish(value, value % 2));
    await plant.inFilesSoon([1, 2, 3, 4, 5]);
    await plant.shippedBefore(3);
    // a day that Filebeat never came to
    const old =
      "2020-03-27T10:15:02+0100 /feeds/0/temp 2000\n2020-03-27T10:16:02+0100 /feeds/0/temp 2001\r\n";
    await container.succeed("sh", ["-c", `cat > ${home}/mqtt/mqtt-2020.03.27.log`], { stdin: old });
    expected = [3, 4, 5, 2000, 2001];
  });

  await context.step("a look before shows all of it and changes nothing", async () => {
    const output = await succeedIn(container, adopt("--dry-run"));
    assert.match(output, /stMQTT.service is stopped/);
    assert.match(output, /stVPN.service stays as it is/);
    assert.match(output, /2 message files/);
    assert.match(output, /\+ upgrade_outgoing_qos true/);
    assertSame(ofBroker(await listing(container.root)), before, "dry run");
    assert.equal(await plant.state("stMQTT"), "enabled active");
  });

  await context.step(
    "killed in the middle and run again under traffic, nothing is lost and nothing comes twice",
    async () => {
      await killedAfter(/one for the agent/);
      let over = false;
      const publishing = plant.keepPublishing(100, () => over);
      await waitUntil(
        async () =>
          (await plant.inFiles()).includes(" 102\n") || await plant.state("stMQTT") !== "enabled active",
        patienceMs,
        "traffic",
      );
      const output = await succeedIn(container, adopt("--yes"));
      assert.match(output, /readings of message files are in the spool/);
      await pi.connected();
      over = true;
      const { acknowledged, sent } = await publishing;
      assert.ok(acknowledged.length > 20, `${acknowledged.length} under traffic`);
      expected.push(...acknowledged);
      perhaps.push(...sent);
      assert.ok(await plant.publish(900));
      expected.push(900);
      await plant.arrivedOnce(expected, perhaps);
      const [old] = plant.arrived().get(2000)!;
      assert.equal(old!["@timestamp"], "2020-03-27T09:15:02.000Z");
      assert.deepEqual((old!["event"] as Record<string, unknown>)["clock"], "unsynced");
    },
  );

  await context.step(
    "the broker is the old one to its sensors; the old services rest, the VPN does not",
    async () => {
      assert.equal(await plant.shownFingerprint(), plant.fingerprint);
      assert.equal(await plant.state("stMQTT"), "disabled inactive");
      assert.equal(await plant.state("filebeat"), "disabled inactive");
      assert.equal(await plant.state("stVPN"), "enabled active");
      assert.equal(await plant.crontab(), "");
      const kept = before.filter((line) =>
        /^\S{64} +\/etc\/mosquitto/.test(line) && !/mqttpwdfile/.test(line)
      );
      const after = await listing(container.root);
      assert.deepEqual(kept.filter((line) => !after.includes(line)), [], "files of the broker that changed");
      assert.match((await pi.status()).subscriber.state, /connected/);
    },
  );

  await context.step("a second run changes nothing", async () => {
    const files = await listing(container.root, true);
    const { pid } = await pi.status();
    const output = await succeedIn(container, adopt("--yes"));
    assert.match(output, /everything is taken over already/);
    assertSame(await listing(container.root, true), files, "second run");
    assert.equal((await pi.status()).pid, pid);
  });

  await context.step("undo brings the original back to work, as it was", async () => {
    const output = await succeedIn(container, adopt("--undo", "--yes"));
    assert.match(output, /the old installation works again/);
    assert.equal(await plant.shownFingerprint(), plant.fingerprint);
    assert.equal(await plant.crontab(), cron);
    assert.equal(await plant.state("stMQTT"), "enabled active");
    assert.equal(await plant.state("filebeat"), "enabled active");
    assertSame(ofBroker(await listing(container.root)), before, "undone");
    await waitUntil(() => plant.publish(1000), patienceMs, "the sensor");
    await waitUntil(
      async () => {
        await plant.publish(1001);
        return (await plant.inFiles()).includes(" 1001\n");
      },
      patienceMs,
      "readings in the old files",
    );
    assert.match((await call(container, adopt("--undo", "--yes"))).stderr, /nothing was adopted/);
  });

  await context.step("adopted once more, only what came since is read", async () => {
    const text = await plant.inFiles();
    const since = [1000, 1001].filter((value) => text.includes(` ${value}\n`));
    const often = text.split(" 1001\n").length - 1;
    await succeedIn(container, adopt("--yes"));
    await pi.connected();
    assert.ok(await plant.publish(1002));
    await waitUntil(() => plant.arrived().has(1002), patienceMs, "the last reading");
    assert.equal(plant.arrived().get(1001)?.length, often);
    for (const value of [...expected, ...since.filter((one) => one !== 1001), 1002]) {
      assert.equal(plant.arrived().get(value)?.length, 1, String(value));
    }
    assert.deepEqual(sink.violations, []);
  });
});
