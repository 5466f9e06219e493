import assert from "node:assert/strict";
import { join } from "node:path";
import { brokerPlaces } from "../../installer/broker/places.ts";
import { succeed } from "../lab/command.ts";
import { Publisher } from "../lab/publisher.ts";
import { waitUntil } from "../lab/wait.ts";
import {
  addressOf,
  addSensor,
  arrivedTopics,
  caFile,
  client,
  piWithBroker,
  port,
  publish,
} from "./broker_rig.ts";
import { call, succeedIn } from "./install_rig.ts";
import { type Pi, unit } from "./pi.ts";

const patienceMs = 60_000;

interface Row {
  name: string;
  writes: string[];
  reads: string[];
  connected: boolean;
  lastSeen: string | null;
}

async function rows(pi: Pi): Promise<Map<string, Row>> {
  const output = await succeedIn(pi.container, ["broker", "user", "list", "--json"]);
  return new Map(
    output.trim().split("\n").map((line) => JSON.parse(line) as Row).map((row) => [row.name, row]),
  );
}

async function arrives(pi: Pi, topic: string): Promise<void> {
  await waitUntil(() => arrivedTopics(pi).includes(topic), patienceMs, `${topic} in the sink`);
}

Deno.test("broker user: accounts come, change and go while other clients stay connected", async (context) => {
  await using pi = await piWithBroker();
  const { container } = pi;
  const steadyPassword = await addSensor(pi, "steady");
  const options = {
    port,
    hostname: addressOf(pi),
    caFile: caFile(pi),
    username: "steady",
    password: steadyPassword,
  };
  await using steady = await Publisher.connect({ ...options, clientId: "steady-1" });
  const connections = async () => {
    const log = await container.succeed("cat", ["/var/log/mosquitto/mosquitto.log"]);
    return log.split("\n").filter((line) =>
      /New client connected from .* as (steady-1|sensorlog-)/.test(line)
    ).length;
  };
  const before = await connections();
  const goesOn = async (topic: string) => {
    await steady.publish([{ topic: `steady/${topic}`, payload: "1", qos: 1 }]);
    await arrives(pi, `steady/${topic}`);
    assert.equal(await connections(), before, "nobody had to connect again");
  };

  await context.step("a topic that is refused costs nobody the connection", async () => {
    await steady.publish([{ topic: "hall/refused", payload: "1", qos: 1 }]);
    await goesOn("refused");
    assert.ok(!arrivedTopics(pi).includes("hall/refused"));
  });

  await context.step("a new account may write at once, with topics of its own choice too", async () => {
    const password = await addSensor(pi, "s1", "--topics", "hall/+/t", "hall s1/#");
    for (const topic of ["hall/1/t", "hall s1/ü", "hall/1/u", "s1/t"]) {
      assert.equal((await publish(pi, { user: "s1", password }, topic, "1")).code, 0);
    }
    await arrives(pi, "hall s1/ü");
    await goesOn("a");
    assert.ok(!arrivedTopics(pi).includes("hall/1/u") && !arrivedTopics(pi).includes("s1/t"));
  });

  await context.step("other topics and another password reach the broker without a restart", async () => {
    await succeedIn(container, ["broker", "user", "add", "s1", "--topics", "yard/#"]);
    const shown = await succeedIn(
      container,
      ["broker", "user", "add", "s1", "--password-file", "-"],
      "mine-4711\n",
    );
    assert.doesNotMatch(shown, /mine-4711/);
    const s1 = { user: "s1", password: "mine-4711" };
    await publish(pi, s1, "hall/2/t", "1");
    await publish(pi, s1, "yard/t", "1");
    await arrives(pi, "yard/t");
    assert.ok(!arrivedTopics(pi).includes("hall/2/t"));
    await goesOn("b");
  });

  await context.step("an account that is there is not given another password by mistake", async () => {
    const again = await call(container, ["broker", "user", "add", "s1"]);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /there is an account of that name/);
    assert.equal((await publish(pi, { user: "s1", password: "mine-4711" }, "yard/u", "1")).code, 0);
    const wrong = await call(container, ["broker", "user", "add", "s2", "--topics", "a/#/b"]);
    assert.match(wrong.stderr, /--topics "a\/#\/b": it has a #/);
    assert.equal((await call(container, ["broker", "user", "remove", "agent"])).code, 2);
  });

  await context.step("a settings file is all that a sensor needs, and for root alone", async () => {
    await addSensor(pi, "s3", "--settings", "/srv/s3.json");
    assert.equal(await container.succeed("stat", ["-c", "%a %U", "/srv/s3.json"]), "600 root\n");
    const settings = JSON.parse(await container.succeed("cat", ["/srv/s3.json"]));
    const certificate = join(container.root, brokerPlaces.certificate);
    const sha1 = await succeed("openssl", ["x509", "-in", certificate, "-noout", "-fingerprint", "-sha1"]);
    assert.equal(sha1.trim().split("=")[1], settings.fingerprint_sha1);
    assert.equal(settings.broker, addressOf(pi));
    const ca = await Deno.makeTempFile();
    await Deno.writeTextFile(ca, settings.ca);
    await using publisher = await Publisher.connect({
      ...{ hostname: settings.broker, port: settings.port, caFile: ca },
      ...{ username: settings.username, password: settings.password },
    });
    await publisher.publish([{ topic: `${settings.topic_prefix}/t`, payload: "1", qos: 1 }]);
    await arrives(pi, "s3/t");
    await Deno.remove(ca);
    const again = await call(container, ["broker", "user", "add", "s4", "--settings", "/srv/s3.json"]);
    assert.match(again.stderr, /there is something of that name/);
    assert.ok(!(await rows(pi)).has("s4"));
    const elsewhere = await call(container, [
      "broker",
      "user",
      "add",
      "s4",
      "--settings",
      "/srv/s4",
      "--address",
      "x.example",
    ]);
    assert.match(elsewhere.stderr, /certificate does not name it; .*rotate --name x\.example/);
  });

  await context.step(
    "the list says who writes what, who is connected, and when others were last seen",
    async () => {
      const listed = await rows(pi);
      assert.deepEqual([...listed.keys()], ["agent", "s1", "s3", "steady"]);
      assert.deepEqual(listed.get("s1")!.writes, ["yard/#"]);
      assert.deepEqual(listed.get("agent")!.reads, ["#", "$SYS/#"]);
      assert.deepEqual(["agent", "steady", "s1"].map((name) => listed.get(name)!.connected), [
        true,
        true,
        false,
      ]);
      const age = Date.now() - Date.parse(listed.get("s1")!.lastSeen!);
      assert.ok(age >= -2_000 && age < 10 * 60_000, `${age} ms`);
      // as logrotate does: the rotated log still counts
      const rotate =
        "cd /var/log/mosquitto && gzip -c mosquitto.log > mosquitto.log.1.gz && rm mosquitto.log && systemctl reload mosquitto";
      await container.succeed("sh", ["-c", rotate]);
      assert.deepEqual((await rows(pi)).get("s1"), listed.get("s1"));
      assert.match(
        await succeedIn(container, ["broker", "user", "list"]),
        /^steady +steady\/# +- +connected since 20\d\d-/m,
      );
    },
  );

  await context.step(
    "a removed account writes nothing any more, also over a connection that it has",
    async () => {
      await using leaving = await Publisher.connect({ ...options, username: "s1", password: "mine-4711" });
      await leaving.publish([{ topic: "yard/before", payload: "1", qos: 1 }]);
      await arrives(pi, "yard/before");
      await succeedIn(container, ["broker", "user", "remove", "s1"]);
      await leaving.publish([{ topic: "yard/after", payload: "1", qos: 1 }]).catch(() => {}); // cut off, or ignored
      assert.notEqual((await publish(pi, { user: "s1", password: "mine-4711" }, "yard/after", "1")).code, 0);
      await steady.publish([{ topic: "steady/c", payload: "1", qos: 1 }]);
      await arrives(pi, "steady/c");
      assert.ok(!arrivedTopics(pi).includes("yard/after"));
      const again = await call(container, ["broker", "user", "remove", "s1"]);
      assert.match(again.stderr, /there is no such account/);
    },
  );
});

Deno.test("broker, a power cut: what waits for an agent that is away is lost for the last minute at most; what the agent has, never", async () => {
  await using pi = await piWithBroker();
  const { container } = pi;
  const password = await addSensor(pi, "kitchen");
  const who = { user: "kitchen", password };
  const lines = (from: number) => Array.from({ length: 200 }, (_, n) => String(from + n));
  const send = async (readings: string[]) => {
    await using publisher = await Publisher.connect({
      ...{ port, hostname: addressOf(pi), caFile: caFile(pi), username: who.user, password },
    });
    await publisher.publish(readings.map((payload) => ({ topic: "kitchen/n", payload, qos: 1 })));
  };
  const [had, kept, atRisk] = [lines(0), lines(1_000), lines(2_000)];
  pi.sink.fault = { status: 503 }; // the agent has them on its disk alone
  const base = (await pi.status()).subscriber.acknowledged;
  await send(had);
  await pi.until(
    "readings on the agent's disk",
    ({ subscriber }) => subscriber.acknowledged >= base + had.length,
  );
  await container.succeed("systemctl", ["stop", unit]);
  await send(kept);
  const database = join(container.root, "var/lib/mosquitto/mosquitto.db");
  const saved = () => Deno.stat(database).then(({ mtime }) => mtime!.getTime(), () => 0);
  const [first, begunMs] = [await saved(), performance.now()];
  await waitUntil(async () => await saved() > first, 120_000, "Mosquitto's database to be saved", {
    everyMs: 500,
  });
  assert.ok(performance.now() - begunMs < 75_000, "within a minute");
  await send(atRisk);
  await container.kill();
  pi.sink.fault = undefined;
  await container.boot();
  await pi.setClock();
  const counts = await pi.arrived([...had, ...kept]);
  await pi.connected();
  const repeated = [...counts].filter(([line, times]) => times !== 1 && had.includes(line));
  assert.deepEqual(repeated, []);
  const lost = atRisk.filter((line) => !counts.has(line));
  console.log(
    `      of ${atRisk.length} readings of the last minute, for an agent that was away, ${lost.length} were lost`,
  );
  assert.ok(lost.length > 0, "a power cut that loses nothing shows nothing");
  const { code, stderr } = await client(pi, "mosquitto_pub", who, [
    "-q",
    "1",
    "-t",
    "kitchen/n",
    "-m",
    "3000",
  ]);
  assert.equal(code, 0, stderr);
  await pi.arrived(["3000"]);
});
