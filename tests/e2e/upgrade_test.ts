import assert from "node:assert/strict";
import { join } from "node:path";
import { agentBinary } from "../lab/agent.ts";
import { succeed } from "../lab/command.ts";
import { makeLabDir } from "../lab/paths.ts";
import { waitUntil } from "../lab/wait.ts";
import { binaryPath, Pi, unit } from "./pi.ts";

/**
 * A fake of later versions, for what a real one can't be made to show: it says a version and takes the configuration, and
 * then crashes or hangs when it is to run.
 */
const fakeSource = String.raw`
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **args) {
  const char *what = count > 1 ? args[1] : "";
  if (strcmp(what, "version") == 0) {
    if (strcmp(KIND, "silent") == 0) for (;;) pause();
    puts("{\"version\":\"9.9.9\",\"commit\":\"fake\",\"spool_format\":\"" FORMAT "\"}");
    return 0;
  }
  if (strcmp(what, "check") == 0) {
    if (strcmp(KIND, "picky") == 0) { fputs("agent.yaml: 1:1: not like this\n", stderr); return 2; }
    return 0;
  }
  if (strcmp(KIND, "crash") == 0) abort();
  signal(SIGTERM, SIG_IGN);
  for (;;) pause();
}
`;

async function fake(dir: string, kind: string, format = "1.0"): Promise<string> {
  const source = join(dir, "fake.c");
  const file = join(dir, `fake-${kind}-${format}`);
  await Deno.writeTextFile(source, fakeSource);
  await succeed("gcc", ["-static", `-DKIND="${kind}"`, `-DFORMAT="${format}"`, "-o", file, source]);
  await succeed("truncate", ["--size=>2M", file]); // as large as one of ours at least must be
  return file;
}

/** The present binary under another commit: as another build would be, but for its work. */
async function otherBuild(dir: string): Promise<string> {
  const bytes = await Deno.readFile(agentBinary());
  const { commit } = JSON.parse(await succeed(agentBinary(), ["version", "--json"]));
  const mark = new TextEncoder().encode(commit);
  const at = indexOf(bytes, mark);
  assert.ok(at > 0, "the commit stands in the binary");
  bytes.set(new TextEncoder().encode("f".repeat(mark.length)), at);
  const file = join(dir, "other-build");
  await Deno.writeFile(file, bytes, { mode: 0o755 });
  return file;
}

function indexOf(bytes: Uint8Array, mark: Uint8Array): number {
  for (let at = bytes.lastIndexOf(mark[0]!); at >= 0; at = bytes.lastIndexOf(mark[0]!, at - 1)) {
    if (mark.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

Deno.test("upgrade: to what crashes, hangs, is for another machine or cut short, the old binary runs on and nothing is lost", async (context) => {
  const dir = await makeLabDir("upgrade");
  await using pi = await Pi.withService();
  const { container } = pi;
  const sum = () => container.succeed("sha256sum", [binaryPath]);
  const before = await sum();
  const lines: string[] = [];
  const publish = async (line: string) => {
    lines.push(line);
    await pi.publish([line]);
  };
  const tryFile = async (file: string) => {
    await container.copyIn(file, "/opt/new", 0o755);
    await publish(String(lines.length));
    const result = await container.finish(binaryPath, ["upgrade", "/opt/new"]);
    await publish(String(lines.length));
    return result;
  };
  const refused = async (what: string, file: string, says: RegExp, restarts: boolean) => {
    await context.step(what, async () => {
      const pid = (await pi.status()).pid;
      const { code, stdout, stderr } = await tryFile(file);
      assert.equal(code, 1, stdout + stderr);
      assert.match(stderr, says);
      assert.match(
        stderr,
        restarts ? /the old binary is back and runs/ : /nothing was changed|take sensorlog-agent-/,
      );
      assert.equal(await sum(), before);
      assert.equal((await pi.status()).pid === pid, !restarts);
      const left = await container.succeed("ls", ["/usr/local/bin"]);
      assert.equal(left, "sensorlog-agent\n");
    });
  };
  try {
    await refused("crashes", await fake(dir, "crash"), /not well: systemd says/, true);
    await refused("hangs", await fake(dir, "hang"), /not well: systemd says activating/, true);
    await refused("gives no version", await fake(dir, "silent"), /it gives no answer/, false);
    await refused("does not take the configuration", await fake(dir, "picky"), /not like this/, false);
    const cut = join(dir, "cut");
    await Deno.writeFile(cut, (await Deno.readFile(agentBinary())).subarray(0, 40_000_000));
    await refused("is cut short", cut, /cut short/, false);
    await refused("is for another machine", agentBinary("aarch64"), /is for aarch64/, false);
    await refused("is no program", "/etc/passwd", /no program/, false);

    await context.step("to the same binary: nothing changes", async () => {
      const { code, stdout } = await tryFile(agentBinary());
      assert.deepEqual([code, /nothing to do/.test(stdout)], [0, true]);
    });
    await context.step("to another build: it runs, and all that came meanwhile arrives", async () => {
      const { code, stdout, stderr } = await tryFile(await otherBuild(dir));
      assert.equal(code, 0, stdout + stderr);
      assert.match((await pi.status()).version, /f{10}/);
      assert.equal(await container.succeed("ls", ["/usr/local/bin"]), "sensorlog-agent\n");
      assert.notEqual(await sum(), before);
    });
    const counts = await pi.arrived(lines);
    assert.deepEqual([...counts.values()].filter((count) => count !== 1), []);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("upgrade: one whose spool the old version can't read is refused while readings wait, and killed on trial it is settled by the next", async () => {
  const dir = await makeLabDir("upgrade");
  try {
    await using pi = await Pi.withService();
    const { container, sink } = pi;
    sink.fault = { status: 503 };
    await pi.publish(["waits"]);
    await pi.until("a waiting reading", ({ outputs }) => outputs[0]!.waiting === 1);
    await container.copyIn(await fake(dir, "crash", "2.0"), "/opt/new", 0o755);
    const refused = await container.finish(binaryPath, ["upgrade", "/opt/new"]);
    assert.match(refused.stderr, /spool has format 2\.0.*1 readings wait/);

    // killed while the new one is on trial: the next upgrade looks at it first
    await container.copyIn(await otherBuild(dir), "/opt/new", 0o755);
    const killed = container.finish(binaryPath, ["upgrade", "/opt/new"]);
    await waitUntil(
      async () => (await container.finish("test", ["-e", `${binaryPath}.previous`])).code === 0,
      60_000,
      "a binary on trial",
    );
    await container.finish("pkill", ["-KILL", "-f", "upgrade /opt/new"]);
    assert.notEqual((await killed).code, 0);
    const well = await container.finish(binaryPath, ["upgrade", "/opt/new"]);
    assert.deepEqual([well.code, /interrupted.*\n.*nothing to do/.test(well.stdout)], [0, true], well.stderr);

    await container.copyIn(await fake(dir, "crash"), "/opt/bad", 0o755);
    const onTrial =
      `cp ${binaryPath} ${binaryPath}.previous; cp /opt/bad ${binaryPath}.x; mv ${binaryPath}.x ${binaryPath}`;
    await container.succeed("sh", ["-c", onTrial]);
    const bad = await container.finish("/opt/sensorlog-agent", ["upgrade", "/opt/sensorlog-agent"]);
    assert.match(bad.stdout + bad.stderr, /interrupted.*\n.*the old one comes back/);
    sink.fault = undefined;
    await pi.arrived(["waits"]);
    assert.equal((await container.succeed("systemctl", ["is-active", unit])).trim(), "active");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
