import assert from "node:assert/strict";
import {
  AllCreated,
  countIf,
  errorText,
  judgeBulk,
  judgeRefusal,
  triesElsewhere,
} from "../../agent/shipper/judge.ts";
import type { Verdict } from "../../agent/shipper/output.ts";

interface Given {
  status: number;
  type?: string;
  reason?: string;
}

const item = ({ status, type, reason }: Given) => ({
  create: { status, ...(type === undefined ? {} : { error: { type, reason } }) },
});

/** Verdicts on items, all for one index unless said otherwise. */
function judged(items: Given[], indices = items.map(() => "mqtt-2026.01.02")): Verdict[] {
  const verdicts = judgeBulk({ errors: true, items: items.map(item) }, indices);
  if (typeof verdicts === "string") assert.fail(verdicts);
  return verdicts;
}
const kind = (status: number, type?: string, reason?: string) => {
  return judged([{
    status,
    ...(type === undefined ? {} : { type }),
    ...(reason === undefined ? {} : { reason }),
  }])[0]!.kind;
};

Deno.test("judge: 2xx is done, and 409 because the id is there already", () => {
  assert.deepEqual(
    judged([{ status: 201 }, { status: 200 }, {
      status: 409,
      type: "version_conflict_engine_exception",
      reason: "exists",
    }]),
    [{ kind: "confirmed" }, { kind: "confirmed" }, { kind: "confirmed" }],
  );
});

Deno.test("judge: 429 and 5xx are tried again", () => {
  const text = "rejected execution of coordinating operation";
  assert.deepEqual(judged([{ status: 429, type: "es_rejected_execution_exception", reason: text }]), [{
    ...{ kind: "retry", counts: false, status: 429 },
    reason: `429 es_rejected_execution_exception: ${text}`,
  }]);
  assert.equal(
    kind(429, "cluster_block_exception", "index [a] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded]"),
    "retry",
  );
  assert.equal(kind(503, "unavailable_shards_exception"), "retry");
  assert.equal(kind(500, "null_pointer_exception"), "retry");
});

Deno.test("judge: what the document itself is to blame for is a dead letter with the reason", () => {
  assert.deepEqual(
    judgeBulk({
      items: [{
        create: {
          status: 400,
          error: {
            type: "document_parsing_exception",
            reason: "[1:10] failed to parse field [value] of type [double]",
            caused_by: { type: "number_format_exception", reason: 'For input string: "x"' },
          },
        },
      }],
    }, ["a"]),
    [{
      kind: "dead",
      status: 400,
      reason:
        '400 document_parsing_exception: [1:10] failed to parse field [value] of type [double] (For input string: "x")',
    }],
  );
  assert.equal(kind(400, "mapper_parsing_exception"), "dead");
  assert.equal(kind(400, "strict_dynamic_mapping_exception"), "dead");
  assert.equal(
    kind(400, "illegal_argument_exception", 'Document contains at least one immense term in field="a"'),
    "dead",
  );
  assert.equal(
    kind(
      400,
      "illegal_argument_exception",
      "Limit of total fields [10] has been exceeded while adding new fields [1]",
    ),
    "dead",
  );
  assert.equal(
    kind(400, "illegal_argument_exception", "mapper [a] cannot be changed from type [long] to [text]"),
    "dead",
  );
  assert.equal(kind(500, "fail_processor_exception", "not wanted"), "dead");
});

Deno.test("judge: any other 4xx is nobody's own fault: pause", () => {
  const shards =
    "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000]";
  assert.equal(kind(400, "validation_exception", shards), "pause");
  assert.equal(kind(400, "index_closed_exception", "closed"), "pause");
  assert.equal(kind(404, "index_not_found_exception", "no such index"), "pause");
  assert.equal(
    kind(403, "cluster_block_exception", "index [a] blocked by: [FORBIDDEN/8/index write (api)];"),
    "pause",
  );
  assert.equal(kind(403, "security_exception", "action is unauthorized"), "pause");
  assert.equal(kind(400, "illegal_argument_exception", "pipeline with id [x] does not exist"), "pause");
  assert.equal(kind(400, "invalid_index_name_exception"), "pause");
  assert.equal(kind(418), "pause");
});

Deno.test("judge: a refusal counts only while others for the same index are accepted, and never by 429 or 503", () => {
  const counts = (items: Given[], indices: string[]) =>
    judged(items, indices).map((one) => "counts" in one && one.counts);
  const refused = [{ status: 500 }, { status: 403 }, { status: 429 }, { status: 503 }];
  assert.deepEqual(counts([{ status: 201 }, ...refused], ["a", "a", "a", "a", "a"]), [
    false,
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual(counts([{ status: 201 }, ...refused], ["b", "a", "a", "a", "a"]), [
    false,
    false,
    false,
    false,
    false,
  ]);
  assert.deepEqual(counts([{ status: 409 }, { status: 404 }], ["a", "a"]), [false, true]);
  const pause: Verdict = { kind: "pause", reason: "x", counts: false, status: 403 };
  assert.deepEqual(countIf(pause, true), { ...pause, counts: true });
  assert.equal(countIf(pause, false), pause);
  assert.deepEqual(countIf({ kind: "confirmed" }, true), { kind: "confirmed" });
});

Deno.test("judge: an answer that is none to these readings is worth nothing", () => {
  for (const body of [null, undefined, "text", 7, [], {}, { items: "x" }, { errors: false }]) {
    assert.match(String(judgeBulk(body, ["a"])), /no answer to a bulk request/);
  }
  assert.match(
    String(judgeBulk({ items: [item({ status: 201 })] }, ["a", "a"])),
    /speaks of 1 documents, but 2 were sent/,
  );
  for (const one of [null, {}, { create: {} }, { create: { status: "201" } }, { index: { status: 201 } }]) {
    assert.match(String(judgeBulk({ items: [one] }, ["a"])), /does not say/);
  }
});

Deno.test("judge: the answer to documents that were all created is known by its text, and no other is taken for it", () => {
  const created = new AllCreated();
  const answer = (count: number) =>
    JSON.stringify({ errors: false, items: Array(count).fill(item({ status: 201 })) });
  for (const count of [1, 2, 2_000, 3]) {
    assert.equal(created.is(answer(count), count), true);
    assert.equal(created.is(answer(count), count + 1), false);
    assert.equal(created.is(answer(count).replace("201", "409"), count), false);
  }
  assert.equal(created.is("", 1), false);
});

Deno.test("judge: error texts are one line, bounded, and survive any form", () => {
  assert.equal(errorText({ type: "a", reason: "b\n\t c" }), "a: b c");
  assert.equal(errorText("plain"), "plain");
  assert.equal(errorText({ type: "a", reason: "r".repeat(9_000) }).length, 500);
  for (const error of [null, undefined, 7, [], { type: 1, reason: {} }]) assert.equal(errorText(error), "");
});

Deno.test("judge: refusals of whole requests", () => {
  const of = (status: number, body?: unknown) => judgeRefusal(status, body);
  assert.equal(of(413).kind, "too large");
  assert.deepEqual([of(401).kind, of(403).kind, of(429).kind, of(408).kind], [
    "retry",
    "pause",
    "retry",
    "retry",
  ]);
  assert.deepEqual([500, 502, 503, 504].map((status) => of(status).kind), [
    "retry",
    "retry",
    "retry",
    "retry",
  ]);
  assert.deepEqual([301, 400, 404, 405].map((status) => of(status).kind), [
    "pause",
    "pause",
    "pause",
    "pause",
  ]);
  assert.deepEqual([200, 401, 429, 500, 502, 503, 504].filter(triesElsewhere), [502, 503, 504]);
  const body = { error: { type: "security_exception", reason: "missing authentication credentials" } };
  assert.equal(
    of(401, body).reason,
    "not let in (HTTP 401: security_exception: missing authentication credentials)",
  );
  assert.equal(of(503, "<html>").reason, "HTTP 503");
});
