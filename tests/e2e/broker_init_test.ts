import assert from "node:assert/strict";
import { join } from "node:path";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { agentBinary } from "../lab/agent.ts";
import { certificates } from "../lab/certificates.ts";
import { finish } from "../lab/command.ts";
import { waitUntil } from "../lab/wait.ts";
import { addressOf, addSensor, arrivedTopics, type Client, client, port, publish } from "./broker_rig.ts";
import { assertSame, call, carried, listing, placesOf, succeedIn } from "./install_rig.ts";
import { Pi, unit } from "./pi.ts";

const patienceMs = 60_000;

Deno.test("broker init: from a packaged Mosquitto to a sensor's reading in the output, and everybody else refused", async (context) => {
  await using pi = await Pi.bare();
  const { container } = pi;
  await container.copyIn(agentBinary(), carried, 0o755);
  await succeedIn(container, ["install", "--plant", "vigo", "--output-url", pi.sink.url]);
  const init = ["broker", "init", "--name", addressOf(pi), "broker.example"];
  let sensor: Client = {};

  await context.step(
    "a look before changes nothing and shows what would be written, but no key",
    async () => {
      const before = await listing(container.root, true);
      const output = await succeedIn(container, [...init, "--dry-run"]);
      assert.match(output, /\+ allow_anonymous false/);
      assert.match(output, /\+ +url: mqtts:\/\/127\.0\.0\.1:8883/);
      assert.doesNotMatch(output, /PRIVATE KEY|\$7\$/);
      assertSame(await listing(container.root, true), before, "dry run");
    },
  );

  await context.step("Mosquitto listens with TLS and the agent is connected", async () => {
    const output = await succeedIn(container, init);
    assert.match(output, /Mosquitto, started at every boot, at port 8883 \(mosquitto\.service\): changed/);
    const { subscriber } = await pi.connected();
    assert.ok(
      subscriber.filters.every(({ granted }) => granted !== "refused"),
      JSON.stringify(subscriber.filters),
    );
    const config = await Deno.readTextFile(join(container.root, "etc/sensorlog/agent.yaml"));
    assert.match(config, /^plant: vigo$/m);
    assert.match(config, /^ {2}status_topic: sensorlog\/vigo$/m);
    // an agent that had no broker ends when it is told to
    assert.doesNotMatch(await container.journal(unit), /timed out\. Killing/);
    const packaged = await container.succeed("dpkg", ["--verify", "mosquitto"]);
    assert.equal(packaged, "", "the package's own files are as they were");
  });

  await context.step("a second run changes nothing, and the agent and Mosquitto go on", async () => {
    const pids = async () => [(await pi.status()).pid, await container.succeed("pidof", ["mosquitto"])];
    const [files, before] = [await listing(container.root, true), await pids()];
    const second = await succeedIn(container, ["broker", "init"]);
    assert.match(second, /everything is there already/);
    assertSame(await listing(container.root, true), files, "second run");
    assert.deepEqual(await pids(), before);
  });

  await context.step("a sensor's account publishes over TLS and its reading arrives", async () => {
    sensor = { user: "kitchen", password: await addSensor(pi, "kitchen") };
    const { code, stderr } = await publish(pi, sensor, "kitchen/t", "21.5");
    assert.equal(code, 0, stderr);
    await waitUntil(() => arrivedTopics(pi).includes("kitchen/t"), patienceMs, "the reading in the sink");
  });

  await context.step(
    "without an account, with a wrong password, without TLS, with an old TLS, with another CA: refused",
    async () => {
      const other = await certificates();
      await container.copyIn(other.otherCa.certificate, "/srv/other-ca.crt");
      const refused: [string, Client, RegExp][] = [
        ["anonymous", {}, /not authori[sz]ed|refused/i],
        ["a wrong password", { ...sensor, password: "wrong" }, /not authori[sz]ed|refused/i],
        ["no such account", { user: "nobody", password: "x" }, /not authori[sz]ed|refused/i],
        ["plain text", { ...sensor, more: ["--plain"] }, /lost|Error|refused|EOF/i],
        [
          "another CA",
          { ...sensor, more: ["--cafile", "/srv/other-ca.crt"] },
          /certificate verify failed|TLS error|Protocol error/i,
        ],
      ];
      for (const [what, who, why] of refused) {
        const { code, stderr, stdout } = await publish(pi, who, "kitchen/refused", what);
        assert.notEqual(code, 0, what);
        assert.match(stdout + stderr, why, what);
      }
      const hello = (version: string) =>
        finish("openssl", [
          ...["s_client", "-connect", `${addressOf(pi)}:${port}`, version, "-cipher", "ALL:@SECLEVEL=0"],
          ...["-CAfile", join(container.root, brokerPlaces.caCertificate), "-verify_return_error"],
        ], { stdin: "" });
      assert.match((await hello("-tls1_2")).stdout, /Verify return code: 0 \(ok\)/);
      const old = await hello("-tls1_1");
      assert.match(old.stderr, /alert protocol version|unsupported protocol/);
      assert.match(old.stdout, /no peer certificate available/);
      // nobody listens in plain text any more
      const plain = await container.finish("mosquitto_pub", ["-h", "127.0.0.1", "-t", "a", "-m", "x"]);
      assert.match(plain.stderr, /Connection refused/);
      assert.ok(!arrivedTopics(pi).includes("kitchen/refused"));
    },
  );

  await context.step("a sensor writes its own topics and no other's, and reads none", async () => {
    const agent = {
      user: "agent",
      password: (await container.succeed("cat", ["/etc/sensorlog/mqtt-password"])).trim(),
    };
    for (const topic of ["hall/t", "kitchens/t", "sensorlog/vigo/marker", "$SYS/x"]) {
      // denied all the same, it is acknowledged
      assert.equal((await publish(pi, sensor, topic, "not mine")).code, 0);
    }
    assert.equal((await publish(pi, agent, "kitchen/t", "of the agent")).code, 0);
    await publish(pi, sensor, "kitchen/last", "1");
    await waitUntil(
      () => arrivedTopics(pi).includes("kitchen/last"),
      patienceMs,
      "the last reading in the sink",
    );
    const { subscriber } = await pi.status();
    assert.deepEqual(arrivedTopics(pi).sort(), ["kitchen/last", "kitchen/t"], JSON.stringify(subscriber));
    const read = async (who: Client, filter: string) => {
      let isOver = false;
      const args = ["-t", filter, "-C", "1", "-W", "4", "-F", "%t"];
      const reading = client(pi, "mosquitto_sub", who, args).finally(() => isOver = true);
      while (!isOver) await publish(pi, sensor, "kitchen/read", "to be seen");
      return (await reading).stdout.trim();
    };
    assert.equal(await read(agent, "kitchen/#"), "kitchen/read");
    for (const filter of ["#", "kitchen/#", "$SYS/#"]) assert.equal(await read(sensor, filter), "", filter);
    const seen = await client(pi, "mosquitto_sub", agent, [
      "-t",
      "$SYS/broker/version",
      "-C",
      "1",
      "-W",
      "20",
    ]);
    assert.match(seen.stdout, /mosquitto version/);
  });

  await context.step(
    "keys and passwords stand in files of their own, for their owner alone, and nowhere else",
    async () => {
      const passwords = await container.succeed("cat", ["/etc/sensorlog/mqtt-password"]);
      const keyLine = async (path: string) => (await container.succeed("cat", [path])).split("\n")[1]!;
      const secrets: [string, string[]][] = [
        [passwords.trim(), ["/etc/sensorlog/mqtt-password"]],
        [sensor.password!, []],
        [await keyLine(brokerPlaces.key), [brokerPlaces.key]],
        [await keyLine(brokerPlaces.caKey), [brokerPlaces.caKey]],
      ];
      for (const [secret, places] of secrets) {
        const found = (await placesOf(container, secret)).filter((place) =>
          !place.startsWith("/run/credentials/")
        );
        assert.deepEqual(found, places);
      }
      const modes = await container.succeed("stat", [
        ...[
          "-c",
          "%a %U %n",
          brokerPlaces.key,
          brokerPlaces.caKey,
          brokerPlaces.passwords,
          "/etc/sensorlog/mqtt-password",
        ],
      ]);
      assert.deepEqual(modes.trim().split("\n"), [
        `600 mosquitto ${brokerPlaces.key}`,
        `600 root ${brokerPlaces.caKey}`,
        `600 mosquitto ${brokerPlaces.passwords}`,
        "600 root /etc/sensorlog/mqtt-password",
      ]);
    },
  );

  await context.step(
    "what Mosquitto would not start with is found before the real one is touched",
    async () => {
      await container.succeed("sh", ["-c", "echo 'no_such_setting 1' > /etc/mosquitto/conf.d/mine.conf"]);
      const pid = await container.succeed("pidof", ["mosquitto"]);
      const files = await listing(container.root);
      const failed = await call(container, ["broker", "init", "--keep-qos"]);
      assert.equal(failed.code, 1);
      assert.match(failed.stderr, /a copy of Mosquitto: it ended at once; it said: .*no_such_setting/);
      assertSame(await listing(container.root), files, "a configuration that can't work");
      assert.equal(await container.succeed("pidof", ["mosquitto"]), pid);
      await container.succeed("rm", ["/etc/mosquitto/conf.d/mine.conf"]);
      const output = await succeedIn(container, ["broker", "init", "--keep-qos"]);
      assert.match(output, /a copy of Mosquitto is tried/);
      await pi.connected();
    },
  );

  await context.step("a Mosquitto that is set up by hand is left alone", async () => {
    await container.succeed("sh", [
      "-c",
      "echo 'password_file /etc/mosquitto/mine' >> /etc/mosquitto/mosquitto.conf",
    ]);
    const failed = await call(container, ["broker", "init"]);
    assert.match(failed.stderr, /mosquitto\.conf:\d+: Mosquitto was set up by hand.*broker adopt/);
  });
});
