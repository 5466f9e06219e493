import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { Container } from "../lab/container.ts";
import { waitUntil } from "../lab/wait.ts";
import { carried, placesOf } from "./install_rig.ts";

const patienceMs = 90_000;

/** A program on a terminal inside, answered as a person does: when the question is there. */
async function converse(container: Container, command: string, answers: [RegExp, string][]) {
  const args = container.command("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    TERM: "xterm",
  });
  await using stack = new AsyncDisposableStack();
  const child = new Deno.Command("nsenter", { args, stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  let shown = "";
  const reading = (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) shown += text;
  })();
  const failing = new Response(child.stderr).text();
  stack.defer(async () => {
    await writer.close().catch(() => {});
    await Promise.all([reading, failing, child.status]);
  });
  let from = 0;
  for (const [question, answer] of answers) {
    await waitUntil(() => question.test(shown.slice(from)), patienceMs, String(question), {
      explain: () => shown,
    });
    from = shown.length;
    await writer.write(new TextEncoder().encode(`${answer}\n`));
  }
  const { code } = await child.status;
  await reading;
  return { code, shown };
}

Deno.test("install: on a terminal it asks, a password is not shown while it is typed, and purge asks before", async () => {
  await using container = await Container.create();
  await container.boot();
  await container.copyIn(agentBinary(), carried, 0o755);
  const password = "typed-by-a-person-5521";
  const installed = await converse(container, `${carried} install`, [
    [/Name of this plant \[.*\]:/, "vigo"],
    [/Broker.*\[none yet\]:/, "mqtt://127.0.0.1:1883"],
    [/Account.*:/, "agent"],
    [/Its password: \(not shown\)/, password],
    [/Elasticsearch.*:/, ""],
  ]);
  assert.equal(installed.code, 0, installed.shown);
  assert.ok(!installed.shown.includes(password), installed.shown);
  const config = await Deno.readTextFile(join(container.root, "etc/sensorlog/agent.yaml"));
  assert.match(config, /^plant: vigo$/m);
  assert.match(config, /^ {2}username: agent\n {2}password_file: mqtt-password$/m);
  const found = (await placesOf(container, password)).filter((place) =>
    !place.startsWith("/run/credentials/")
  );
  assert.deepEqual(found, ["/etc/sensorlog/mqtt-password"]);

  const again = await converse(container, `${carried} install`, []);
  assert.equal(again.code, 0);
  assert.match(again.shown, /everything is there already/);
  const kept = await converse(container, `${carried} uninstall --purge`, [[
    /removes.*secrets.*Type yes/,
    "y",
  ]]);
  assert.deepEqual([kept.code, /nothing was changed/.test(kept.shown)], [1, true]);
  const gone = await converse(container, `${carried} uninstall --purge`, [[/Type yes/, "yes"]]);
  assert.equal(gone.code, 0);
  assert.notEqual((await container.finish("test", ["-e", "/etc/sensorlog"])).code, 0);
});
