import assert from "node:assert/strict";
import fc from "fast-check";
import { ElasticsearchOutput } from "../../agent/shipper/elasticsearch.ts";
import type { Outgoing } from "../../agent/shipper/output.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { type Elasticsearch, sharedElasticsearch } from "../lab/elasticsearch.ts";
import { hostileOutgoing } from "../unit/document_generated.ts";
import { makeOutgoing } from "../unit/shipper_fixture.ts";
import { commonSettings, elasticsearchSettings } from "./elasticsearch_fixture.ts";

const signal = new AbortController().signal;

function outputTo(
  server: Elasticsearch,
  target: { index: string } | { dataStream: string },
): ElasticsearchOutput {
  const settings = elasticsearchSettings({ urls: [server.url], index: undefined, ...target });
  return new ElasticsearchOutput(
    settings,
    commonSettings({ labelsFromTopic: "{area}/{machine}/+" }),
    new MemoryLog(),
  );
}

/** Sends readings and fails with the first that is not confirmed. */
async function sendAll(output: ElasticsearchOutput, readings: Outgoing[]): Promise<void> {
  for (let at = 0; at < readings.length; at += 1_000) {
    const batch = readings.slice(at, at + 1_000);
    const verdicts = await output.send(batch, signal);
    for (const [i, verdict] of verdicts.entries()) {
      if (verdict.kind === "confirmed") continue;
      const { topic, payload } = batch[i]!.reading;
      const text = new TextDecoder();
      const shown = JSON.stringify([text.decode(topic), text.decode(payload)]).slice(0, 3_000);
      assert.fail(`seed ${seed}: ${JSON.stringify(verdict)} for ${shown}`);
    }
  }
}

/** Another one in each run; a failure names it. */
const seed = Date.now() % 2 ** 31;

const hostile = (count: number, target: string, fromSequence = 1) =>
  fc.sample(hostileOutgoing, { numRuns: count, seed }).map((one, at) => {
    return { ...one, target, reading: { ...one.reading, sequence: fromSequence + at } };
  });

Deno.test("documents: a real Elasticsearch with the agent's template refuses none of thousands of hostile readings", async () => {
  const server = await sharedElasticsearch();
  const output = outputTo(server, { index: "hostile-%Y" });
  await output.prepare(signal);
  // each new field costs the server a change of its mapping: some hundred readings make them …
  await sendAll(output, hostile(250, "hostile-names"));
  // … and thousands meet an index that has all the fields it may have
  const fill = [0, 1, 2].map((part) => {
    const names = Array.from({ length: 1_000 }, (_, i) => [`field${part}.${i}`, i]);
    return makeOutgoing({ sequence: part + 1, payload: JSON.stringify(Object.fromEntries(names)) }, {
      target: "hostile-full",
    });
  });
  await sendAll(output, [...fill, ...hostile(2_500, "hostile-full", 10)]);
  assert.equal(await server.count("hostile-*"), 2_753);
  await output.close();
});

Deno.test("documents: what is in the index can be searched as the README says", async () => {
  const server = await sharedElasticsearch();
  const output = outputTo(server, { index: "search-%Y.%m.%d" });
  await output.prepare(signal);
  const payloads = [
    "21.5",
    "on",
    '{"t":1.5,"t.c":2,"s":{"state":"ok"}}',
    Uint8Array.of(0xff),
    '{"value":3,"age_s":1}',
  ];
  const batch = payloads.map((payload, at) => {
    return makeOutgoing({ payload, sequence: at + 1, topic: `hall/press${at}/t` }, {
      target: "search-%Y.%m.%d",
    });
  });
  assert.deepEqual(
    (await output.send(batch, signal)).map((verdict) => verdict.kind),
    batch.map(() => "confirmed"),
  );
  const found = async (query: object): Promise<string[]> => {
    await server.must("POST", "/search-*/_refresh");
    const { hits } = await server.must<{ hits: { hits: { _id: string }[] } }>("POST", "/search-*/_search", {
      query,
    });
    return hits.hits.map((hit) => hit._id.split("-")[1]!).sort();
  };
  assert.deepEqual(await found({ range: { value: { gt: 2, lt: 22 } } }), ["1", "5"]);
  assert.deepEqual(await found({ term: { "text.keyword": "on" } }), ["2"]);
  assert.deepEqual(await found({ range: { "values.t.c": { gte: 2 } } }), ["3"]);
  assert.deepEqual(await found({ term: { "payload.s.state": "ok" } }), ["3"]);
  assert.deepEqual(await found({ term: { "labels.machine": "press3" } }), ["4"]);
  assert.deepEqual(await found({ term: { "host.ip": "127.0.0.1" } }), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(await found({ term: { "event.clock": "payload" } }), ["5"]);
  await output.close();
});

Deno.test("documents: a data stream takes them, and a retry of the same batch doubles none", async () => {
  const server = await sharedElasticsearch();
  const output = outputTo(server, { dataStream: "stream-of-readings" });
  await output.prepare(signal);
  const batch = [1, 2, 3].map((sequence) => makeOutgoing({ sequence }, { target: "stream-of-readings" }));
  for (let times = 0; times < 2; times++) {
    assert.deepEqual(
      (await output.send(batch, signal)).map((verdict) => verdict.kind),
      batch.map(() => "confirmed"),
    );
  }
  assert.equal(await server.count("stream-of-readings"), 3);
  const { data_streams: streams } = await server.must<{ data_streams: { name: string }[] }>(
    "GET",
    "/_data_stream/stream-*",
  );
  assert.deepEqual(streams.map((one) => one.name), ["stream-of-readings"]);
  await output.close();
});
