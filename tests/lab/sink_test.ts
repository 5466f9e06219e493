import { Client } from "@elastic/elasticsearch";
import assert from "node:assert/strict";
import { sharedElasticsearch } from "./elasticsearch.ts";
import { Sink } from "./sink.ts";

const filterPath = "errors,items.*.error,items.*.status";

const create = (index: string, id: string, source: unknown) =>
  JSON.stringify({ create: { _index: index, _id: id } }) + "\n" + JSON.stringify(source) + "\n";

interface BulkAnswer {
  errors: boolean;
  items: { create: { status: number; error?: { type: string } } }[];
}

/** Status (0 when the connection broke), product header and body. */
async function ask(url: string, body: string): Promise<[number, string | null, BulkAnswer | undefined]> {
  const headers = { "content-type": "application/x-ndjson" };
  try {
    const response = await fetch(`${url}/_bulk?filter_path=${filterPath}`, { method: "POST", headers, body });
    // the reason names the server's own version numbers
    const text = (await response.text()).replace(/"reason":".*?"(,"[a-z_]+":"[^"]*")*/g, '"reason":""');
    return [response.status, response.headers.get("x-elastic-product"), JSON.parse(text)];
  } catch {
    return [0, null, undefined];
  }
}

Deno.test("sink: answers a bulk request as the real server does", async () => {
  await using sink = new Sink();
  const real = await sharedElasticsearch();
  for (
    const body of [create("sink-a", "1", { value: 1 }) + create("sink-a", "2", {}), create("sink-a", "2", {})]
  ) {
    assert.deepEqual(await ask(sink.url, body), await ask(real.url, body));
  }
  assert.deepEqual(sink.sources(), [{ value: 1 }, {}]);
  assert.equal(sink.conflicts, 1);
  assert.deepEqual(sink.violations, []);
});

Deno.test("sink: an id with another document, or in another index, is a violation", async () => {
  await using sink = new Sink();
  await ask(sink.url, create("a", "1", { value: 1 }));
  await ask(sink.url, create("a", "1", { value: 2 }));
  assert.match(sink.violations.splice(0).join(), /^1 names two documents/);
  await ask(sink.url, create("b", "1", { value: 1 }));
  assert.match(sink.violations.splice(0).join(), /^1 came into a and into b/);
  assert.equal((await ask(sink.url, create("a", "3", 3).replace("create", "index")))[0], 400);
  assert.match(sink.violations.splice(0).join(), /action \[index\]/);
});

Deno.test("sink: fails as it is told: all, some, late, cut, and as something else than Elasticsearch", async () => {
  await using sink = new Sink();
  const status = async (body: string) => (await ask(sink.url, body))[0];
  sink.fault = { status: 503 };
  assert.equal(await status(create("a", "1", {})), 503);
  sink.fault = { cut: "before" };
  assert.equal(await status(create("a", "1", {})), 0);
  assert.equal(sink.documents.size, 0);
  sink.fault = { cut: "after" };
  assert.equal(await status(create("a", "1", {})), 0);
  assert.equal(sink.documents.size, 1);
  sink.fault = (request) => request < 5 ? { status: 500 } : { refuse: (id) => id === "3" ? 429 : undefined };
  assert.equal(await status(create("a", "2", {})), 500);
  const [, , answer] = await ask(sink.url, create("a", "2", {}) + create("a", "3", {}));
  assert.deepEqual(answer?.items.map((item) => item.create.status), [201, 429]);
  assert.equal(answer?.items[1]?.create.error?.type, "es_rejected_execution_exception");
  sink.fault = { delayMs: 60 };
  const startMs = performance.now();
  await ask(sink.url, create("a", "3", {}));
  assert.ok(performance.now() - startMs >= 60);
  sink.fault = { noProduct: true };
  assert.equal((await ask(sink.url, create("a", "9", {})))[1], null);
});

Deno.test({
  name:
    "sink: the real client takes it for Elasticsearch: compressed bodies, templates, and 404 for what it lacks",
  // the client leaves the timers of its idle connections behind
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using sink = new Sink();
    const client = new Client({ node: sink.url, compression: true, maxRetries: 0 });
    assert.equal((await client.info()).tagline, "You Know, for Search");
    const request = {
      method: "POST",
      path: "/_bulk",
      bulkBody: create("a", "1", { text: "x".repeat(10_000) }),
    };
    const answer = await client.transport.request<BulkAnswer>(request);
    assert.deepEqual(answer.items.map((item) => item.create.status), [201]);
    await client.indices.putIndexTemplate({ name: "t", index_patterns: ["mqtt-*"] });
    assert.deepEqual(sink.templates.get("t"), { index_patterns: ["mqtt-*"] });
    assert.equal((await client.indices.getIndexTemplate({ name: "t" })).index_templates.length, 1);
    await assert.rejects(client.indices.getIndexTemplate({ name: "none" }), { statusCode: 404 });
    await assert.rejects(client.license.get());
    assert.deepEqual(sink.unknown, ["GET /_license"]);
    await client.close();
  },
});
