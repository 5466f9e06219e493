import assert from "node:assert/strict";
import { join } from "node:path";
import { finish } from "../lab/command.ts";
import { agentBinary } from "../lab/agent.ts";
import { Scene } from "./commands_scene.ts";

/** No output: everything stays on disk. */
const keeping = { more: { outputs: {} } };

Deno.test("spool: ls, verify and cat work while the agent runs, and when it does not", async () => {
  await using scene = await Scene.open(keeping);
  const { agent } = scene;
  await scene.start();
  const payloads = Array.from({ length: 50 }, (_, i) => String(i));
  await scene.publish(payloads.map((payload) => ({ topic: "hall/t", payload, qos: 1 as const })));
  await agent.waitUntil("50 readings", (snapshot) => snapshot.spool.stored === 50);
  for (const runs of [true, false]) {
    if (!runs) await agent.stop();
    const ls = await agent.command("spool", "ls");
    assert.equal(ls.code, 0, ls.stderr);
    assert.match(ls.stdout, /^segment +readings +first +size\n00000001-\S+\.seg +50 +1 +/);
    const [segment] = (await agent.command("spool", "ls", "--json")).stdout.split("\n");
    assert.equal(JSON.parse(segment!).nextSequence, 51);
    const verify = await agent.command("spool", "verify");
    assert.deepEqual([verify.code, verify.stdout.trimEnd().split("\n").at(-1)], [
      0,
      "50 readings, all whole",
    ]);
    const cat = await agent.command("spool", "cat", "--json");
    assert.deepEqual(cat.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).payload), payloads);
    assert.match((await agent.command("spool", "cat")).stdout, /Z hall\/t 49\n$/);
  }
});

Deno.test("spool: damage is found, named and counted; the rest is printed", async () => {
  await using scene = await Scene.open(keeping);
  const { agent } = scene;
  await scene.start();
  for (const payload of ["first", "second", "third"]) {
    await scene.publish([{ topic: "hall/t", payload, qos: 1 }]);
  }
  await agent.waitUntil("3 readings", (snapshot) => snapshot.spool.stored === 3);
  await agent.stop();
  const { name } = JSON.parse((await agent.command("spool", "ls", "--json")).stdout);
  const path = join(agent.spoolDir, name);
  const bytes = await Deno.readFile(path);
  const at = new TextDecoder("latin1").decode(bytes).indexOf("second");
  bytes[at]! ^= 1;
  await Deno.writeFile(path, bytes);
  const verify = await agent.command("spool", "verify");
  assert.equal(verify.code, 1);
  assert.match(verify.stdout, /✗ .*: 1 readings are damaged or missing/);
  assert.equal(JSON.parse((await agent.command("spool", "verify", "--json")).stdout).damagedReadings, 1);
  const cat = await agent.command("spool", "cat", "--json");
  assert.equal(cat.code, 1);
  assert.deepEqual(cat.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).payload), [
    "first",
    "third",
  ]);
  assert.match(cat.stderr, /1 readings are damaged or missing/);
});

Deno.test("spool: a folder that is not there is an error that says so; a closed pipe ends cat quietly", async () => {
  await using scene = await Scene.open(keeping);
  const { agent } = scene;
  const none = await agent.command("spool", "ls");
  assert.equal(none.code, 1);
  assert.ok(
    none.stderr.includes(`read the spool: ${agent.spoolDir}: there is no such folder; has the`),
    none.stderr,
  );
  await scene.start();
  const messages = Array.from(
    { length: 5_000 },
    () => ({ topic: "t", payload: "x".repeat(500), qos: 1 as const }),
  );
  await scene.publish(messages);
  await agent.waitUntil("the readings", (snapshot) => snapshot.spool.stored === messages.length);
  const command = `'${agentBinary()}' spool cat --config '${agent.configFile}'`;
  const piped = await finish("bash", ["-c", `${command} | head -1 > /dev/null; echo "\${PIPESTATUS[0]}"`]);
  assert.deepEqual([piped.stdout, piped.stderr], ["0\n", ""]);
});
