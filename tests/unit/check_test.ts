import assert from "node:assert/strict";
import { join } from "node:path";
import { examineCards, examineFiles } from "../../agent/commands/check_files.ts";
import { examineClock, examineSpool, runningAgent } from "../../agent/commands/check_machine.ts";
import { examineService, serviceUid } from "../../agent/commands/check_service.ts";
import { loadSettings } from "../../agent/config.ts";
import { FakeClock } from "../fakes/fake_clock.ts";

async function withFolder(work: (dir: string) => Promise<void> | void): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("check: what others may change fails, what others may see is warned of, each with its chmod", async () => {
  await withFolder(async (dir) => {
    const [file, secret, spool] = [join(dir, "agent.yaml"), join(dir, "pw"), join(dir, "spool")];
    await Deno.mkdir(spool, { mode: 0o700 });
    await Deno.writeTextFile(secret, "s", { mode: 0o600 });
    const text =
      `mqtt: {url: "mqtt://h", username: u, password_file: pw}\nspool: {dir: ${spool}}\noutputs: {}\n`;
    await Deno.writeTextFile(file, text, { mode: 0o640 });
    const found = () => examineFiles(loadSettings(file));
    assert.deepEqual(found().map(({ level }) => level), ["ok"]);
    const cases: [string, number, string, string][] = [
      [file, 0o660, "failure", `chmod go-w '${file}'`],
      [dir, 0o777, "failure", `chmod go-w '${dir}'`],
      [secret, 0o604, "warning", `chmod o= '${secret}'`],
      [spool, 0o755, "warning", `chmod o= '${spool}'`],
    ];
    for (const [path, mode, level, remedy] of cases) {
      const before = Deno.statSync(path).mode! & 0o7777;
      await Deno.chmod(path, mode);
      assert.deepEqual(found().map((one) => [one.level, one.remedy]), [[level, remedy]], path);
      await Deno.chmod(path, before);
    }
  });
});

Deno.test("check: a card that tells its wear is well, near its end, or worn out; one that tells nothing has no line", async () => {
  await withFolder(async (blocks) => {
    const device = join(blocks, "mmcblk0/device");
    await Deno.mkdir(device, { recursive: true });
    await Deno.mkdir(join(blocks, "sda/device"), { recursive: true });
    assert.deepEqual(examineCards(blocks), []);
    const cases: [string, string, string, RegExp][] = [
      ["0x01 0x02", "0x01", "ok", /up to 20 %/],
      ["0x09 0x01", "0x01", "warning", /up to 90 %/],
      ["0x01 0x01", "0x02", "warning", /up to 10 %/],
      ["0x0b 0x01", "0x01", "failure", /worn out/],
      ["0x01 0x01", "0x03", "failure", /worn out/],
    ];
    for (const [life, spare, level, says] of cases) {
      await Deno.writeTextFile(join(device, "life_time"), `${life}\n`);
      await Deno.writeTextFile(join(device, "pre_eol_info"), `${spare}\n`);
      const [finding, ...more] = examineCards(blocks);
      assert.deepEqual([finding?.level, more], [level, []], life + spare);
      assert.match(finding!.what, says);
    }
  });
});

Deno.test("check: a service that is not well, not enabled, changed or of another version is said; without a unit there is no line", async () => {
  const well = {
    ...{ LoadState: "loaded", ActiveState: "active", SubState: "running", UnitFileState: "enabled" },
    ...{ NeedDaemonReload: "no", NRestarts: "0", Result: "success" },
  };
  const of = (change: Partial<typeof well>, running: string | undefined = "1+a") => {
    const text = Object.entries({ ...well, ...change }).map(([key, value]) => `${key}=${value}\n`).join("");
    return examineService(() => Promise.resolve({ code: 0, stdout: text, stderr: "" }), "1+a", running);
  };
  assert.deepEqual((await of({})).map(({ level }) => level), ["ok", "ok"]);
  assert.deepEqual(await of({ LoadState: "not-found" }), []);
  assert.deepEqual(
    await examineService(() => Promise.resolve({ code: 127, stdout: "", stderr: "none" }), "1+a", undefined),
    [],
  );
  const cases: [Partial<typeof well>, string | undefined, string, RegExp][] = [
    [{ ActiveState: "failed", SubState: "failed", Result: "exit-code" }, undefined, "failure", /exit-code/],
    [
      { ActiveState: "activating", SubState: "auto-restart", NRestarts: "7" },
      undefined,
      "failure",
      /7 times/,
    ],
    [{ ActiveState: "inactive", SubState: "dead" }, undefined, "warning", /inactive/],
    [{ NRestarts: "2" }, "1+a", "warning", /2 times/],
    [{ UnitFileState: "disabled" }, "1+a", "warning", /does not start when the machine does/],
    [{ NeedDaemonReload: "yes" }, "1+a", "warning", /has changed/],
    [{}, "1+b", "warning", /version 1\+b, this binary 1\+a/],
  ];
  for (const [change, running, level, says] of cases) {
    const bad = (await of(change, running)).filter((finding) => finding.level !== "ok");
    assert.deepEqual(bad.map((finding) => finding.level), [level], JSON.stringify(change));
    assert.match(bad[0]!.what, says);
    assert.ok(bad[0]!.remedy);
  }
});

Deno.test("check: a clock that is over fails, one that nobody synchronises is warned of, each with what to do", () => {
  const clock = new FakeClock();
  const of = () => examineClock(clock).map(({ level, what }) => `${level} ${what}`);
  assert.match(of().join(), /^ok synchronised, 2026-01-02T03:04:05/);
  for (const state of ["no", "unknown"] as const) {
    clock.state = state;
    assert.match(of().join(), /^warning .*synchronised, 2026-.*wait up to 10 min/);
  }
  clock.stepWall(0);
  const [finding, ...more] = examineClock(clock);
  assert.deepEqual([finding?.level, more], ["failure", []]);
  assert.match(finding!.what, /1970-01-01T00:00:00.000Z, which is over/);
  assert.match(finding!.remedy!, /timedatectl set-ntp true/);
});

Deno.test("check: an agent that does not answer at its socket is warned of; where there is none there is no line", async () => {
  await withFolder(async (dir) => {
    const path = join(dir, "agent.sock");
    assert.deepEqual(await runningAgent(path), { finding: undefined, version: undefined });
    const listener = Deno.listen({ transport: "unix", path });
    const closing = (async () => {
      for await (const connection of listener) connection.close();
    })();
    const { finding, version } = await runningAgent(path);
    listener.close();
    await closing;
    assert.deepEqual([finding?.level, version], ["warning", undefined]);
    assert.match(finding!.what, /agent\.sock, but it does not answer/);
    assert.match(finding!.remedy!, /group/);
  });
});

Deno.test("check: a spool that is not the service's fails, whoever asks; one that is started by hand has to be one's own", async () => {
  await withFolder(async (dir) => {
    const file = join(dir, "agent.yaml");
    await Deno.writeTextFile(file, `spool: {dir: ${dir}, min_free: 1MiB, max_size: 16MiB}\noutputs: {}\n`);
    const nobody = { finding: undefined, version: undefined };
    const of = async (uid: number | undefined) => (await examineSpool(loadSettings(file), nobody, uid))[0]!;
    const own = Deno.uid()!;
    for (const uid of [undefined, own]) assert.deepEqual([(await of(uid)).level], ["ok"]);
    const other = await of(own + 1);
    assert.equal(other.level, "failure");
    assert.match(
      other.what,
      new RegExp(`belongs to user id ${own}, and the service runs as user id ${own + 1}`),
    );
    assert.match(other.remedy!, /chown -R/);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["agent.yaml"]);
  });
});

Deno.test("check: the service's user is the unit's, and nobody where there is no unit or no such user", async () => {
  const of = (unit: string, id: { code: number; stdout: string }, file = "/etc/sensorlog/agent.yaml") =>
    serviceUid((program) => {
      return Promise.resolve({ stderr: "", ...(program === "id" ? id : { code: 0, stdout: unit }) });
    }, file);
  const known = { code: 0, stdout: "999\n" };
  assert.equal(await of("LoadState=loaded\nUser=sensorlog\n", known), 999);
  assert.equal(await of("LoadState=loaded\nUser=sensorlog\n", known, "/etc/sensorlog/other.yaml"), undefined);
  assert.equal(await of("LoadState=not-found\nUser=\n", known), undefined);
  assert.equal(await of("LoadState=loaded\nUser=\n", known), undefined);
  assert.equal(await of("LoadState=loaded\nUser=sensorlog\n", { code: 1, stdout: "" }), undefined);
});
