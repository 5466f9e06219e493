import assert from "node:assert/strict";
import { finish } from "../lab/command.ts";
import { agentBinary } from "../lab/agent.ts";
import type { Message } from "../lab/publisher.ts";
import { PseudoTerminal } from "../lab/pseudo_terminal.ts";
import { waitUntil } from "../lab/wait.ts";
import { Scene } from "./commands_scene.ts";

/** Publishes until the tail has shown something, so that it is known to listen. */
async function listens(scene: Scene, shown: () => string, topic: string): Promise<void> {
  await waitUntil(
    async () => {
      await scene.publish([{ topic, payload: "hello" }]);
      return shown() !== "";
    },
    10_000,
    "the tail to listen",
  );
}

Deno.test("tail: shows readings whose topic matches, as JSON or for people, until Ctrl-C", async () => {
  await using scene = await Scene.open();
  await scene.start();
  const json = scene.begin("tail", "hall/+/t", "--json");
  const text = scene.begin("tail");
  await listens(scene, () => json.stdout.text, "hall/1/t");
  await listens(scene, () => text.stdout.text, "hall/1/t");
  await scene.publish([
    { topic: "hall/2/t", payload: "21.5", qos: 1 },
    { topic: "hall/2/p", payload: "1013", qos: 1 },
    { topic: "hall/3/t", payload: "\x1b[2J", qos: 2 },
  ]);
  const parsed = () => json.stdout.text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const some = () => parsed().filter((line) => line.payload !== "hello");
  await waitUntil(() => some().length === 2, 5_000, "two readings");
  assert.deepEqual(some().map(({ topic, payload, qos }) => [topic, payload, qos]), [
    ["hall/2/t", "21.5", 1],
    ["hall/3/t", "\x1b[2J", 1],
  ]);
  await waitUntil(
    () => text.stdout.text.includes("hall/3/t \\x1b[2J\n"),
    5_000,
    "the escape sequence made harmless",
  );
  assert.match(text.stdout.text, /^\d{4}-\d\d-\d\dT\S+Z hall\/2\/p 1013$/m);
  for (const one of [json, text]) {
    one.signal("SIGINT");
    assert.equal((await one.exit).code, 0);
  }
});

Deno.test("tail: a reader that is too slow is told what it missed, and the agent holds nothing for it", async () => {
  await using scene = await Scene.open({ broker: { extra: ["max_queued_messages 0"] } });
  await scene.start();
  const tail = scene.begin("tail", "--json");
  await listens(scene, () => tail.stdout.text, "hall/t");
  tail.signal("SIGSTOP");
  const before = scene.agent.memoryBytes();
  const payload = "x".repeat(1_000);
  const messages: Message[] = Array.from({ length: 60_000 }, () => ({ topic: "hall/t", payload, qos: 1 }));
  await scene.publish(messages);
  const { spool } = await scene.agent.waitUntil(
    "all to be stored",
    (snapshot) => snapshot.spool.stored >= messages.length,
    30_000,
  );
  assert.ok(scene.agent.memoryBytes() - before < 60 * 1024 * 1024, "60 MB of payloads passed by");
  tail.signal("SIGCONT");
  await waitUntil(() => tail.stderr.text.includes("passed by"), 10_000, "the notice");
  await scene.publish([{ topic: "hall/t", payload: "last", qos: 1 }]);
  await waitUntil(() => tail.stdout.text.includes('"payload":"last"'), 10_000, "the last reading");
  const missed = [...tail.stderr.text.matchAll(/… ([\d,]+) readings passed by/g)]
    .reduce((sum, match) => sum + Number(match[1]!.replaceAll(",", "")), 0);
  const lines = tail.stdout.text.trimEnd().split("\n").map((line) => JSON.parse(line).sequence as number);
  assert.ok(lines.every((sequence, at) => at === 0 || sequence > lines[at - 1]!), "in order, none twice");
  assert.equal(lines.at(-1)! - lines[0]! + 1, lines.length + missed, "shown and missed are all there were");
  assert.ok(spool.stored >= messages.length);
  tail.signal("SIGTERM");
  assert.equal((await tail.exit).code, 0);
});

Deno.test("tail: ends with the agent, with a closed pipe, and says when there is none", async () => {
  await using scene = await Scene.open();
  const nobody = await scene.agent.command("tail");
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /no agent answers/);
  await scene.start();
  const tail = scene.begin("tail");
  await listens(scene, () => tail.stdout.text, "hall/t");
  const command = `'${agentBinary()}' tail --config '${scene.agent.configFile}'`;
  const piped = finish("bash", ["-c", `${command} | head -1; echo "\${PIPESTATUS[0]}"`]);
  let over = false;
  void piped.then(() => over = true);
  await waitUntil(
    async () => {
      await scene.publish([{ topic: "hall/t", payload: "1" }]);
      return over;
    },
    10_000,
    "the piped tail to end",
  );
  const { stdout, stderr } = await piped;
  assert.deepEqual([stdout.split("\n").at(-2), stderr], ["0", ""]);
  await scene.agent.stop();
  assert.equal((await tail.exit).code, 1);
  assert.match(tail.stderr.text, /the agent has ended/);
});

Deno.test("tail: several filters; on a terminal values stand below each other, in colour and harmless", async () => {
  await using scene = await Scene.open();
  await scene.start();
  const config = `--config '${scene.agent.configFile}'`;
  const command = `stty cols 70; exec '${agentBinary()}' tail ${config} 'hall/+/t' gate`;
  await using terminal = new PseudoTerminal(command);
  await listens(scene, () => terminal.shown, "hall/1/t");
  await scene.publish([
    { topic: "hall/tower/t", payload: '{ "a": 1 }', qos: 1 },
    { topic: "hall/1/p", payload: "another topic", qos: 1 },
    { topic: "gate", payload: `${"\x1b[2J".repeat(30)}`, qos: 1 },
  ]);
  await terminal.until("three readings", (shown) => shown.includes("bytes)"), 10_000);
  await terminal.press("\x03"); // Ctrl-C
  assert.equal(await terminal.code(), 0);
  const { shown } = terminal;
  const lines = shown.split("\r\n").slice(0, -1);
  const tones = (line: string) =>
    /^\d\d:\d\d:\d\d {2}<2m(.*)<0m {2}<1m(.*)<0m$/.exec(line.replaceAll("\x1b[", "<"));
  const last = lines.slice(-2).map((line) => tones(line)?.slice(1, 3));
  assert.deepEqual(last[0], ["hall/tower/t", '{"a":1}']);
  assert.equal(last[1]?.[0], "gate        ");
  assert.match(last[1]![1]!, /^(\\x1b\[2J)+\S*… \(120 bytes\)$/);
  assert.equal(
    "00:00:00  ".length + last[1]!.join("  ").length,
    69,
    "as wide as the window, less one column",
  );
  assert.ok(!shown.includes("another topic"));
});
