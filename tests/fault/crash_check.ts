/**
 * What must be true after a crash run, as a function from what was seen to what is wrong. Everything here was seen from
 * outside the agent: by the publisher, on the wire between broker and agent, in the index, and in `status`.
 */
import type { WireEvent } from "../lab/proxy.ts";

/** One numbered reading as it was published; its payload is the number, alone or followed by `|` and padding. */
export interface PublishedReading {
  number: number;
  topic: string;
  qos: number;
  payload: string;
  /** The broker has taken it over (QoS 0: it was written). */
  taken: boolean;
}

/** A document of the index, with what it says of its reading. */
export interface IndexedReading {
  index: string;
  id: string;
  number: number;
  topic: string;
  qos: number;
  sequence: number;
  payload: string;
}

/** The sum of promise 4 as one `status` told it. */
export interface Sum {
  stored: number;
  confirmed: number;
  waiting: number;
  dead: number;
  dropped: number;
  damaged: number;
}

export interface Evidence {
  published: PublishedReading[];
  wire: WireEvent[];
  documents: IndexedReading[];
  /** Every sum that was told during the run. */
  sums: Sum[];
  /** The one at the end, when all had arrived; undefined: it was never reached. */
  finalSum: Sum | undefined;
  /** What the sink saw that no answer tells: an id with two documents, an id in two indices. */
  sinkViolations: string[];
}

export interface Violation {
  /** Stable name of what was broken. */
  rule:
    | "lost"
    | "twice at QoS 2"
    | "twice without redelivery"
    | "order"
    | "not as published"
    | "id"
    | "sum"
    | "acknowledgement"
    | "sink"
    | "stays up";
  text: string;
}

/** All violations, none for a run in which every promise was kept. */
export function check(evidence: Evidence): Violation[] {
  const violations: Violation[] = [];
  const say = (rule: Violation["rule"], text: string) => violations.push({ rule, text });
  checkContent(evidence, say);
  checkAcknowledgements(evidence.wire, say);
  checkArrival(evidence, say);
  checkOrder(evidence, say);
  checkSums(evidence, say);
  for (const text of evidence.sinkViolations) say("sink", text);
  return violations;
}

type Say = (rule: Violation["rule"], text: string) => void;

const decoder = new TextDecoder();

/** The number that a payload begins with; NaN when it is none of ours. */
export function numberOf(payload: string): number {
  return /^\d+(\||$)/.test(payload) ? Number.parseInt(payload, 10) : NaN;
}

/** Every document is a published reading, whole, and has an id and a sequence of its own. */
function checkContent({ published, documents }: Evidence, say: Say): void {
  const byNumber = new Map(published.map((reading) => [reading.number, reading]));
  const ids = new Set<string>();
  const sequences = new Set<number>();
  for (const document of documents) {
    const { number, id, sequence } = document;
    const reading = byNumber.get(number);
    if (reading === undefined) {
      say("not as published", `document ${id} is of no reading: ${document.payload.slice(0, 80)}`);
    } else {
      for (const field of ["topic", "qos", "payload"] as const) {
        if (reading[field] === document[field]) continue;
        const [was, is] = [reading[field], document[field]].map((value) => String(value).slice(0, 80));
        say("not as published", `reading ${number}: ${field} was ${was}, in the index it is ${is}`);
      }
    }
    if (ids.has(id)) say("id", `two documents have the id ${id}`);
    if (sequences.has(sequence)) say("id", `two documents have the sequence ${sequence}`);
    if (!id.endsWith(`-${sequence}`)) say("id", `document ${id} says that its sequence is ${sequence}`);
    ids.add(id);
    sequences.add(sequence);
  }
}

/**
 * On each connection PUBACK and PUBREC answer deliveries in their order, PUBCOMP releases in theirs (MQTT 5, 4.6), each
 * once, and nothing else.
 */
function checkAcknowledgements(wire: WireEvent[], say: Say): void {
  const queues = new Map<string, number[]>();
  const queue = (connection: number, answer: string) => {
    const key = `${connection} ${answer}`;
    const known = queues.get(key) ?? [];
    queues.set(key, known);
    return known;
  };
  for (const event of wire) {
    if (!("direction" in event)) continue;
    if (event.direction === "toClient") {
      if (event.kind === "publish" && event.qos > 0) {
        queue(event.connection, event.qos === 1 ? "puback" : "pubrec").push(event.id);
      } else if (event.kind === "pubrel") queue(event.connection, "pubcomp").push(event.id);
    } else if (event.kind === "puback" || event.kind === "pubrec" || event.kind === "pubcomp") {
      const due = queue(event.connection, event.kind).shift();
      if (due !== event.id) {
        const wanted = due === undefined ? "nothing was due" : `${due} was due`;
        say(
          "acknowledgement",
          `connection ${event.connection}: ${event.kind} of id ${event.id}, but ${wanted}`,
        );
      }
    }
  }
}

/** The readings that the agent has acknowledged: PUBACK at QoS 1, PUBREC at QoS 2. */
export function acknowledged(wire: WireEvent[]): Set<number> {
  const numbers = new Set<number>();
  const underWay = new Map<string, number>();
  for (const event of wire) {
    if (event.kind === "publish" && event.direction === "toClient" && event.qos > 0) {
      const answer = event.qos === 1 ? "puback" : "pubrec";
      underWay.set(`${event.connection} ${answer} ${event.id}`, numberOf(decoder.decode(event.payload)));
    } else if ((event.kind === "puback" || event.kind === "pubrec") && event.direction === "toServer") {
      const key = `${event.connection} ${event.kind} ${event.id}`;
      const number = underWay.get(key);
      if (number !== undefined && event.reason < 128) numbers.add(number);
      underWay.delete(key);
    }
  }
  return numbers;
}

/** Numbers in the order in which they were delivered to the agent, repetitions included, by topic and QoS. */
function deliveries(wire: WireEvent[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const event of wire) {
    if (event.kind !== "publish" || event.direction !== "toClient") continue;
    const number = numberOf(decoder.decode(event.payload));
    if (!Number.isNaN(number)) append(found, `${event.topic} at QoS ${event.qos}`, number);
  }
  return found;
}

/**
 * How often the broker delivered a reading at QoS 2 again after it had sent PUBREL for it. MQTT forbids that (4.3.3: once it
 * has sent PUBREL it must not send the PUBLISH again), and a receiver that has released the id can't tell it from a new
 * message. Mosquitto 2.0.11 does it when two connections in a row end before it has repeated the PUBREL.
 */
function deliveredAfterRelease(wire: WireEvent[]): Map<number, number> {
  const counts = new Map<number, number>();
  const delivered = new Map<number, number>();
  const released = new Set<number>();
  for (const event of wire) {
    if (!("direction" in event) || event.direction !== "toClient") continue;
    if (event.kind === "pubrel") released.add(event.id);
    if (event.kind !== "publish" || event.qos !== 2) continue;
    const number = numberOf(decoder.decode(event.payload));
    const again = event.duplicate && delivered.get(event.id) === number;
    if (again && released.has(event.id)) counts.set(number, (counts.get(number) ?? 0) + 1);
    delivered.set(event.id, number);
    released.delete(event.id);
  }
  return counts;
}

function append(lists: Map<string, number[]>, key: string, number: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [number]);
  else list.push(number);
}

/** Nothing that was promised is missing, nothing is there too often. */
function checkArrival({ published, wire, documents }: Evidence, say: Say): void {
  const copies = new Map<number, number>();
  for (const { number } of documents) copies.set(number, (copies.get(number) ?? 0) + 1);
  const promised = acknowledged(wire);
  const forbidden = deliveredAfterRelease(wire);
  const delivered = new Map<number, number>();
  for (const number of [...deliveries(wire).values()].flat()) {
    delivered.set(number, (delivered.get(number) ?? 0) + 1);
  }
  for (const { number, topic, qos, taken } of published) {
    const count = copies.get(number) ?? 0;
    const what = `reading ${number} (${topic}, QoS ${qos})`;
    if (count === 0 && promised.has(number)) say("lost", `${what} was acknowledged and is not in the index`);
    else if (count === 0 && qos > 0 && taken) {
      say("lost", `${what} was taken by the broker and never arrived`);
    }
    if (qos === 2 && count > 1 + (forbidden.get(number) ?? 0)) {
      say("twice at QoS 2", `${what} is in the index ${count} times`);
    } else if (count > (delivered.get(number) ?? 0)) {
      say(
        "twice without redelivery",
        `${what} is in the index ${count} times, delivered ${delivered.get(number) ?? 0} times`,
      );
    }
  }
}

/**
 * The documents of a topic and QoS, by sequence, are a part of what was delivered, in the order of delivery: what was
 * lost before it was stored is left out, what was delivered again may stand again.
 */
function checkOrder({ wire, documents }: Evidence, say: Say): void {
  const delivered = deliveries(wire);
  const stored = new Map<string, number[]>();
  for (const { topic, qos, number } of [...documents].sort((a, b) => a.sequence - b.sequence)) {
    append(stored, `${topic} at QoS ${qos}`, number);
  }
  for (const [key, numbers] of stored) {
    const order = delivered.get(key) ?? [];
    let at = 0;
    for (const number of numbers) {
      const found = order.indexOf(number, at);
      if (found < 0) {
        say("order", `${key}: reading ${number} stands behind ones that were delivered later`);
        break;
      }
      at = found + 1;
    }
  }
}

/** Promise 4: the sum is right whenever it is told, and at the end everything is confirmed. */
function checkSums({ sums, finalSum, documents }: Evidence, say: Say): void {
  for (const sum of finalSum === undefined ? sums : [...sums, finalSum]) {
    const { stored, confirmed, waiting, dead, dropped, damaged } = sum;
    if (stored !== confirmed + waiting + dead + dropped + damaged) {
      say(
        "sum",
        `stored ${stored} = confirmed ${confirmed} + waiting ${waiting} + dead ${dead} + dropped ${dropped} + damaged ${damaged} does not hold`,
      );
    }
  }
  if (finalSum === undefined) {
    say("sum", "the run never came to an end at which all had arrived");
    return;
  }
  const { confirmed, waiting, dead, dropped, damaged } = finalSum;
  if (confirmed !== documents.length) {
    say("sum", `${confirmed} are confirmed, ${documents.length} are in the index`);
  }
  for (const [name, count] of Object.entries({ waiting, dead, dropped, damaged })) {
    if (count !== 0) say("sum", `at the end ${name} is ${count}`);
  }
}

/** Whether every delivery on the connection that is open now was answered to its end. */
export function allAnswered(wire: WireEvent[]): boolean {
  const last = wire.findLast((event) => event.kind === "open");
  if (last === undefined) return false;
  const open = new Set<string>();
  for (const event of wire) {
    if (event.connection !== last.connection) continue;
    if (event.kind === "close") return false;
    if (!("direction" in event)) continue;
    if (event.kind === "publish" && event.direction === "toClient" && event.qos > 0) {
      open.add(`${event.qos === 1 ? "puback" : "pubcomp"} ${event.id}`);
    } else if (event.kind === "pubrel" && event.direction === "toClient") open.add(`pubcomp ${event.id}`);
    else if (event.kind === "puback" || event.kind === "pubcomp") {
      if (event.direction === "toServer") open.delete(`${event.kind} ${event.id}`);
    }
  }
  return open.size === 0;
}
