import assert from "node:assert/strict";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { LastSeen } from "../../installer/broker/last_seen.ts";
import { logFileOf, readLogLines } from "../../installer/broker/log_lines.ts";

const seenOf = (lines: string[]) => {
  const seen = new LastSeen();
  for (const line of lines) seen.line(line);
  return Object.fromEntries(seen.accounts);
};
const joined = (s: number, id: string, user: string) =>
  `${s}: New client connected from 192.168.1.7:41014 as ${id} (p2, c1, k60, u'${user}').`;
const at = 1_764_000_000;

Deno.test("last seen: when it connected, while it is connected, and when its last connection ended", () => {
  const lines = [
    `${at}: mosquitto version 2.0.11 starting`,
    joined(at + 1, "a", "kitchen"),
    joined(at + 2, "b", "hall"),
    joined(at + 3, "b2", "hall"),
    `${at + 4}: Client b has exceeded timeout, disconnecting.`,
    `${at + 5}: Client a closed its connection.`,
    joined(at + 6, "c", "yard"),
    `${at + 7}: Client c disconnected due to protocol error.`,
    `${at + 8}: New client connected from 127.0.0.1:1 as d (p5, c0, k60).`,
    `${at + 9}: Client unknown disconnected.`,
    joined(at + 9, "e: f", "attic"),
    `${at + 10}: Bad socket read/write on client e: f: Unknown error.`,
  ];
  assert.deepEqual(seenOf(lines), {
    kitchen: { lastMs: (at + 5) * 1_000, connected: false },
    hall: { lastMs: (at + 4) * 1_000, connected: true },
    attic: { lastMs: (at + 10) * 1_000, connected: false },
    yard: { lastMs: (at + 7) * 1_000, connected: false },
  });
  const restarted = seenOf([...lines, `${at + 11}: mosquitto version 2.0.11 terminating`]);
  assert.deepEqual(restarted.hall, { lastMs: (at + 11) * 1_000, connected: false });
});

Deno.test("last seen: a client id can't pass for another account", () => {
  const id = "x (p2, c1, k60, u'kitchen').";
  assert.deepEqual(seenOf([joined(at, id, "hall")]), { hall: { lastMs: at * 1_000, connected: true } });
  assert.deepEqual(seenOf([`${at}: New client connected from 1.2.3.4:5 as ${id} (p2, c1, k60).`]), {});
});

Deno.test("last seen: times as the configuration may have them written", () => {
  const line = joined(at, "a", "kitchen").replace(String(at), "2026-11-24T13:00:00+0100");
  assert.deepEqual(seenOf([line]), { kitchen: { lastMs: Date.UTC(2026, 10, 24, 12), connected: true } });
});

Deno.test("last seen: any text is borne, and long lines cost nothing", () => {
  const line = fc.oneof(
    fc.string(),
    fc.tuple(fc.string(), fc.string()).map(([id, user]) => joined(at, id, user)),
    fc.string().map((id) => `${at}: Client ${id} disconnected.`),
  );
  fc.assert(fc.property(fc.array(line), (lines) => void seenOf(lines)));
  assert.deepEqual(seenOf([joined(at, "x".repeat(1_000_000), "kitchen")]), {});
});

Deno.test("Mosquitto's log: rotated and packed files come first, others of the folder and damaged ones do no harm", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const log = join(dir, "mosquitto.log");
    const write = (name: string, content: string | Uint8Array) =>
      Deno.writeFile(
        join(dir, name),
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );
    await write("mosquitto.log", "6\n7");
    await write("mosquitto.log.1", "5\n");
    await write("mosquitto.log.2.gz", gzipSync("3\n4\n"));
    await write("mosquitto.log.10.gz", gzipSync(`1\n${"2\n".repeat(3)}`).subarray(0, 20));
    await write("mosquitto.log.old", "never\n");
    await write("mosquitto.logs", "never\n");
    await write("other.log", "never\n");
    const lines: string[] = [];
    await readLogLines(log, (line) => lines.push(line));
    assert.deepEqual(lines.slice(-5), ["3", "4", "5", "6", "7"]);
    assert.ok(!lines.includes("never"));
    await readLogLines(join(dir, "nowhere/mosquitto.log"), () => assert.fail("a line"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("Mosquitto's log: where the configuration has it written", () => {
  const files = (text: string) => ({ text: () => text, names: () => undefined });
  assert.equal(logFileOf(files("log_dest stderr\nlog_dest file /var/log/m/m.log\n")), "/var/log/m/m.log");
  assert.equal(logFileOf(files("log_dest syslog\n")), undefined);
});
