/** `export` by the compiled agent: from a store that it fills itself, and from larger ones. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { SmallDisk } from "../fault/small_disk.ts";
import { agentBinary } from "../lab/agent.ts";
import { finish, type Finished } from "../lab/command.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";
import { Scene } from "./commands_scene.ts";
import { fillStore, plainReadings, type Sample, writeConfig } from "./large_store.ts";

const encoder = new TextEncoder();
const startMs = Date.UTC(2026, 2, 28, 12);

type Row = Record<string, string>;

function rowsOf(csv: string, delimiter = ","): Row[] {
  return parse(csv, { columns: true, delimiter, record_delimiter: "\r\n", bom: true });
}

function linesOf(ndjson: string): Record<string, unknown>[] {
  return ndjson.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

/** A configuration with a store in a folder that goes with the test. */
class Bench implements AsyncDisposable {
  private constructor(readonly dir: string, readonly config: string, readonly store: string) {}

  static async open(samples?: Iterable<Sample>): Promise<Bench> {
    const dir = await Deno.makeTempDir({ prefix: "sensorlog-export-" });
    const { config, store } = await writeConfig(dir);
    if (samples !== undefined) await fillStore(store, samples);
    return new Bench(dir, config, store);
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  args(...args: string[]): string[] {
    return ["export", "--config", this.config, ...args];
  }

  run(...args: string[]): Promise<Finished> {
    return finish(agentBinary(), this.args(...args), { env: { NO_COLOR: "1" } });
  }

  begin(...args: string[]): Running {
    return new Running(agentBinary(), this.args(...args));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}

const hostile: [string, string | Uint8Array][] = [
  ["plain", "21.5"],
  ['quo"te,d;x', 'say "hi",;\t|'],
  ["=cmd|' /C calc'!A0", "=1+1"],
  ["@x", "-2+3"],
  ["blank in it", " "],
  ["é漢😀/\u00a0", "line\r\nbreak\n\rand\0nul\ufeff\u2028"],
  ["empty", ""],
  ["json", '{ "t" : 1.50, "s": "a\\n\\",;é" }'],
  ["beyond", "12345678901234567890"],
  ["half a surrogate", new Uint8Array([0xed, 0xa0, 0x80])],
  ["bytes", new Uint8Array([0, 255, 13, 10])],
  ["huge", 'x,"\n'.repeat(200_000)],
];

/** What was published, as a row of CSV tells it. */
function payloadOf(row: Row): string | Uint8Array {
  if (row["payload_base64"] !== "") return Uint8Array.fromBase64(row["payload_base64"]!);
  return row["payload"] || row["text"] || row["value"]!;
}

Deno.test("export: hostile topics and payloads come back as they were published, while the agent writes and when none runs", async () => {
  const dir = await Deno.makeTempDir({ prefix: "sensorlog-export-" });
  try {
    await using scene = await Scene.open({
      more: { outputs: { here: { type: "local", dir: join(dir, "store") } } },
      broker: { extra: ["max_queued_messages 0"] },
    });
    await scene.start();
    await scene.publish(hostile.map(([topic, payload]) => ({ topic, payload, qos: 1 })));
    const all = hostile.length;
    await scene.agent.waitUntil("all to be stored", ({ outputs }) => outputs[0]!.confirmed === all, 30_000);
    const running = await scene.agent.command("export");
    assert.equal(running.stderr, "");
    const rows = rowsOf(running.stdout);
    assert.deepEqual(
      new Map(rows.map((row) => [row["topic"], payloadOf(row)])),
      new Map(hostile),
    );
    await scene.agent.stop();
    const stopped = await scene.agent.command("export", "--format", "ndjson");
    const lines = linesOf(stopped.stdout);
    assert.deepEqual(new Set(lines.map((line) => line["topic"])), new Set(hostile.map(([topic]) => topic)));
    const of = (topic: string) => lines.find((line) => line["topic"] === topic)!;
    assert.equal(of("plain")["value"], 21.5);
    assert.deepEqual(of("json")["payload"], JSON.parse(hostile[7]![1] as string));
    assert.ok(stopped.stdout.includes('"payload":{ "t" : 1.50, "s": "a'), "digits as they were published");
    assert.equal(of("huge")["text"], hostile.at(-1)![1]);
    const one = await scene.agent.command("export", "--topic", "json", "--separator", ";");
    assert.deepEqual(rowsOf(one.stdout, ";").map((row) => row["topic"]), ["json"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("export: by topic and time, in a zone, oldest first", async () => {
  await using bench = await Bench.open(
    Array.from({ length: 48 }, (_, hour): Sample => ({
      timeMs: startMs + hour * 3_600_000,
      topic: hour % 2 === 0 ? "hall/even" : "hall/odd/x",
      payload: encoder.encode(String(hour)),
    })),
  );
  const values = async (...args: string[]) => {
    const { code, stdout, stderr } = await bench.run(...args);
    assert.deepEqual([code, stderr], [0, ""]);
    return rowsOf(stdout).map((row) => Number(row["value"]));
  };
  assert.deepEqual(await values(), Array.from({ length: 48 }, (_, hour) => hour));
  assert.deepEqual((await values("--topic", "hall/+")).length, 24);
  assert.deepEqual((await values("--topic", "+/odd/#")).length, 24);
  assert.deepEqual(await values("--topic", "nothing"), []);
  // the day on which clocks in Madrid are put forward has 23 hours: 2026-03-28T23:00Z to 2026-03-29T22:00Z
  const madrid = ["--time-zone", "Europe/Madrid"];
  const day = await values("--from", "2026-03-29", "--to", "2026-03-30", ...madrid);
  assert.deepEqual(day, Array.from({ length: 23 }, (_, hour) => 11 + hour));
  const { stdout } = await bench.run(
    "--from",
    "2026-03-29T01:00+01:00",
    "--to",
    "2026-03-29T04:00:00+02:00",
    ...madrid,
  );
  assert.deepEqual(rowsOf(stdout).map((row) => row["@timestamp"]), [
    "2026-03-29T01:00:00.000+01:00",
    "2026-03-29T03:00:00.000+02:00",
  ]);
  assert.deepEqual(await values("--to", "1s").then((all) => all.length), startMs < Date.now() ? 48 : 0);
});

Deno.test("export: needs no right to read secrets, and says what to do where there is no store", async () => {
  await using bench = await Bench.open();
  const none = await bench.run("out.csv");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^sensorlog-agent: \S.*store\/readings\.sqlite: there is no store; \S.*\n$/);
  assert.equal(none.stdout, "");
  await fillStore(bench.store, plainReadings(3, startMs));
  assert.equal(rowsOf((await bench.run()).stdout).length, 3);
  assert.equal((await bench.run("--output", "cloud")).code, 2);
  const wrong = await bench.run("--from", "yesterday");
  assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
});

const manyReadings = 300_000;

Deno.test("export: memory stays flat, Ctrl-C and kill leave no half file, a closed pipe ends it quietly", async () => {
  await using bench = await Bench.open(plainReadings(manyReadings, startMs));
  const file = bench.path("all.csv");

  const few = await peakBytes(bench.begin("--to", new Date(startMs + 200_000).toISOString(), file));
  const many = await peakBytes(bench.begin(file));
  assert.equal((await Deno.readTextFile(file)).split("\r\n").length, manyReadings + 2);
  assert.ok(many - few < 48 * 2 ** 20, `${few} for 10,000, ${many} for ${manyReadings}`);
  assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
  await Deno.remove(file);

  const interrupted = bench.begin(file);
  await hasBegun(`${file}.part`);
  interrupted.signal("SIGINT");
  assert.equal((await interrupted.exit).code, 1);
  const said = /interrupted after ([\d,]+) readings; \S+all\.csv was not written\n$/.exec(
    interrupted.stderr.text,
  );
  assert.ok(Number(said?.[1]?.replaceAll(",", "")) < manyReadings, `at once: ${interrupted.stderr.text}`);
  assert.deepEqual(csvFiles(bench.dir), []);

  const killed = bench.begin(file);
  await hasBegun(`${file}.part`);
  killed.signal("SIGKILL");
  await killed.exit;
  assert.deepEqual(csvFiles(bench.dir), ["all.csv.part"]);
  assert.deepEqual(await bench.run("--topic", "hall1/machine1/#", file), { code: 0, stdout: "", stderr: "" });
  assert.deepEqual(csvFiles(bench.dir), ["all.csv"]);
  assert.equal(rowsOf(await Deno.readTextFile(file)).length, manyReadings / 50);

  const command = `'${agentBinary()}' export --config '${bench.config}' | head -2; echo "\${PIPESTATUS[0]}"`;
  const piped = await finish("bash", ["-c", command]);
  assert.equal(piped.stderr, "");
  assert.match(piped.stdout, /^@timestamp,.*\r\n2026-.*\r\n0\n$/);
});

/** Waits until the process has ended well; returns the most memory that it held at a time. */
async function peakBytes(running: Running): Promise<number> {
  let peak = 0;
  await waitUntil(
    () => {
      try {
        const status = Deno.readTextFileSync(`/proc/${running.pid}/status`);
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024);
      } catch {
        // it has ended between two looks
      }
      return running.ended;
    },
    120_000,
    "the export to end",
    { everyMs: 10 },
  );
  assert.deepEqual([(await running.exit).code, running.stderr.text], [0, ""]);
  return peak;
}

async function hasBegun(part: string): Promise<void> {
  const size = () => Deno.stat(part).then((info) => info.size, () => 0);
  await waitUntil(async () => await size() > 0, 60_000, "the export to begin", { everyMs: 2 });
}

function csvFiles(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).filter((name) => name.includes(".csv")).sort();
}

Deno.test("export: on a full disk it says so and leaves nothing", async () => {
  await using bench = await Bench.open(plainReadings(30_000, startMs));
  await using disk = await SmallDisk.mount(1);
  const full = await bench.run(join(disk.dir, "a.csv"));
  assert.equal(full.code, 1);
  assert.match(
    full.stderr,
    /a\.csv\.part: there is no room left; make room, or name a file on another disk\n$/,
  );
  assert.deepEqual(csvFiles(disk.dir), []);
});

Deno.test("export: at a terminal there is progress, and no control character of a payload", async () => {
  await using bench = await Bench.open([
    ...plainReadings(20_000, startMs),
    { timeMs: startMs + 1e9, topic: "evil", payload: encoder.encode("\x1b]0;title\x07") },
  ]);
  // script(1) gives it a terminal of its own
  const atTerminal = async (line: string) => {
    const args = ["--quiet", "--return", "--command", line, "/dev/null"];
    return await finish("script", args, { env: { TERM: "xterm" } });
  };
  const command = `'${agentBinary()}' export --config '${bench.config}'`;
  const file = bench.path("all.csv");
  const toFile = await atTerminal(`${command} '${file}'`);
  assert.equal(toFile.code, 0);
  assert.match(toFile.stdout, /\r {0,2}\d+ %, [\d,]+ of 20,001 readings, [\d,]+\/s, \d+ .+ left/);
  assert.match(toFile.stdout, /20,001 readings, [\d.]+ MiB, in \S+all\.csv\r\n$/);
  assert.ok((await Deno.readTextFile(file)).includes("\x1b]0;title"), "in a file it is exact");

  const shown = await atTerminal(`${command} --topic evil`);
  assert.match(shown.stdout, /evil,,\\x1b\]0;title\\x07,/);
  assert.ok(
    !shown.stdout.includes("\x1b"),
    "nothing that the terminal obeys, and no progress among the readings",
  );

  const piped = await atTerminal(`${command} | tail -1 | cut -d, -f2`);
  assert.match(piped.stdout, /%.*readings.*evil\r\n$/s);
});
