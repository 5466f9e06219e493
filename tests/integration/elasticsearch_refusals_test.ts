/** What a real Elasticsearch refuses by itself: what `status` says, and that all arrives once when it is mended. */
import assert from "node:assert/strict";
import { type Elasticsearch, sharedElasticsearch, startElasticsearch } from "../lab/elasticsearch.ts";
import { Shipping } from "./elasticsearch_fixture.ts";

const signal = new AbortController().signal;
const today = () => new Date().toISOString().slice(0, 10).replaceAll("-", ".");

async function values(server: Elasticsearch, pattern: string): Promise<number[]> {
  const found = await server.documents(pattern);
  return found.map((one) => one._source["value"] as number).sort((a, b) => a - b);
}
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at + 1);

/** Hardly compressible text of that many characters. */
function noise(length: number): string {
  const bytes = new Uint8Array(Math.ceil(length * 0.75));
  for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes.toBase64().slice(0, length);
}

Deno.test("Elasticsearch, errors of documents: they become dead letters, the others arrive, and a replay after the mapping is mended brings them in", async () => {
  const server = await sharedElasticsearch();
  const own = { index_patterns: ["odd-*"], priority: 999 };
  const strict = { mappings: { dynamic: false, properties: { text: { type: "long" } } } };
  await server.must("PUT", "/_index_template/odd", { ...own, template: strict });
  await using shipping = await Shipping.start({ urls: [server.url], index: "odd-%Y.%m.%d" });
  await shipping.store("1", "on", "2", "off", "3");
  const status = await shipping.settled();
  assert.deepEqual([status.confirmed, status.dead, status.state], [3, 2, "well"]);
  assert.match(status.alarms[0]?.text ?? "", /has refused 2 readings for their own fault/);
  const letters = [...shipping.shipper.deadLetters()];
  assert.deepEqual(letters.map((letter) => [letter.status, letter.topic]), [[400, "hall/press/t"], [
    400,
    "hall/press/t",
  ]]);
  assert.match(letters[0]!.reason, /^400 document_parsing_exception: .*\[text\].*For input string: "on"/);
  assert.deepEqual(await shipping.shipper.replayDead(undefined, signal), {
    ...{ replayed: 0, refused: 2, reason: [...shipping.shipper.deadLetters()][0]!.reason },
  });
  await server.must("PUT", "/_index_template/odd", { ...own, template: { mappings: { dynamic: false } } });
  await server.must("DELETE", `/odd-${today()}`);
  assert.deepEqual(await shipping.shipper.replayDead(undefined, signal), { replayed: 2, refused: 0 });
  assert.deepEqual((await shipping.settled()).alarms, []);
  const found = await server.documents("odd-*");
  assert.deepEqual(found.map((one) => one._source["text"]).sort(), ["off", "on"]);
  assert.deepEqual(found.map((one) => one._id).sort(), letters.map((letter) => letter.id).sort());
});

Deno.test("Elasticsearch, an index made read-only: pause or retry, and all arrives once when it is writable", async () => {
  const server = await sharedElasticsearch();
  await using shipping = await Shipping.start({ urls: [server.url], index: "block-%Y.%m.%d" });
  await shipping.storeNumbers(2);
  await shipping.settled();
  const block = (settings: object) => server.must("PUT", `/block-${today()}/_settings`, settings);
  await block({ "index.blocks.write": true });
  await shipping.storeNumbers(2);
  const paused = await shipping.until("it is paused", (now) => now.state === "paused");
  assert.match(
    paused.reason ?? "",
    /^403 cluster_block_exception: index \[block-.*\] blocked by: \[FORBIDDEN\/8\/index write/,
  );
  assert.ok(paused.alarms.some((alarm) => alarm.code === "output_paused"));
  // many more refusals than ten: no reading is to blame for a block of its index
  const attempts = shipping.attempts();
  await shipping.until("it has tried twenty times more", () => shipping.attempts() > attempts + 20);
  assert.equal(shipping.shipper.status().dead, 0);
  await block({ "index.blocks.write": null });
  await shipping.settled();
  // what a server does whose disk is full: 429
  await block({ "index.blocks.read_only_allow_delete": true });
  await shipping.storeNumbers(2);
  const retrying = await shipping.until("it is retrying", (now) => now.state === "retrying");
  assert.match(retrying.reason ?? "", /^429 cluster_block_exception: .*read-only-allow-delete/);
  await block({ "index.blocks.read_only_allow_delete": null });
  assert.deepEqual((await shipping.settled()).alarms, []);
  assert.deepEqual(await values(server, "block-*"), numbers(6));
});

Deno.test("Elasticsearch, 429 for some: only those are sent again, and all arrives once", async () => {
  const server = await sharedElasticsearch();
  await using shipping = await Shipping.start({ urls: [server.url], index: "some-%Y.%m.%d" });
  const yesterdayMs = Date.now() - 86_400_000;
  const yesterday = new Date(yesterdayMs).toISOString().slice(0, 10).replaceAll("-", ".");
  const timed = (value: number) => JSON.stringify({ value, time: yesterdayMs });
  await shipping.store("1", timed(2), "3");
  await shipping.settled();
  await server.must("PUT", `/some-${yesterday}/_settings`, { "index.blocks.read_only_allow_delete": true });
  await shipping.store("4", timed(5), "6");
  const status = await shipping.until("it is retrying", (now) => now.state === "retrying");
  assert.match(status.reason ?? "", /^429/);
  assert.deepEqual(await values(server, `some-${today()}`), [1, 3, 4, 6], "the others are not held up");
  await server.must("PUT", `/some-${yesterday}/_settings`, { "index.blocks.read_only_allow_delete": null });
  await shipping.settled();
  assert.deepEqual(await values(server, "some-*"), numbers(6));
});

Deno.test("Elasticsearch, a reading refused ten times while its index takes others is its own fault", async () => {
  const server = await sharedElasticsearch();
  // the pipeline fails with an error that is the document's or the pipeline's own: only trying shows which
  const processors = [{ set: { field: "values.x.y", value: 1 } }];
  await server.must("PUT", "/_ingest/pipeline/picky", { processors });
  const custom = { template: { settings: { "index.default_pipeline": "picky" } } };
  await server.must("PUT", "/_component_template/sensorlog-picky@custom", custom);
  await using shipping = await Shipping.start({ urls: [server.url], index: "picky-%Y.%m.%d" });
  await shipping.store("1", '{"x":5}', "3");
  const paused = await shipping.until("it is paused", (now) => now.state === "paused");
  assert.match(paused.reason ?? "", /^400 illegal_argument_exception: cannot set \[y\]/);
  const first = await shipping.settled();
  assert.deepEqual([first.confirmed, first.dead], [2, 1]);
  await shipping.store('{"x":6}'); // alone: what the index took before shows that it takes others
  const second = await shipping.settled();
  assert.deepEqual([second.confirmed, second.dead], [2, 2]);
  const [letter] = [...shipping.shipper.deadLetters()];
  assert.match(
    letter?.reason ?? "",
    /^refused 10 times while others for the same index were accepted: 400 illegal_argument/,
  );
  assert.equal(await server.count("picky-*"), 2);
});

Deno.test("Elasticsearch, a closed index: pause, and all arrives once when it is open", async () => {
  const server = await sharedElasticsearch();
  await using shipping = await Shipping.start({ urls: [server.url], index: "closed-%Y.%m.%d" });
  await shipping.storeNumbers(1);
  await shipping.settled();
  await server.must("POST", `/closed-${today()}/_close`);
  await shipping.storeNumbers(1);
  const status = await shipping.until("it is paused", (now) => now.state === "paused");
  assert.match(status.reason ?? "", /^400 index_closed_exception/);
  await server.must("POST", `/closed-${today()}/_open`);
  await shipping.settled();
  assert.deepEqual(await values(server, "closed-*"), numbers(2));
});

Deno.test("Elasticsearch with limits: 413 halves, 429 for all and the shard limit wait, nothing is lost or doubled", async () => {
  await using server = await startElasticsearch({ settings: { "http.max_content_length": "64kb" } });
  await using shipping = await Shipping.start({ urls: [server.url], index: "limits-%Y.%m.%d" });

  // 413: the batch is halved until it fits; a single reading that does not is a dead letter
  await shipping.store(...Array.from({ length: 200 }, () => noise(2_000)), noise(300_000));
  const halved = await shipping.settled();
  assert.deepEqual([halved.confirmed, halved.dead, halved.state], [200, 1, "well"]);
  const [letter] = [...shipping.shipper.deadLetters()];
  assert.deepEqual([letter?.status, letter?.reason], [413, "too large (HTTP 413)"]);
  assert.equal(await server.count("limits-*"), 200);

  // 429 for the whole request
  await server.restart({ "indexing_pressure.memory.limit": "10kb" });
  await shipping.store(...Array.from({ length: 50 }, () => noise(2_000)));
  const busy = await shipping.until("it is retrying with 429", (now) => /HTTP 429/.test(now.reason ?? ""));
  assert.match(
    busy.reason ?? "",
    /HTTP 429: es_rejected_execution_exception: rejected execution of coordinating operation/,
  );
  assert.equal(busy.dead, 1);

  // gone, and back with room
  await server.restart({});
  const back = await shipping.settled();
  assert.deepEqual([back.confirmed, back.dead], [250, 1]);
  assert.equal(await shipping.shipper.replayDead(undefined, signal).then((result) => result.replayed), 1);
  assert.equal(await server.count("limits-*"), 251);

  // shard limit: nobody's own fault, so pause and no dead letter
  const limit = (value: number | null) =>
    server.must("PUT", "/_cluster/settings", { persistent: { "cluster.max_shards_per_node": value } });
  await limit(1);
  await server.must("DELETE", `/limits-${today()}`);
  await server.request("PUT", "/occupies-the-shards", {
    settings: { number_of_shards: 1, number_of_replicas: 0 },
  });
  await shipping.store("1", "2", "3");
  const paused = await shipping.until("it is paused", (now) => now.state === "paused");
  assert.match(paused.reason ?? "", /^400 validation_exception: .*maximum normal shards open/);
  assert.equal(paused.dead, 0);
  await limit(null);
  await shipping.settled();
  assert.deepEqual(await values(server, "limits-*"), numbers(3));
});
