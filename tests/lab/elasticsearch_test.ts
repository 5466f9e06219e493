import assert from "node:assert/strict";
import { certificates } from "./certificates.ts";
import { sharedElasticsearch, startElasticsearch } from "./elasticsearch.ts";

const ndjson = (...lines: unknown[]) => lines.map((line) => JSON.stringify(line) + "\n").join("");

Deno.test("lab: Elasticsearch refuses a second document of the same id, and shows all it has", async () => {
  const server = await sharedElasticsearch();
  const bulk = ndjson({ create: { _id: "1" } }, { value: 1 }, { create: { _id: "1" } }, { value: 2 });
  interface Bulk {
    items: { create: { status: number } }[];
  }
  const { items } = await server.must<Bulk>("POST", "/lab-own/_bulk", bulk);
  assert.deepEqual(items.map((item) => item.create.status), [201, 409]);
  assert.equal(await server.count("lab-own"), 1);
  assert.deepEqual((await server.documents("lab-own*")).map((found) => found._source), [{ value: 1 }]);
  assert.equal(await server.count("lab-none"), 0);
  assert.equal((await sharedElasticsearch()).url, server.url);
});

Deno.test("lab: Elasticsearch with TLS and keys keeps its data over kill -9, and a narrow key may not more", async () => {
  const made = await certificates();
  await using server = await startElasticsearch({
    security: true,
    tls: { ...made.server, ca: made.ca.certificate },
  });
  assert.equal((await server.request("PUT", "/lab-kept/_doc/1?refresh", { value: 1 })).status, 201);
  const key = await server.apiKey({
    writer: { indices: [{ names: ["lab-kept"], privileges: ["create_doc"] }] },
  });
  await server.restart();
  assert.equal(await server.count("lab-kept"), 1);
  using client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(made.ca.certificate)] });
  const ask = async (path: string, init: RequestInit) => {
    const headers = { authorization: `ApiKey ${key}`, "content-type": "application/json" };
    const response = await fetch(`${server.url}${path}`, { ...init, headers, client });
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await ask("/lab-kept/_create/2", { method: "PUT", body: "{}" }), 201);
  assert.equal(await ask("/lab-kept/_search", { method: "GET" }), 403);
});
