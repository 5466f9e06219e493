import assert from "node:assert/strict";
import { OperationError } from "../../agent/base/errors.ts";
import { requestBodyBytesMax } from "../../agent/limits.ts";
import type { DeadLetter } from "../../agent/shipper/dead_letter.ts";
import type { AgentApi, TailBatch } from "../../agent/status/agent_api.ts";
import { handle } from "../../agent/status/handle.ts";
import { wellSnapshot } from "../fakes/snapshot.ts";
import { makeReading } from "./shipper_fixture.ts";

const reading = (topic: string, payload: string | Uint8Array) =>
  makeReading({ segmentId: "00a1b2c3d4e5f607", sequence: 42, wallMs: Date.UTC(2026, 0, 2), topic, payload });

const letter = (sequence: number): DeadLetter => ({
  sequence,
  id: `00a1b2c3d4e5f607-${sequence}`,
  atMs: 1,
  status: 400,
  reason: "mapper_parsing_exception",
  topic: "a",
  target: "mqtt-%Y",
  arrivalMs: 1,
  mark: "synced",
  record: "AAAA",
});

/** An agent that notes what it was asked. */
class FakeApi implements AgentApi {
  asked: unknown[] = [];
  batches: TailBatch[] = [];
  tailEnded = false;

  snapshot() {
    return Promise.resolve(wellSnapshot);
  }
  async *tail(signal: AbortSignal, filters?: string[]) {
    this.asked.push(["tail", filters]);
    try {
      for (const batch of this.batches) yield batch;
      if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done));
    } finally {
      this.tailEnded = true;
    }
  }
  outputs() {
    return ["cloud"];
  }
  deadLetters(output: string) {
    if (output !== "cloud") {
      throw new OperationError({
        operation: "find",
        place: output,
        cause: "unknown",
        remedy: "known are cloud",
      });
    }
    return [letter(1), letter(2)];
  }
  replayDead(output: string, ids: string[] | undefined) {
    this.asked.push(["replay", output, ids]);
    return Promise.resolve({ replayed: 1, refused: 0 });
  }
  dropDead(output: string, ids: string[] | undefined) {
    this.asked.push(["drop", output, ids]);
    return Promise.resolve(2);
  }
}

const get = (api: AgentApi, path: string) => handle(api, new Request(`http://agent${path}`));
const post = (api: AgentApi, path: string, body: BodyInit) => {
  return handle(api, new Request(`http://agent${path}`, { method: "POST", body }));
};
const linesOf = (text: string) =>
  text.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);

Deno.test("socket: GET /status answers with the snapshot", async () => {
  const response = await get(new FakeApi(), "/status");
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), wellSnapshot);
});

Deno.test("socket: an unknown path, a wrong method and a bad path are refused", async () => {
  const statuses = await Promise.all([
    get(new FakeApi(), "/"),
    get(new FakeApi(), "/stat"),
    get(new FakeApi(), "/dead/cloud/burn"),
    get(new FakeApi(), "/dead/cloud/drop"),
    post(new FakeApi(), "/status", "{}"),
    get(new FakeApi(), "/dead/%E0%A4%A"),
    get(new FakeApi(), "/dead/nope"),
  ].map(async (answer) => (await answer).status));
  assert.deepEqual(statuses, [404, 404, 404, 405, 405, 400, 400]);
});

Deno.test("socket: an error says what, and what to do", async () => {
  assert.deepEqual(await (await get(new FakeApi(), "/dead/nope")).json(), {
    error: "nope: unknown",
    remedy: "known are cloud",
  });
});

Deno.test("socket: dead letters come as lines", async () => {
  const response = await get(new FakeApi(), "/dead/cloud");
  assert.deepEqual(linesOf(await response.text()), [letter(1), letter(2)]);
  assert.deepEqual(await (await get(new FakeApi(), "/dead")).json(), { outputs: ["cloud"] });
});

Deno.test("socket: all or chosen dead letters, but never all by mistake", async () => {
  const api = new FakeApi();
  await post(api, "/dead/cloud/replay", '{"all": true}');
  await post(api, "/dead/cloud/drop", '{"ids": ["00a1b2c3d4e5f607-1"]}');
  assert.deepEqual(api.asked, [["replay", "cloud", undefined], ["drop", "cloud", ["00a1b2c3d4e5f607-1"]]]);
  const wrong = [
    "",
    "{}",
    "null",
    "[]",
    '{"ids": []}',
    '{"ids": [1]}',
    '{"all": false}',
    '{"all": true, "ids": ["x"]}',
    "{",
  ];
  for (const body of wrong) {
    const response = await post(api, "/dead/cloud/drop", body);
    assert.equal(response.status, 400, body);
  }
  assert.equal(api.asked.length, 2);
});

Deno.test("socket: a body that is too large is not held", async () => {
  let given = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      given += 64 * 1024;
      controller.enqueue(new Uint8Array(64 * 1024));
    },
  });
  const response = await post(new FakeApi(), "/dead/cloud/drop", endless);
  assert.equal(response.status, 413);
  assert.ok(given < requestBodyBytesMax + 4 * 64 * 1024);
});

Deno.test("socket: a tail gives readings as lines, says what was missed, and ends with its reader", async () => {
  const api = new FakeApi();
  api.batches = [
    { readings: [reading("a/b", "21.5"), reading("a/c", new Uint8Array([0xff, 0]))], skipped: 0 },
    { readings: [], skipped: 7 },
  ];
  const response = await get(api, "/tail?filter=a%2F%23&filter=b");
  const reader = response.body!.getReader();
  const next = async () => linesOf(new TextDecoder().decode((await reader.read()).value));
  const [first, second] = await next();
  assert.deepEqual({ topic: first!.topic, payload: first!.payload, id: first!.id }, {
    topic: "a/b",
    payload: "21.5",
    id: "00a1b2c3d4e5f607-42",
  });
  assert.equal(second!.payload_base64, "/wA=");
  assert.deepEqual(await next(), [{ skipped: 7 }]);
  assert.deepEqual(api.asked, [["tail", ["a/#", "b"]]]);
  const waiting = reader.read();
  await new Promise((done) => setTimeout(done, 0)); // it waits for the next reading now
  await reader.cancel();
  assert.ok((await waiting).done);
  assert.ok(api.tailEnded, "nothing goes on for a reader that is gone");
});

Deno.test("socket: a tail asks for more only when its reader does", async () => {
  const api = new FakeApi();
  let taken = 0;
  api.tail = async function* () {
    while (true) {
      taken++;
      yield await Promise.resolve({ readings: [reading("a", "x".repeat(100_000))], skipped: 0 });
    }
  };
  const response = await get(api, "/tail");
  const reader = response.body!.getReader();
  await reader.read();
  await new Promise((done) => setTimeout(done, 20));
  assert.ok(taken <= 2, `${taken} batches taken for one that was read`);
  await reader.cancel();
});

Deno.test("socket: a tail ends when the agent does", async () => {
  const stop = new AbortController();
  const response = await handle(new FakeApi(), new Request("http://agent/tail"), stop.signal);
  const ended = response.text();
  stop.abort();
  assert.equal(await ended, "");
});

Deno.test("socket: what nobody foresaw is an answer, too", async () => {
  const api = new FakeApi();
  api.snapshot = () => Promise.reject(new Error("boom"));
  const response = await get(api, "/status");
  assert.deepEqual([response.status, await response.json()], [500, { error: "boom" }]);
});
