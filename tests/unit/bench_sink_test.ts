import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { lostAndDoubled } from "../../bench/arrivals.ts";
import { numbered } from "../../bench/messages.ts";
import { Sink } from "../../bench/sink.ts";

interface Answer {
  errors: boolean;
  items: { create: { status: number } }[];
}

/** Sends documents, zipped, as bulk clients do. */
async function bulk(sink: Sink, documents: { seq: number; id?: string }[]): Promise<Answer> {
  const lines = documents.flatMap(({ seq, id }) => [
    JSON.stringify({ create: { _index: "i", ...id === undefined ? {} : { _id: id } } }),
    `{"payload":${numbered(seq).payload}}`,
  ]);
  const body = new Uint8Array(gzipSync(lines.join("\n") + "\n"));
  const headers = { "content-encoding": "gzip", "content-type": "application/x-ndjson" };
  const response = await fetch(`${sink.url}/_bulk`, { method: "POST", headers, body });
  assert.equal(response.headers.get("x-elastic-product"), "Elasticsearch");
  return await response.json() as Answer;
}

Deno.test("bench: the sink refuses an id that it has, and counts what an index would hold", async () => {
  using sink = await Sink.start();
  await sink.note(4);
  const all = await bulk(sink, [{ seq: 0, id: "a" }, { seq: 1, id: "b" }, { seq: 3 }]);
  assert.equal(all.errors, false);
  const again = await bulk(sink, [{ seq: 1, id: "b" }, { seq: 1, id: "c" }, { seq: 3 }]);
  assert.equal(again.errors, true);
  assert.deepEqual(again.items.map(({ create }) => create.status), [409, 201, 201]);
  const { firstMs, documents } = await sink.arrived();
  assert.deepEqual([...documents], [1, 2, 0, 2]);
  assert.deepEqual(lostAndDoubled(documents), { lost: 1, doubled: 2 });
  assert.ok(firstMs[0]! > Date.now() - 60_000 && firstMs[2] === 0);
  assert.equal((await sink.seen()).distinct, 3);
});

Deno.test("bench: before a real server the sink passes on what comes and counts what that one took", async () => {
  using server = await Sink.start();
  using sink = await Sink.start();
  await server.note(3);
  await bulk(server, [{ seq: 0, id: "a" }]);
  await sink.note(3, server.url);
  const answer = await bulk(sink, [{ seq: 0, id: "a" }, { seq: 1, id: "b" }, { seq: 2 }]);
  assert.deepEqual(answer.items.map(({ create }) => create.status), [409, 201, 201]);
  assert.deepEqual([...(await sink.arrived()).documents], [0, 1, 1], "a refused document is not indexed");
  assert.deepEqual([...(await server.arrived()).documents], [1, 1, 1]);
  const version = await (await fetch(sink.url)).json() as { version: { number: string } };
  assert.match(version.version.number, /^8\./);
});

Deno.test("bench: what a sink noted is forgotten with the next measurement", async () => {
  using sink = await Sink.start();
  await sink.note(2);
  await bulk(sink, [{ seq: 0, id: "a" }]);
  await sink.note(2);
  assert.equal((await bulk(sink, [{ seq: 0, id: "a" }])).errors, false);
  assert.deepEqual([...(await sink.arrived()).documents], [1, 0]);
  await sink.reset();
  await assert.rejects(sink.arrived(), /no arrivals were noted/);
});
