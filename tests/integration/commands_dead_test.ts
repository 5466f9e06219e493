import assert from "node:assert/strict";
import { Scene } from "./commands_scene.ts";

/** A scene in which the output refuses every reading above 1 for its own fault. */
async function withDeadLetters(): Promise<Scene> {
  const scene = await Scene.open();
  scene.sink.fault = { refuse: (_id, line) => JSON.parse(line).value > 1 ? 400 : undefined };
  await scene.start();
  await scene.publish(["1", "2", "3", "4"].map((payload) => ({ topic: "hall/t", payload, qos: 1 as const })));
  await scene.agent.waitUntil("three dead letters", (snapshot) => snapshot.outputs[0]!.dead === 3);
  return scene;
}

const linesOf = (text: string) => text.trimEnd().split("\n");

for (const runs of [true, false]) {
  Deno.test(`dead: ls, show, replay and drop ${runs ? "ask the running agent" : "work without an agent"}`, async () => {
    await using scene = await withDeadLetters();
    const { agent, sink } = scene;
    if (!runs) await agent.stop();
    const ls = await agent.command("dead", "ls");
    assert.equal(ls.code, 0, ls.stderr);
    assert.match(ls.stdout, /^cloud [0-9a-f]{16}-2 \d{4}-\S+Z hall\/t: 400 .*\n(.*\n){2}3 dead letters\n$/);
    const json = linesOf((await agent.command("dead", "ls", "cloud", "--json")).stdout).map((line) =>
      JSON.parse(line)
    );
    assert.deepEqual(json.map(({ output, sequence }) => [output, sequence]), [["cloud", 2], ["cloud", 3], [
      "cloud",
      4,
    ]]);
    const [second, third] = json.map((one) => one.id as string);

    const show = await agent.command("dead", "show", "cloud", second!);
    assert.match(show.stdout, /^reason +.*\n(.*\n)*payload +2\n/m, show.stderr);
    const shown = JSON.parse((await agent.command("dead", "show", "cloud", second!, "--json")).stdout);
    assert.deepEqual([shown.id, shown.status, shown.reading.payload], [second, 400, "2"]);

    const again = await agent.command("dead", "replay", "cloud");
    assert.equal(again.code, 1);
    assert.match(again.stdout, /^0 sent, 3 refused again: 400 /);
    sink.fault = undefined;
    const one = await agent.command("dead", "replay", "cloud", second!);
    assert.deepEqual([one.code, one.stdout], [0, "1 sent, 0 refused again\n"]);
    const dropped = await agent.command("dead", "drop", "cloud", third!, "--json");
    assert.deepEqual(JSON.parse(dropped.stdout), { dropped: 1 });
    assert.equal((await agent.command("dead", "drop", "cloud", "--all")).stdout, "1 dropped\n");
    assert.equal((await agent.command("dead", "ls")).stdout, "0 dead letters\n");

    if (!runs) await scene.start();
    const { outputs } = await agent.snapshot();
    const { stored, confirmed, dead, dropped: droppedCount } = outputs[0]!;
    assert.deepEqual([stored, confirmed, dead, droppedCount], [4, 2, 0, 2]);
    assert.deepEqual(sink.sources().map((source) => source.value), [1, 2]);
    assert.deepEqual(sink.violations, []);
  });
}

Deno.test("dead: an unknown output or id, or no folder at all, is an error that says what there is", async () => {
  await using scene = await Scene.open();
  const { agent } = scene;
  const early = await agent.command("dead", "ls");
  assert.equal(early.code, 1);
  assert.match(early.stderr, /no agent answers, and there is no such folder/);
  await scene.start();
  const output = await agent.command("dead", "ls", "clod");
  assert.deepEqual(
    [output.code, /no output of that name; known are cloud/.test(output.stderr)],
    [1, true],
    output.stderr,
  );
  const id = await agent.command("dead", "replay", "cloud", "0000000000000000-9");
  assert.deepEqual([id.code, /none with the id 0000000000000000-9/.test(id.stderr)], [1, true], id.stderr);
  const shown = await agent.command("dead", "show", "cloud", "0000000000000000-9");
  assert.deepEqual([shown.code, /there is none with this id/.test(shown.stderr)], [1, true], shown.stderr);
});

Deno.test("dead: an output that does not answer is told, and nothing is lost", async () => {
  await using scene = await withDeadLetters();
  const { agent, sink } = scene;
  sink.fault = { status: 503 };
  const replay = await agent.command("dead", "replay", "cloud", "--json");
  assert.equal(replay.code, 1);
  const result = JSON.parse(replay.stdout);
  assert.deepEqual([result.replayed, typeof result.reason], [0, "string"]);
  sink.fault = undefined;
  assert.equal((await agent.command("dead", "replay", "cloud")).stdout, "3 sent, 0 refused again\n");
  await agent.waitUntil(
    "all to be confirmed",
    ({ outputs }) => outputs[0]!.confirmed === 4 && outputs[0]!.dead === 0,
  );
});
