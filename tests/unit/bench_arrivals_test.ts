import assert from "node:assert/strict";
import { Arrivals, bulkDocuments, bulkStatuses, lostAndDoubled } from "../../bench/arrivals.ts";
import { numbered } from "../../bench/messages.ts";

Deno.test("bench: a bulk body is read whoever sent it: number and chosen id of each document", () => {
  const agent = '{"create":{"_index":"mqtt-2025.01.01","_id":"0a-7"}}\n' +
    `{"@timestamp":"x","topic":"t","values":{"value":1,"seq":6},"payload":${numbered(6).payload},` +
    '"event":{"id":"0a-7","sequence":7}}\n';
  const rsyslog = '{"index":{"_index": "rsyslog-2025.01.01"}}\n' +
    `{"tst":"x","topic":"t","payload":${numbered(123_456).payload}}\n`;
  const telegraf = '{"index":{"_index":"telegraf-2025.01.01"}}\n' +
    '{"@timestamp":"x","measurement_name":"reading","reading":{"battery":3,"seq":8},"tag":{"topic":"t"}}\n';
  const other = '{"create":{"_index":"x"}}\n{"value":1,"sequence":9}\n';
  assert.deepEqual(bulkDocuments(agent + rsyslog + telegraf + other), [
    { seq: 6, id: "0a-7" },
    { seq: 123_456, id: undefined },
    { seq: 8, id: undefined },
    { seq: -1, id: undefined },
  ]);
  assert.deepEqual(bulkDocuments(""), []);
  assert.throws(() => bulkDocuments('{"create":{}}\n{"seq":1}'), /does not end with whole lines/);
});

Deno.test("bench: of a bulk answer each item's status counts, unless all went well", () => {
  assert.equal(bulkStatuses('{"took":1,"errors" : false,"items":[]}'), undefined);
  const items = '[{"create":{"status":201}},{"index":{"status":429,"error":{}}}]';
  assert.deepEqual(bulkStatuses(`{"errors":true,"items":${items}}`), [201, 429]);
});

Deno.test("bench: an id that is known is refused, documents without one are all new", () => {
  const arrivals = new Arrivals(4);
  assert.equal(arrivals.refuses({ seq: 0, id: "a" }), false);
  assert.equal(arrivals.refuses({ seq: 0, id: "a" }), true);
  assert.equal(arrivals.refuses({ seq: 1, id: undefined }), false);
  assert.equal(arrivals.refuses({ seq: 1, id: undefined }), false);
});

Deno.test("bench: the first document of a reading gives its time, each further one is a double", () => {
  const arrivals = new Arrivals(4);
  arrivals.indexed({ seq: 0, id: undefined }, 10);
  arrivals.indexed({ seq: 2, id: undefined }, 20);
  arrivals.indexed({ seq: 2, id: undefined }, 30);
  arrivals.indexed({ seq: 2, id: undefined }, 40);
  arrivals.indexed({ seq: -1, id: undefined }, 50);
  arrivals.indexed({ seq: 4, id: undefined }, 50);
  assert.equal(arrivals.distinct, 2);
  assert.deepEqual([...arrivals.seen.firstMs], [10, 0, 20, 0]);
  assert.deepEqual(lostAndDoubled(arrivals.seen.documents), { lost: 2, doubled: 2 });
});
