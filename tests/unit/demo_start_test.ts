import assert from "node:assert/strict";
import { join } from "node:path";
import "../../agent/base/libc.ts"; // loaded once: not a leak of the test that loads it
import { loadSettings } from "../../agent/config.ts";
import { Place } from "../../agent/demo/place.ts";
import { stepsFor, type Surroundings } from "../../agent/demo/steps.ts";

async function withFolder(work: (top: string) => Promise<void>): Promise<void> {
  const top = await Deno.makeTempDir();
  try {
    await work(top);
  } finally {
    await Deno.remove(top, { recursive: true });
  }
}

const namesIn = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

Deno.test("demo folder: only its user may enter, its configuration is valid, and it goes whole", async () => {
  await withFolder(async (top) => {
    const place = await Place.make(top);
    assert.equal(Deno.statSync(place.dir).mode! & 0o777, 0o700);
    const settings = loadSettings(place.configFile);
    assert.deepEqual(settings.warnings, []);
    assert.deepEqual(settings.mqtt.listen, { host: "127.0.0.1", port: 0 });
    assert.equal(settings.outputs[0]!.type, "local");
    assert.ok(settings.socket.startsWith(place.dir) && settings.spool.dir.startsWith(place.dir));
    Deno.mkdirSync(join(place.dir, "spool/deep"), { recursive: true });
    place.remove();
    place.remove();
    assert.deepEqual(namesIn(top), []);
  });
});

Deno.test("demo folder: what a killed demo left is removed; one that runs, and what is no demo's, is not", async () => {
  await withFolder(async (top) => {
    const running = await Place.make(top);
    Deno.mkdirSync(join(top, "sensorlog-demo-left/spool"), { recursive: true });
    Deno.writeTextFileSync(join(top, "sensorlog-demo-left/lock"), `${Deno.pid}\n`); // its number is another's now
    Deno.mkdirSync(join(top, "sensorlog-demo-new")); // somebody is just making it
    Deno.mkdirSync(join(top, "mine"));
    Deno.writeTextFileSync(join(top, "mine/lock"), "");
    Deno.symlinkSync(join(top, "mine"), join(top, "sensorlog-demo-link"));
    const next = await Place.make(top);
    const left = namesIn(top).map((name) => join(top, name));
    const kept = ["mine", "sensorlog-demo-link", "sensorlog-demo-new"].map((name) => join(top, name));
    assert.deepEqual(left, [...kept, running.dir, next.dir].sort());
    assert.deepEqual(namesIn(join(top, "mine")), ["lock"]);
    running.remove();
    next.remove();
  });
});

Deno.test("demo folder: an error says where none can be made and what to do", async () => {
  await assert.rejects(Place.make("/proc/self"), {
    name: "OperationError",
    message: /\/proc\/self: .*TMPDIR/,
  });
});

const here = (more: Partial<Surroundings> & { there?: string[] } = {}): Surroundings => ({
  ...{
    execPath: "/usr/local/bin/sensorlog-agent",
    denoVersion: "another",
    cwd: "/srv",
    path: ["/usr/local/bin", "/bin"],
  },
  isThere: (path) => (more.there ?? ["/usr/local/bin/sensorlog-agent"]).includes(path),
  ...more,
});

function status(surroundings: Surroundings): string {
  const steps = stepsFor("mqtt://127.0.0.1:4711", "/tmp/d/agent.yaml", surroundings);
  return steps[1]!.command.replace(" status --config /tmp/d/agent.yaml", "");
}

Deno.test("demo steps: the commands are those of the program that runs, as it is reached from here", () => {
  assert.equal(status(here()), "sensorlog-agent");
  assert.equal(status(here({ there: [] })), "/usr/local/bin/sensorlog-agent", "not on the path");
  const other = { execPath: "/srv/dist/sensorlog-agent-x86", there: [] };
  assert.equal(status(here(other)), "./dist/sensorlog-agent-x86");
  assert.equal(status(here({ execPath: "/srv/my dist/agent", there: [] })), "'./my dist/agent'");
  const deno = { execPath: "/bin/deno", there: ["/bin/deno"] };
  assert.equal(status(here(deno)), "deno task agent");
  const older = { execPath: "/opt/deno", there: ["/bin/deno"] };
  assert.equal(status(here(older)), `npx deno${"@"}another task agent`, "the one on the path is another");
  const npx = "/x/_npx/1/node_modules/deno/deno";
  assert.equal(
    status(here({ execPath: npx, path: ["/x/_npx/1/node_modules/deno"], there: [npx] })),
    `npx deno${"@"}another task agent`,
  );
});

Deno.test("demo steps: a reading is published by mosquitto_pub, or by what npx fetches where that is missing", () => {
  const publish = (there: string[]) => stepsFor("mqtt://127.0.0.1:4711", "/x", here({ there }))[0]!.command;
  const rest = "-h 127.0.0.1 -p 4711 -q 1 -t my/desk -m 21.5";
  assert.equal(publish(["/bin/mosquitto_pub"]), `mosquitto_pub ${rest}`);
  assert.equal(publish([]), `npx --yes mqtt pub ${rest}`);
});
