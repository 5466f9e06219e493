import assert from "node:assert/strict";
import { agentBinary } from "../lab/agent.ts";
import { finish } from "../lab/command.ts";
import { makeLabDir } from "../lab/paths.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";

/** A temporary folder for demos of this test alone: what they leave there is seen. */
async function withTmp(
  work: (env: Record<string, string>, left: () => string[]) => Promise<void>,
): Promise<void> {
  const dir = await makeLabDir("demo");
  try {
    await work({ TMPDIR: dir }, () => [...Deno.readDirSync(dir)].map(({ name }) => name));
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), [], "nothing is left behind");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const sum = /(\d+) readings acknowledged, (\d+) on disk, (\d+) stored: every one is accounted for/;

Deno.test("demo: in a pipe plain lines, and after --seconds every reading is accounted for", async () => {
  await withTmp(async (env) => {
    const { code, stdout, stderr } = await finish(agentBinary(), ["demo", "--seconds", "4"], { env });
    assert.deepEqual([code, stderr], [0, ""]);
    const [, acknowledged, onDisk, stored] = sum.exec(stdout)!.map(Number);
    assert.ok(acknowledged! >= 8 && acknowledged === onDisk && onDisk === stored, stdout);
    assert.match(stdout, /greenhouse\/temperature=\d+\.\d+ greenhouse\/humidity=/);
    assert.ok(!stdout.includes("\x1b"));
  });
});

Deno.test("demo: without any network but the machine's own loopback", async () => {
  await withTmp(async (env) => {
    const script = `ip link set lo up && exec '${agentBinary()}' demo --seconds 3`;
    const { code, stdout, stderr } = await finish(
      "unshare",
      ["--net", "--map-root-user", "sh", "-c", script],
      { env },
    );
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, sum);
  });
});

Deno.test("demo: readings of one's own show up, the other commands find it, SIGTERM ends it", async () => {
  await withTmp(async (env) => {
    const running = new Running(agentBinary(), ["demo"], { env });
    try {
      const [, port] = await waitUntil(
        () => /mosquitto_pub -p (\d+)/.exec(running.stdout.text),
        20_000,
        "the port",
      );
      const config = /--config (\S+)/.exec(running.stdout.text)![1]!;
      const published = await finish("mosquitto_pub", [
        "-p",
        port!,
        "-t",
        "my/sensor",
        "-m",
        "21.5",
        "-q",
        "1",
      ]);
      assert.equal(published.code, 0, published.stderr);
      await waitUntil(
        () => /my\/sensor=21\.5/.test(running.stdout.text),
        20_000,
        "the reading on the screen",
      );
      const status = await finish(agentBinary(), ["status", "--config", config]);
      assert.match(status.stdout, /listening.*127\.0\.0\.1/);
      await waitUntil(
        async () => {
          const args = ["export", "--config", config, "--topic", "my/#"];
          return /21\.5/.test((await finish(agentBinary(), args)).stdout);
        },
        20_000,
        "the reading in the store",
      );
    } finally {
      await running.stop();
    }
    assert.deepEqual(await running.exit, { code: 0, signal: null });
    assert.match(running.stdout.text, sum);
  });
});

Deno.test("demo: on a terminal it draws in place, and Ctrl-C leaves the terminal as it was", async () => {
  await withTmp(async (env) => {
    const child = new Deno.Command("script", {
      args: ["--quiet", "--return", "--command", `exec '${agentBinary()}' demo`, "/dev/null"],
      env: { ...env, TERM: "xterm", NO_COLOR: "" },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let shown = "";
    const reading = (async () => {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) shown += text;
    })();
    await waitUntil(() => shown.split("\x1b[H").length > 4 && /°C/.test(shown), 20_000, "some pictures", {
      explain: () => JSON.stringify(shown),
    });
    const writer = child.stdin.getWriter();
    await writer.write(new Uint8Array([3])); // Ctrl-C
    assert.equal((await child.status).code, 0);
    await writer.close();
    await reading;
    assert.ok(shown.startsWith("\x1b[?1049h\x1b[?25l"), JSON.stringify(shown.slice(0, 100)));
    assert.ok(shown.includes("\x1b[?25h\x1b[?1049lThe demo ran for "), JSON.stringify(shown.slice(-400)));
    assert.match(shown, sum);
  });
});

Deno.test("demo: a wrong --seconds is said, and nothing is begun", async () => {
  await withTmp(async (env) => {
    for (const seconds of ["0", "-1", "1e3", "soon", "86401"]) {
      const { code, stderr } = await finish(agentBinary(), ["demo", `--seconds=${seconds}`], { env });
      assert.equal(code, 2, seconds);
      assert.match(stderr, /--seconds.*allowed/);
    }
  });
});
