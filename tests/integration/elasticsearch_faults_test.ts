/** Faults of Elasticsearch, one by one: what `status` says, and that all arrives once when the fault ends. */
import assert from "node:assert/strict";
import { deflateSync, gzipSync } from "node:zlib";
import type { OutputStatus } from "../../agent/status/snapshot.ts";
import { certificates } from "../lab/certificates.ts";
import { type Elasticsearch, sharedElasticsearch } from "../lab/elasticsearch.ts";
import { Shipping } from "./elasticsearch_fixture.ts";
import { cutOff, FaultProxy, ofElasticsearch } from "./elasticsearch_proxy.ts";

const json = (status: number, body: unknown) =>
  new Response(JSON.stringify(body), { status, headers: ofElasticsearch });
const error = (status: number, type: string, reason: string) =>
  json(status, { error: { type, reason }, status });

/** A proxy before the shared server, and a shipper that sends through it into indices of its own. */
async function scene(name: string): Promise<{ server: Elasticsearch; proxy: FaultProxy; index: string }> {
  const server = await sharedElasticsearch();
  return { server, proxy: new FaultProxy(server.url), index: `fault-${name}-%Y.%m.%d` };
}

/** Every number from 1 to `count` is in the index, once. */
async function assertArrived(server: Elasticsearch, index: string, count: number): Promise<void> {
  const values = (await server.documents(index.replace("%Y.%m.%d", "*"))).map((found) =>
    found._source["value"] as number
  );
  assert.deepEqual(values.sort((a, b) => a - b), Array.from({ length: count }, (_, at) => at + 1));
}

interface Case {
  name: string;
  answer: () => Response;
  state: OutputStatus["state"];
  reason: RegExp;
}

/** The server answers bulk requests so; the real one is behind it and takes everything afterwards. */
const answers: Case[] = [
  {
    name: "503 for the whole request",
    answer: () => new Response("", { status: 503 }),
    state: "retrying",
    reason: /^http:\/\/127\.0\.0\.1:\d+: HTTP 503$/,
  },
  {
    name: "429 for the whole request",
    answer: () =>
      error(429, "es_rejected_execution_exception", "rejected execution of coordinating operation"),
    state: "retrying",
    reason: /HTTP 429: es_rejected_execution_exception: rejected execution/,
  },
  {
    name: "403 for the whole request",
    answer: () => error(403, "security_exception", "action [indices:data/write/bulk] is unauthorized"),
    state: "paused",
    reason: /not allowed \(HTTP 403: security_exception/,
  },
  {
    name: "an answer that is not JSON",
    answer: () => new Response("<html>Please log in</html>", { headers: ofElasticsearch }),
    state: "retrying",
    reason: /the answer is not JSON as expected: "<html>Please log in<\/html>"/,
  },
  {
    name: "a server that is not Elasticsearch",
    answer: () => json200({ hello: "world" }),
    state: "paused",
    reason: /what answers there is not Elasticsearch \(no X-Elastic-Product header\)/,
  },
  {
    name: "an answer cut off in the middle",
    answer: cutOff,
    state: "retrying",
    reason: /the connection broke off before the answer was whole/,
  },
  {
    name: "an answer to other readings",
    answer: () => json(200, { errors: false, items: [{ create: { status: 201 } }] }),
    state: "retrying",
    reason: /the answer speaks of 1 documents, but 5 were sent/,
  },
  {
    name: "an answer without items",
    answer: () => json(200, { errors: false }),
    state: "retrying",
    reason: /the answer is no answer to a bulk request/,
  },
  {
    name: "an answer without end",
    answer: () => new Response(endless(), { headers: ofElasticsearch }),
    state: "retrying",
    reason: /the answer is larger than 16777216 bytes/,
  },
  {
    name: "an answer that is announced as endless",
    answer: () =>
      new Response(endless(), { headers: { ...ofElasticsearch, "content-length": "9999999999" } }),
    state: "retrying",
    reason: /the answer is larger than 16777216 bytes/,
  },
  {
    name: "a packed answer that unpacks without measure",
    answer: () => new Response(deflateSync(new Uint8Array(64e6)), { headers: packed("deflate") }),
    state: "retrying",
    reason: /the answer is larger than 16777216 bytes/,
  },
  {
    name: "the same packed in a way that was not asked for",
    answer: () => new Response(gzipSync(new Uint8Array(64e6)), { headers: packed("gzip") }),
    state: "retrying",
    reason: /the answer is larger than 16777216 bytes/,
  },
  {
    name: "an answer that can't be unpacked",
    answer: () => new Response("{}", { headers: packed("deflate") }),
    state: "retrying",
    reason: /the answer can't be unpacked/,
  },
  {
    name: "a redirect",
    answer: () =>
      new Response(null, { status: 302, headers: { location: "http://192.0.2.1/", ...ofElasticsearch } }),
    state: "paused",
    reason: /HTTP 302/,
  },
];

function packed(how: string): Record<string, string> {
  return { ...ofElasticsearch, "content-encoding": how };
}

function json200(body: unknown): Response {
  return new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
}

function endless(): ReadableStream<Uint8Array> {
  const piece = new Uint8Array(256 * 1024).fill(0x20);
  return new ReadableStream({ pull: (controller) => controller.enqueue(piece) });
}

for (const [number, { name, answer, state, reason }] of answers.entries()) {
  Deno.test(`Elasticsearch, ${name}: said in status, and all arrives once when it is over`, async () => {
    const { server, proxy, index } = await scene(`answer${number}`);
    await using _proxy = await proxy.up();
    await using shipping = await Shipping.start({ urls: [proxy.url], index });
    proxy.answerBulk(answer);
    await shipping.storeNumbers(5);
    const status = await shipping.until(`the output is ${state}`, (now) => now.state === state);
    assert.match(status.reason ?? "", reason);
    assert.equal(status.alarms.some((alarm) => alarm.code === "output_paused"), state === "paused");
    await shipping.storeNumbers(5);
    proxy.heal();
    assert.equal((await shipping.settled()).confirmed, 10);
    await assertArrived(server, index, 10);
  });
}

Deno.test("Elasticsearch, cut off after it had taken the readings: they meet their own ids and are there once", async () => {
  const { server, proxy, index } = await scene("taken");
  await using _proxy = await proxy.up();
  await using shipping = await Shipping.start({ urls: [proxy.url], index });
  let cuts = 0;
  proxy.fault = async (request, passOn) => {
    if (!request.url.includes("_bulk") || cuts++ >= 2) return undefined;
    await (await passOn()).body?.cancel();
    return cutOff();
  };
  await shipping.storeNumbers(5);
  assert.equal((await shipping.settled()).confirmed, 5);
  assert.ok(cuts > 2);
  await assertArrived(server, index, 5);
});

Deno.test("Elasticsearch, 401 for ten seconds and then well: quiet, and all arrives once", async () => {
  const { server, proxy, index } = await scene("unauthorized");
  await using _proxy = await proxy.up();
  proxy.fault = async (request) => {
    await request.body?.cancel();
    return error(401, "security_exception", "unable to authenticate user");
  };
  await using shipping = await Shipping.start({ urls: [proxy.url], index });
  await shipping.storeNumbers(5);
  const healMs = performance.now() + 10_000;
  const status = await shipping.until("ten seconds are over", () => performance.now() > healMs);
  assert.deepEqual([status.state, status.alarms], ["retrying", []]);
  assert.match(
    status.reason ?? "",
    /not let in \(HTTP 401: security_exception: unable to authenticate user\)/,
  );
  proxy.heal();
  assert.deepEqual((await shipping.settled()).alarms, []);
  await assertArrived(server, index, 5);
});

Deno.test("Elasticsearch, connection refused: said in status, and all arrives once when it is there", async () => {
  const { server, proxy, index } = await scene("refused");
  await using _proxy = proxy;
  await using shipping = await Shipping.start({ urls: [proxy.url], index });
  await shipping.storeNumbers(3);
  const status = await shipping.until("it is retrying", (now) => now.state === "retrying");
  assert.equal(status.reason, `${proxy.url}: connection refused`);
  await proxy.up();
  await shipping.settled();
  await proxy.down();
  await shipping.storeNumbers(3);
  await shipping.until("it is retrying again", (now) => now.state === "retrying");
  await proxy.up();
  await shipping.settled();
  await assertArrived(server, index, 6);
});

Deno.test("Elasticsearch, a name that can't be resolved is told from a server that is not there, and no password is told", async () => {
  await using shipping = await Shipping.start({ urls: ["http://agent:pass-word@nowhere.invalid:9200"] });
  const status = await shipping.until("it is retrying", (now) => now.state === "retrying");
  assert.match(status.reason ?? "", /^http:\/\/nowhere\.invalid:9200: the name can't be resolved/);
  assert.doesNotMatch(JSON.stringify(status) + shipping.log.text, /pass-word/);
});

Deno.test("Elasticsearch, bad certificates: each is told apart, nothing is sent to them, and all arrives once when it is mended", async () => {
  const made = await certificates();
  const { server, proxy, index } = await scene("certificates");
  await using _proxy = await proxy.up(made.otherServer);
  const caPem = await Deno.readTextFile(made.ca.certificate);
  await using shipping = await Shipping.start({ urls: [proxy.url], index, caPem });
  await shipping.storeNumbers(3);
  const paused = async (reason: RegExp, remedy: RegExp) => {
    const status = await shipping.until(
      `paused for ${reason}`,
      (now) => now.state === "paused" && reason.test(now.reason ?? ""),
    );
    const alarm = status.alarms.find((one) => one.code === "output_paused");
    assert.match(alarm?.remedy ?? "", remedy);
  };
  await paused(/its certificate is not signed by a CA that is trusted \(UnknownIssuer\)/, /set ca_file/);
  await proxy.up(made.wrongName);
  await paused(
    /its certificate is not for 127\.0\.0\.1, only for .*elsewhere\.example/,
    /use a URL with a name/,
  );
  await proxy.up(made.expired);
  await paused(/its certificate has expired/, /have it made anew/);
  const { url } = proxy;
  await proxy.up();
  assert.equal(url.replace("https", "http"), proxy.url);
  await paused(/it does not speak TLS there/, /check the port/);
  assert.deepEqual(proxy.requests, [], "not one request has passed");
  await proxy.up(made.server);
  assert.deepEqual((await shipping.settled()).alarms, []);
  await assertArrived(server, index, 3);
});

Deno.test("Elasticsearch, a server that wants TLS and is asked without: said in status", async () => {
  const made = await certificates();
  const { proxy } = await scene("plain");
  await using _proxy = await proxy.up(made.server);
  await using shipping = await Shipping.start({ urls: [proxy.url.replace("https", "http")] });
  const status = await shipping.until("it is not well", (now) => now.state !== "starting");
  assert.match(status.reason ?? "", /does not speak HTTP there|connection broke off/);
});

Deno.test("Elasticsearch, several URLs: the next one is asked when one does not answer, in the same attempt", async () => {
  const { server, proxy, index } = await scene("failover");
  const second = await new FaultProxy(server.url).up();
  await using _proxy = proxy;
  await using _second = second;
  await using shipping = await Shipping.start({ urls: [proxy.url, second.url], index });
  await shipping.storeNumbers(3);
  assert.equal((await shipping.settled()).lastError, undefined, "no attempt has failed");
  await proxy.up();
  second.answerBulk(() => new Response("", { status: 502 }));
  await shipping.storeNumbers(3);
  assert.equal((await shipping.settled()).lastError, undefined);
  await proxy.down();
  await second.down();
  await shipping.storeNumbers(3);
  const status = await shipping.until("it is retrying", (now) => now.state === "retrying");
  assert.equal(status.reason?.match(/connection refused/g)?.length, 2, status.reason);
  second.heal();
  await second.up();
  await shipping.settled();
  await assertArrived(server, index, 9);
});
