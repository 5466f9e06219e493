import assert from "node:assert/strict";
import {
  allAnswered,
  check,
  type Evidence,
  type IndexedReading,
  numberOf,
  type Violation,
} from "../fault/crash_check.ts";
import type { WireEvent } from "../lab/proxy.ts";

/** What the tests say of an event: time is left out, payloads are text. */
const toAgent = { atMs: 0, direction: "toClient" } as const;
const toBroker = { atMs: 0, direction: "toServer" } as const;

function publish(connection: number, id: number, number: number, qos: number, topic = "r/1"): WireEvent {
  const payload = new TextEncoder().encode(String(number));
  const rest = { duplicate: false, retain: false, payload, payloadBytes: payload.length };
  return { ...toAgent, connection, kind: "publish", id, qos, topic, ...rest };
}
type Answer = "puback" | "pubrec" | "pubcomp";
const answer = (connection: number, kind: Answer, id: number): WireEvent => ({
  ...toBroker,
  connection,
  kind,
  id,
  reason: 0,
});
const release = (connection: number, id: number): WireEvent => ({
  ...toAgent,
  connection,
  kind: "pubrel",
  id,
  reason: 0,
});
const open = (connection: number): WireEvent => ({ atMs: 0, connection, kind: "open" });
const close = (connection: number): WireEvent => ({ atMs: 0, connection, kind: "close" });

function document(number: number, sequence: number, qos: number, topic = "r/1"): IndexedReading {
  return { index: "i", id: `00ff-${sequence}`, number, sequence, qos, topic, payload: String(number) };
}

/**
 * A run without a fault: reading 1 at QoS 1 is delivered twice (the agent was killed before its PUBACK got out) and is
 * stored twice; 2 at QoS 2 is delivered twice and stored once; 3 at QoS 0; 4 at QoS 1.
 */
function goodRun(): Evidence {
  return {
    published: [[1, 1], [2, 2], [3, 0], [4, 1]].map(([number, qos]) => ({
      number: number!,
      qos: qos!,
      topic: "r/1",
      payload: String(number),
      taken: true,
    })),
    wire: [
      open(1),
      publish(1, 1, 1, 1),
      publish(1, 2, 2, 2),
      close(1),
      open(2),
      publish(2, 1, 1, 1),
      publish(2, 2, 2, 2),
      answer(2, "puback", 1),
      answer(2, "pubrec", 2),
      release(2, 2),
      publish(2, 0, 3, 0),
      publish(2, 3, 4, 1),
      answer(2, "pubcomp", 2),
      answer(2, "puback", 3),
    ],
    documents: [
      document(1, 1, 1),
      document(2, 2, 2),
      document(1, 3, 1),
      document(3, 4, 0),
      document(4, 5, 1),
    ],
    sums: [{ stored: 3, confirmed: 1, waiting: 2, dead: 0, dropped: 0, damaged: 0 }],
    finalSum: { stored: 5, confirmed: 5, waiting: 0, dead: 0, dropped: 0, damaged: 0 },
    sinkViolations: [],
  };
}

const rules = (evidence: Evidence): Violation["rule"][] =>
  [...new Set(check(evidence).map((one) => one.rule))].sort();

/** Sets the number of documents right again after one was taken out or put in. */
function recount(run: Evidence): void {
  run.finalSum = { ...run.finalSum!, stored: run.documents.length, confirmed: run.documents.length };
}

Deno.test("crash check: a run that keeps every promise has no violation", () => {
  assert.deepEqual(check(goodRun()), []);
  assert.ok(allAnswered(goodRun().wire));
});

/** The agent released id 2 and was killed twice; the broker begins anew with the PUBLISH, which MQTT forbids. */
function runOfForbiddenRepetition(duplicate: boolean, released: boolean): Evidence {
  const run = goodRun();
  const again = { ...publish(4, 2, 2, 2), duplicate } as WireEvent;
  const end = [open(4), again, answer(4, "pubrec", 2), release(4, 2), answer(4, "pubcomp", 2)];
  if (!released) run.wire.splice(9, 1);
  run.wire = [...run.wire.filter((event) => event.kind !== "pubcomp"), close(2), ...end];
  run.documents.push(document(2, 6, 2));
  recount(run);
  return run;
}

Deno.test("crash check: a second copy at QoS 2 is the broker's fault only when it repeats what it had released", () => {
  assert.deepEqual(check(runOfForbiddenRepetition(true, true)), []);
  assert.deepEqual(rules(runOfForbiddenRepetition(false, true)), ["twice at QoS 2"]);
  assert.deepEqual(rules(runOfForbiddenRepetition(true, false)), ["twice at QoS 2"]);
});

const broken: [string, (run: Evidence) => void, Violation["rule"][]][] = [
  ["an acknowledged reading at QoS 1 is not in the index", (run) => {
    run.documents.splice(4, 1);
    recount(run);
  }, ["lost"]],
  ["a received (PUBREC) reading at QoS 2 is not in the index", (run) => {
    run.documents.splice(1, 1);
    recount(run);
    run.published[1]!.taken = false;
  }, ["lost"]],
  ["a reading that the broker took was never delivered", (run) => {
    run.published.push({ number: 5, topic: "r/1", qos: 1, payload: "5", taken: true });
  }, ["lost"]],
  ["a reading at QoS 2 is stored at both deliveries", (run) => {
    run.documents.splice(3, 0, document(2, 6, 2));
    recount(run);
  }, ["twice at QoS 2"]],
  ["a reading at QoS 1 is stored twice and was delivered once", (run) => {
    run.documents.push(document(4, 6, 1));
    recount(run);
  }, ["order", "twice without redelivery"]],
  ["a reading at QoS 0 is stored twice", (run) => {
    run.documents.push(document(3, 6, 0));
    recount(run);
  }, ["order", "twice without redelivery"]],
  ["two readings of a topic and QoS change places", (run) => {
    run.documents[2] = document(4, 3, 1);
    run.documents[4] = document(1, 5, 1);
  }, ["order"]],
  ["a document's payload is cut", (run) => {
    run.published[3]!.payload = "4|xxxxxxxx";
    run.documents[4]!.payload = "4|xxxx";
  }, ["not as published"]],
  ["a document has another topic", (run) => {
    run.documents[4]!.topic = "r/2";
  }, ["not as published", "order"]],
  ["a document is of no reading", (run) => {
    run.documents.push(document(77, 6, 1));
    recount(run);
  }, ["not as published", "order"]],
  ["an id is used twice", (run) => {
    run.documents[4]!.id = run.documents[0]!.id;
  }, ["id"]],
  ["a sequence is used twice", (run) => {
    run.documents[4] = { ...document(4, 5, 1), id: "00fe-4", sequence: 4 };
  }, ["id"]],
  ["a sum on the way does not add up", (run) => {
    run.sums[0]!.confirmed = 2;
  }, ["sum"]],
  ["the last sum counts more than the index holds", (run) => {
    run.finalSum = { ...run.finalSum!, stored: 6, confirmed: 6 };
  }, ["sum"]],
  ["something is dead at the end", (run) => {
    run.finalSum = { ...run.finalSum!, stored: 6, dead: 1 };
  }, ["sum"]],
  ["the end was never reached", (run) => {
    run.finalSum = undefined;
  }, ["sum"]],
  ["a delivery is acknowledged twice", (run) => {
    run.wire.push(answer(2, "puback", 3));
  }, ["acknowledgement"]],
  ["an id of an earlier connection is acknowledged", (run) => {
    run.wire.splice(5, 0, answer(2, "puback", 1));
  }, ["acknowledgement"]],
  ["acknowledgements leave in another order than the deliveries", (run) => {
    run.wire.push(publish(2, 4, 4, 1), publish(2, 5, 4, 1), answer(2, "puback", 5), answer(2, "puback", 4));
  }, ["acknowledgement"]],
  ["PUBCOMP leaves before PUBREL came", (run) => {
    run.wire.splice(9, 0, answer(2, "pubcomp", 2));
  }, ["acknowledgement"]],
  ["the sink saw an id with two documents", (run) => {
    run.sinkViolations.push("00ff-1 names two documents");
  }, ["sink"]],
];

for (const [what, breakIt, wanted] of broken) {
  Deno.test(`crash check: it is seen when ${what}`, () => {
    const run = goodRun();
    breakIt(run);
    assert.deepEqual(rules(run), wanted);
  });
}

Deno.test("crash check: a run goes on while a delivery of the open connection has no answer", () => {
  const { wire } = goodRun();
  assert.ok(!allAnswered(wire.slice(0, -1)), "PUBACK is missing");
  assert.ok(!allAnswered(wire.slice(0, -2)), "PUBCOMP is missing");
  assert.ok(!allAnswered([...wire, close(2)]), "no connection");
  assert.ok(!allAnswered([]));
});

Deno.test("crash check: a payload's number is read from its start only", () => {
  assert.deepEqual(["12", "12|xx", "12x", "", "|1", "online"].map(numberOf), [12, 12, NaN, NaN, NaN, NaN]);
});
