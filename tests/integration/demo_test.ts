import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { finish } from "../lab/command.ts";
import { projectDir } from "../lab/paths.ts";
import { Running } from "../lab/process.ts";
import { delay, waitUntil } from "../lab/wait.ts";
import { DemoTmp } from "./demo_setup.ts";
import { PseudoTerminal } from "../lab/pseudo_terminal.ts";

const sum =
  /took ([\d,]+) readings; every one is accounted for:\r?\n +(\d+) stored = (\d+) confirmed \+ 0 waiting \+ 0 dead \+ 0 dropped \+ 0 damaged\r?\n/;
const enter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const leave = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/** From source, behind npx, on a busy machine. */
const startMs = 60_000;

Deno.test("demo: in a pipe plain lines, and after --seconds every reading is accounted for", async () => {
  await using tmp = await DemoTmp.make();
  const { code, stdout, stderr } = await finish(agentBinary(), ["demo", "--seconds", "4"], tmp);
  assert.deepEqual([code, stderr], [0, ""]);
  const [, took, stored, confirmed] = sum.exec(stdout)!.map(Number);
  assert.ok(took! >= 8 && took === stored && stored === confirmed, stdout);
  const acknowledged = [...stdout.matchAll(/(\d+) acknowledged/g)].map((match) => Number(match[1]));
  assert.ok(acknowledged.at(-1)! >= 8 && acknowledged.at(-1)! <= took!, stdout);
  assert.match(stdout, /\d s: \d+ received, \d+ on disk, \d+ acknowledged, \d+ in the store; greenhouse\//);
  assert.ok(!stdout.includes("\x1b"));
  const readme = Deno.readTextFileSync(join(projectDir, "README.md"));
  const headings = [.../Next: README\.md, .*/.exec(stdout)![0].matchAll(/"([^"]+)"/g)].map((match) =>
    match[1]!
  );
  assert.ok(headings.length > 0 && headings.every((one) => readme.includes(`\n## ${one}`)), headings.join());
});

Deno.test("demo: without any network but the machine's own loopback", async () => {
  await using tmp = await DemoTmp.make();
  const script = `ip link set lo up && exec '${agentBinary()}' demo --seconds 3`;
  const args = ["--net", "--map-root-user", "sh", "-c", script];
  const { code, stdout, stderr } = await finish("unshare", args, tmp);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, sum);
});

Deno.test("demo: what it offers can be pasted as it stands; a reading of one's own shows up, and SIGTERM ends it", async () => {
  await using tmp = await DemoTmp.make();
  const running = new Running(agentBinary(), ["demo"], { env: tmp.env, cwd: projectDir });
  try {
    await waitUntil(() => /^\d+ s: /m.test(running.stdout.text), 30_000, "the first line");
    const steps = [...running.stdout.text.matchAll(/^ {2}(\S.*?) {2,}# /gm)].map((match) => match[1]!);
    const [publish, status, tail, exported, ...more] = steps;
    assert.deepEqual(more, []);
    const paste = (line: string) => finish("sh", ["-c", line], { cwd: projectDir });
    const published = await paste(publish!);
    assert.equal(published.code, 0, published.stderr);
    await waitUntil(
      () => running.stdout.text.includes("; my/desk 21.5"),
      30_000,
      "the reading on the screen",
    );
    assert.match((await paste(status!)).stdout, /listening.*127\.0\.0\.1/);
    assert.match((await paste(`timeout 60 ${tail} | head -1`)).stdout, /^\S+Z \S+\/\S+ /);
    await waitUntil(
      async () => (await paste(exported!)).stdout.includes(",my/desk,21.5,"),
      30_000,
      "the reading in the store",
    );
  } finally {
    await running.stop();
  }
  assert.deepEqual(await running.exit, { code: 0, signal: null });
  assert.match(running.stdout.text, sum);
  assert.equal(running.stderr.text, "");
});

Deno.test("demo: on a terminal it draws in place; Ctrl-C is a key, so that a shell or task around it goes on", async () => {
  await using tmp = await DemoTmp.make();
  // a shell that Ctrl-C as a signal would end, as npx and `deno task` do
  await using typed = new PseudoTerminal(`'${agentBinary()}' demo; echo "code $?"; stty -a; exit 7`, tmp.env);
  await typed.until(
    "some pictures",
    (shown) => shown.split("\x1b[H").length > 4 && /°C/.test(shown),
    startMs,
  );
  await typed.press("x\r");
  await typed.press("\x03");
  assert.equal(await typed.code(), 7, "the shell lives");
  const { shown } = typed;
  assert.ok(shown.startsWith(enter), JSON.stringify(shown.slice(0, 100)));
  const after = shown.slice(shown.lastIndexOf(leave) + leave.length);
  assert.match(after, /^The demo ran for \d+ m?s and took/);
  assert.match(after, sum);
  assert.match(after, /code 0\r\n/);
  assert.match(after, / echo /, "keys are echoed again");
  assert.match(after, /\nisig icanon/);
  assert.ok(!shown.includes("\x1b[2J"), "nothing is cleared");
  assert.ok(!shown.slice(0, shown.lastIndexOf(leave)).includes("^C"), "no key is echoed into the picture");
});

Deno.test("demo: q ends it, too, and a new size of the window is followed at once", async () => {
  await using tmp = await DemoTmp.make();
  await using typed = new PseudoTerminal(`exec '${agentBinary()}' demo`, tmp.env);
  await typed.until("a picture", (shown) => /°C/.test(shown), startMs);
  const { pid } = await tmp.running();
  const terminal = await Deno.readLink(`/proc/${pid}/fd/0`);
  const stty = await finish("stty", ["-F", terminal, "columns", "150", "rows", "45"]);
  assert.equal(stty.code, 0, stty.stderr);
  await typed.until(
    "a larger picture",
    (shown) => shown.slice(shown.lastIndexOf("\x1b[H")).includes("on their way"),
    startMs,
  );
  await typed.press("q");
  assert.equal(await typed.code(), 0);
  assert.match(typed.shown, sum);
});

Deno.test("demo: SIGTERM, and a terminal that is closed, leave the terminal as it was and nothing behind", async () => {
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    await using tmp = await DemoTmp.make();
    await using typed = new PseudoTerminal(`exec '${agentBinary()}' demo`, tmp.env);
    await typed.until("a picture", (shown) => /°C/.test(shown), startMs);
    Deno.kill((await tmp.running()).pid, signal);
    assert.equal(await typed.code(), 0);
    assert.ok(typed.shown.includes(`${leave}The demo ran for `), JSON.stringify(typed.shown.slice(-500)));
  }
});

Deno.test("demo: a second Ctrl-C ends it at once, and even then nothing is left behind", async () => {
  await using tmp = await DemoTmp.make();
  const running = new Running(agentBinary(), ["demo"], tmp);
  await waitUntil(() => /^\d+ s: /m.test(running.stdout.text), 30_000, "the first line");
  while (!running.ended) {
    running.signal("SIGINT"); // as often as it takes to be heard twice
    await delay(2);
  }
  assert.equal((await running.exit).code, 130);
  await using typed = new PseudoTerminal(`exec '${agentBinary()}' demo`, tmp.env);
  await typed.until("a picture", (shown) => /°C/.test(shown), startMs);
  Deno.kill((await tmp.running()).pid, "SIGINT");
  await typed.press("\x03");
  const code = await typed.code();
  assert.ok(code === 130 || code === 0, `code ${code}`); // it may have been done before the second
  assert.ok(typed.shown.includes(leave));
});

Deno.test("demo: what a killed one left is removed by the next, while a third goes on", async () => {
  await using tmp = await DemoTmp.make();
  const killed = new Running(agentBinary(), ["demo"], tmp);
  await waitUntil(() => /^\d+ s: /m.test(killed.stdout.text), 30_000, "the first line");
  const { dir } = await tmp.running();
  killed.signal("SIGKILL");
  await killed.exit;
  assert.deepEqual(tmp.left(), [basename(dir)]);
  const third = new Running(agentBinary(), ["demo"], tmp);
  await waitUntil(() => /^\d+ s: /m.test(third.stdout.text), 30_000, "the first line");
  const own = await tmp.running();
  assert.notEqual(own.dir, dir);
  assert.equal((await finish(agentBinary(), ["demo", "--seconds", "1"], tmp)).code, 0);
  assert.equal((await tmp.running()).pid, third.pid);
  assert.deepEqual(await third.stop(), { code: 0, signal: null });
});

Deno.test("demo: who reads no further ends it", async () => {
  await using tmp = await DemoTmp.make();
  const { code, stdout } = await finish("sh", ["-c", `'${agentBinary()}' demo | head -1`], tmp);
  assert.equal(code, 0);
  assert.match(stdout, /^sensorlog-agent demo: .*\n$/);
  await waitUntil(() => tmp.left().length === 0, 30_000, "the demo to end"); // head ends first
});

Deno.test("demo: wrong use is said, ends with 2, and nothing is begun", async () => {
  await using tmp = await DemoTmp.make();
  for (const seconds of ["0", "-1", "1e3", "soon", "604801", ""]) {
    const { code, stderr, stdout } = await finish(agentBinary(), ["demo", `--seconds=${seconds}`], tmp);
    assert.deepEqual([code, stdout], [2, ""], seconds);
    assert.match(stderr, /--seconds.*Allowed are seconds above 0/);
  }
  const { code, stderr } = await finish(agentBinary(), ["demo", "--config", "/x.yaml"], tmp);
  assert.equal(code, 2);
  assert.match(stderr, /a configuration of its own/);
});

Deno.test("demo: an error ends it with 1, says why, and leaves nothing behind", async () => {
  await using tmp = await DemoTmp.make();
  const env = { TMPDIR: "/proc/self/task" };
  const { code, stderr } = await finish(agentBinary(), ["demo", "--seconds", "1"], { env });
  assert.equal(code, 1);
  assert.match(stderr, /^sensorlog-agent: make a folder for the demo: .*TMPDIR\n$/);
  const running = new Running(agentBinary(), ["demo"], tmp);
  await waitUntil(() => /^\d+ s: /m.test(running.stdout.text), 30_000, "the first line");
  const { dir } = await tmp.running();
  await Deno.remove(dir, { recursive: true }); // whatever becomes of it, it ends when it is told to
  const { signal } = await running.stop(60_000);
  assert.equal(signal, null);
});

Deno.test("demo: from its sources by `deno task demo`, where Ctrl-C must not end the task first", async () => {
  await using tmp = await DemoTmp.make();
  const path = `${dirname(Deno.execPath())}:${Deno.env.get("PATH")}`;
  await using typed = new PseudoTerminal(
    `deno task demo; echo "code $?"`,
    { ...tmp.env, PATH: path },
    projectDir,
  );
  await typed.until("a picture", (shown) => /°C/.test(shown), startMs);
  await typed.press("\x03");
  assert.equal(await typed.code(), 0);
  assert.match(typed.shown, sum);
  assert.match(typed.shown, /code 0\r\n$/);
});

Deno.test("demo: the service loads nothing of it", async () => {
  const { stdout, stderr } = await finish(Deno.execPath(), ["info", "--json", "agent/main.ts"], {
    cwd: projectDir,
  });
  const { modules } = JSON.parse(stdout || stderr) as { modules: Module[] };
  const loaded = new Set<string>();
  const load = (specifier: string) => {
    if (loaded.has(specifier)) return;
    loaded.add(specifier);
    const { dependencies = [] } = modules.find((one) => one.specifier === specifier) ?? {};
    for (const { code, isDynamic } of dependencies) {
      if (!isDynamic && code !== undefined) load(code.specifier);
    }
  };
  load(`file://${projectDir}/agent/main.ts`);
  load(`file://${projectDir}/agent/commands/run.ts`);
  assert.ok(loaded.size > 50 && modules.some(({ specifier }) => specifier.endsWith("/agent/demo/plant.ts")));
  assert.deepEqual(
    [...loaded].filter((one) => one.includes("/agent/demo/") || one.endsWith("/commands/demo.ts")),
    [],
  );
});

interface Module {
  specifier: string;
  dependencies?: { code?: { specifier: string }; isDynamic?: boolean }[];
}
