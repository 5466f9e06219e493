import assert from "node:assert/strict";
import fc from "fast-check";
import { Logger, type LoggerOptions } from "../../agent/base/logger.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";

const wallMs = () => Date.UTC(2026, 0, 2, 3, 4, 5, 678);

/** A logger whose lines a test can read after `flush`. */
function readable(options: Partial<LoggerOptions> = {}): { log: Logger; text: () => Promise<string> } {
  let text = "";
  const write = (bytes: Uint8Array) => {
    const part = bytes.subarray(0, 1_000); // writes may take less than is offered
    text += new TextDecoder().decode(part);
    return Promise.resolve(part.length);
  };
  const log = new Logger({ format: "text", level: "info", reader: "file", write, wallMs, ...options });
  return {
    log,
    async text() {
      await log.flush();
      return text;
    },
  };
}

Deno.test("log: a line has time, level, message and fields", async () => {
  const { log, text } = readable();
  log.warning("Filter refused", { filter: "a b", reason: 135, empty: "", gone: undefined });
  assert.equal(
    await text(),
    `2026-01-02T03:04:05.678Z WARNING Filter refused filter="a b" reason=135 empty=""\n`,
  );
});

Deno.test("log: the journal gets its level as a prefix and no time", async () => {
  const { log, text } = readable({ reader: "journal", level: "debug" });
  for (const level of ["error", "warning", "notice", "info", "debug"] as const) log[level]("x");
  assert.equal(await text(), "<3>x\n<4>x\n<5>x\n<6>x\n<7>x\n");
});

Deno.test("log: levels below the chosen one are silent, and the choice can change while it runs", async () => {
  const { log, text } = readable({ reader: "journal", level: "warning" });
  log.info("one");
  log.level = "debug";
  log.debug("two");
  log.level = "error";
  log.warning("three");
  assert.equal(await text(), "<7>two\n");
});

Deno.test("log: JSON has the names of Elastic Common Schema", async () => {
  const { log, text } = readable({ format: "json" });
  log.notice("Connected", { url: "mqtt://h", n: 3 });
  assert.deepEqual(JSON.parse(await text()), {
    "@timestamp": "2026-01-02T03:04:05.678Z",
    "log.level": "notice",
    message: "Connected",
    "ecs.version": "8.11.0",
    "service.name": "sensorlog-agent",
    "sensorlog.url": "mqtt://h",
    "sensorlog.n": 3,
  });
});

Deno.test("log: what comes from the network can't forge a line or steer a terminal", async () => {
  const text = fc.string({
    unit: fc.constantFrom("\n", "\r", "\x1b", "\x9b", "\u2028", "\u202e", "<", "0", "a"),
  });
  await fc.assert(
    fc.asyncProperty(text, fc.constantFrom("text" as const, "json" as const), async (hostile, format) => {
      const { log, text } = readable({ format, reader: "journal" });
      log.info("Message", { topic: `x${hostile}` });
      const written = await text();
      assert.match(written, /^<6>[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n$/u);
      if (format === "json") {
        assert.equal(JSON.parse(written.slice(3))["sensorlog.topic"], `x${hostile}`);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("log: a line that repeats is written once and then counted", async () => {
  const { log, text } = readable({ reader: "journal" });
  for (let i = 0; i < 4; i++) log.warning("Refused", { host: "a" });
  log.warning("Refused", { host: "b" });
  log.warning("Refused", { host: "b" });
  assert.equal(
    await text(),
    "<4>Refused host=a\n<4>Refused (repeated 3 times) host=a\n" +
      "<4>Refused host=b\n<4>Refused (repeated 1 time) host=b\n",
  );
});

Deno.test("log: a reader that takes nothing costs neither memory nor the agent's time, and hears what was lost", async () => {
  let open = false;
  let text = "";
  const gate = Promise.withResolvers<void>();
  const { log } = readable({
    write: async (bytes) => {
      if (!open) await gate.promise;
      text += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  });
  for (let i = 0; i < 10_000; i++) log.info("Line", { i });
  open = true;
  gate.resolve();
  await waitUntil(() => text.includes("lost"), 5_000, "the line about lost lines");
  const kept = text.split("\n").filter((line) => line.includes("Line i=")).length;
  const lost = Number(/lines=(\d+)/.exec(text)?.[1]);
  assert.ok(kept > 1_000 && kept < 9_000, `${kept}`);
  assert.equal(kept + lost, 10_000);
  log.info("And on");
  await log.flush();
  assert.match(text, /And on/);
});

Deno.test("log: a reader that is gone is no error", async () => {
  let calls = 0;
  const { log } = readable({
    write: () => {
      calls++;
      return Promise.reject(new Deno.errors.BrokenPipe("gone"));
    },
  });
  log.error("one");
  await log.flush();
  log.error("two");
  await log.flush();
  assert.equal(calls, 2);
});

Deno.test("log: on a real pipe nobody reads, flush gives up and the process ends", async () => {
  const module = new URL("../../agent/base/logger.ts", import.meta.url).href;
  const program = `import { Logger } from ${JSON.stringify(module)};
    const log = new Logger({ format: "text", level: "info" });
    for (let i = 0; i < 5000; i++) log.info("line", { i, more: "x".repeat(100) });
    const startMs = performance.now();
    await log.flush();
    Deno.exit(performance.now() - startMs < 10_000 ? 7 : 1);`;
  const script =
    `exec 3> >(exec sleep 30); sleeper=$!; "$0" eval --ext=ts "$1" 2>&3; code=$?; kill $sleeper; exit $code`;
  const child = new Running("bash", ["-c", script, Deno.execPath(), program]);
  const { code } = await child.exit;
  assert.equal(code, 7);
});
