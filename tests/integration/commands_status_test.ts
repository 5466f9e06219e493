import assert from "node:assert/strict";
import { agentBinary } from "../lab/agent.ts";
import { certificates } from "../lab/certificates.ts";
import { finish, succeed } from "../lab/command.ts";
import { PseudoTerminal } from "../lab/pseudo_terminal.ts";
import { waitUntil } from "../lab/wait.ts";
import { Scene } from "./commands_scene.ts";

Deno.test("status: 3 without an agent, 0 when all is well, 1 when something wants attention", async () => {
  await using scene = await Scene.open();
  const { agent, sink } = scene;
  const nobody = await agent.command("status");
  assert.equal(nobody.code, 3);
  assert.match(nobody.stderr, /no agent answers at .*agent\.sock/);
  assert.equal(
    JSON.parse((await agent.command("status", "--json")).stdout).error.slice(0, 16),
    "no agent answers",
  );

  await scene.start();
  await scene.publish([{ topic: "hall/t", payload: "21.5", qos: 1 }]);
  await agent.waitUntil("the reading to arrive", (snapshot) => snapshot.outputs[0]!.confirmed === 1);
  const well = await agent.command("status");
  assert.equal(well.code, 0, well.stdout);
  const text = well.stdout.replace(/\s+/g, " ");
  for (
    const part of [
      /broker connected, mqtt:\/\/127\.0\.0\.1/,
      /subscribed to # \(QoS 1\)/,
      /1 stored = 1 confirmed \+ 0 waiting \+ 0 dead \+ 0 dropped \+ 0 damaged/,
      /cloud well, elasticsearch at http/,
      /clock synchronised/,
    ]
  ) assert.match(text, part);

  sink.fault = { refuse: () => 400 };
  await scene.publish([{ topic: "hall/t", payload: "22", qos: 1 }]);
  await agent.waitUntil("a dead letter", (snapshot) => snapshot.outputs[0]!.dead === 1);
  const wants = await agent.command("status");
  assert.equal(wants.code, 1);
  assert.match(wants.stdout, /^attention .*\n?.*1 reading/m);
  assert.match(wants.stdout, /→ .*dead replay/);
  const json = JSON.parse((await agent.command("status", "--json")).stdout);
  assert.deepEqual([json.attention, json.outputs[0].sumHolds, json.outputs[0].dead], [true, true, 1]);
});

Deno.test("status: a broker that drops, and a certificate that ends soon, want attention", async () => {
  const made = await certificates();
  const extra = ["sys_interval 1", "max_queued_messages 3", "max_inflight_messages 3"];
  await using scene = await Scene.open({
    broker: { tls: made.endsSoon, extra },
    mqtt: { ca_file: made.ca.certificate, topics: ["hall/#"] },
  });
  const { agent, broker } = scene;
  await scene.start();
  await agent.waitUntil("a first look", ({ subscriber }) => subscriber.broker?.dropped === 0);
  const client = ["-p", String(broker.port), "--cafile", made.ca.certificate, "-i", "away"];
  await succeed("mosquitto_sub", [...client, "-c", "-q", "1", "-t", "yard", "-E"]);
  await succeed("mosquitto_pub", [
    ...client.with(-1, "publisher"),
    "-q",
    "1",
    "-t",
    "yard",
    "-m",
    "x",
    "--repeat",
    "20",
  ]);
  const codes = ["broker_drops", "certificate_ends"];
  await agent.waitUntil(
    "both alarms",
    ({ alarms }) => codes.every((code) => alarms.some((one) => one.code === code)),
  );
  const { code, stdout } = await agent.command("status");
  assert.equal(code, 1);
  const text = stdout.replace(/\s+/g, " ");
  assert.match(
    text,
    /attention the broker dropped 17 messages between .*→ the broker's log names the client/,
  );
  assert.match(text, /attention the broker's certificate lasts (9|10) days, until .*→ renew it/);
  assert.match(text, /it says: mosquitto version 2.*, 1 client connected, 1 away, .* of messages held/);
  assert.match(text, /the broker dropped 17 messages since /);
  const { spool, subscriber } = await agent.snapshot();
  assert.deepEqual([spool.stored, subscriber.received], [0, 0]);
});

Deno.test("status: --watch ends well on Ctrl-C, on a closed pipe, and outlives the agent", async () => {
  await using scene = await Scene.open();
  await scene.start();
  const watching = scene.begin("status", "--watch", "--json");
  const lines = () => watching.stdout.text.trimEnd().split("\n");
  await waitUntil(() => lines().length >= 2, 10_000, "two snapshots");
  await scene.agent.stop();
  await waitUntil(() => JSON.parse(lines().at(-1)!).error !== undefined, 10_000, "a line without an agent");
  watching.signal("SIGINT");
  assert.deepEqual(await watching.exit, { code: 0, signal: null });
  assert.equal(watching.stderr.text, "");

  const command = `'${agentBinary()}' status --watch --config '${scene.agent.configFile}'`;
  const piped = await finish("bash", ["-c", `${command} | head -1; echo "\${PIPESTATUS[0]}"`]);
  assert.deepEqual([piped.stdout.split("\n").at(-2), piped.stderr], ["0", ""]);
});

Deno.test("status: --watch on a terminal draws in place and leaves it as it was", async () => {
  await using scene = await Scene.open();
  await scene.start();
  const command = `exec '${agentBinary()}' status --watch --config '${scene.agent.configFile}'`;
  await using terminal = new PseudoTerminal(command);
  await terminal.until("two pictures, the last of a connected agent", (shown) => {
    return shown.split("\x1b[H").length > 2 && shown.includes("\x1b[32mconnected");
  }, 10_000);
  await terminal.press("\x03"); // Ctrl-C
  assert.equal(await terminal.code(), 0);
  const { shown } = terminal;
  assert.ok(shown.startsWith("\x1b[?1049h\x1b[?25l"), JSON.stringify(shown.slice(0, 100)));
  assert.ok(shown.endsWith("\x1b[?25h\x1b[?1049l"), JSON.stringify(shown.slice(-100)));
  assert.ok(!shown.includes("\x1b[2J"), "clearing first would flicker");
});
