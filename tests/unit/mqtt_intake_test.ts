import assert from "node:assert/strict";
import { DiskFullError } from "../../agent/base/errors.ts";
import type { IncomingReading } from "../../agent/spool/spool_types.ts";
import { Counters } from "../../agent/subscriber/counters.ts";
import type { ProtocolVersion } from "../../agent/subscriber/framing.ts";
import { Intake } from "../../agent/subscriber/intake.ts";
import { QueuedWatch } from "../../agent/subscriber/queued_watch.ts";
import { TopicFilter } from "../../agent/subscriber/topic_filter.ts";
import { makeFigures } from "../fakes/broker_figures.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemorySpool } from "../fakes/memory_spool.ts";
import { readByReference } from "./mqtt_packets.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

class Setup {
  readonly spool = new MemorySpool();
  readonly counters = new Counters();
  readonly queued = new QueuedWatch();
  readonly clock = new FakeClock();
  readonly markers: string[] = [];
  readonly figures = makeFigures();
  readonly intake: Intake;
  version: ProtocolVersion = 5;

  constructor(exclude: string[] = [], marker?: string) {
    this.intake = new Intake({
      spool: this.spool,
      clock: this.clock,
      counters: this.counters,
      queued: this.queued,
      figures: this.figures,
      onMarker: (payload) => this.markers.push(textOf(payload)),
    }, {
      exclude: exclude.map((filter) => new TopicFilter(filter)),
      marker: marker === undefined ? undefined : bytesOf(marker),
    });
  }

  connect(sessionKept: boolean, lastConnectedMs?: number): void {
    this.intake.reset();
    this.intake.connected(this.version, sessionKept, lastConnectedMs);
    this.intake.beginBatch();
  }

  publish(
    qos: 0 | 1 | 2,
    packetId: number,
    text: string,
    more: { dup?: boolean; topic?: string } = {},
  ): void {
    this.intake.message(reading(qos, packetId, text, more));
  }

  /** Commits, and returns the acknowledgements that may leave: "puback 1", "pubcomp 2 146". */
  async settle(): Promise<string[]> {
    await this.intake.commit();
    const { packets } = readByReference(this.intake.acknowledgements.bytes, this.version);
    this.intake.acknowledgements.clear();
    this.intake.beginBatch();
    return packets.map((packet) => {
      const code = "reasonCode" in packet && packet.reasonCode ? ` ${packet.reasonCode}` : "";
      return `${packet.cmd} ${packet.messageId}${code}`;
    });
  }

  get stored(): string[] {
    return this.spool.readings.map((one) => textOf(one.payload));
  }
}

function reading(
  qos: 0 | 1 | 2,
  packetId: number,
  text: string,
  more: { dup?: boolean; topic?: string } = {},
): IncomingReading {
  return {
    qos,
    packetId,
    retain: false,
    duplicate: more.dup ?? false,
    topic: bytesOf(more.topic ?? "a"),
    payload: bytesOf(text),
    properties: new Uint8Array(0),
    truncated: false,
  };
}

Deno.test("mqtt intake: every message is acknowledged as its QoS asks, in the order in which they came", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(2, 5, "a");
  setup.publish(0, 0, "b");
  setup.publish(1, 9, "c");
  setup.publish(1, 3, "d");
  setup.publish(2, 1, "e");
  assert.equal(setup.spool.commits, 0);
  assert.deepEqual(await setup.settle(), ["pubrec 5", "puback 9", "puback 3", "pubrec 1"]);
  assert.deepEqual(setup.stored, ["a", "b", "c", "d", "e"]);
  setup.intake.release(1);
  setup.intake.release(5);
  assert.deepEqual(setup.spool.releases, []);
  assert.deepEqual(await setup.settle(), ["pubcomp 1", "pubcomp 5"]);
  assert.deepEqual(setup.spool.releases, [1, 5]);
});

Deno.test("mqtt intake: a repetition at QoS 2 is stored once, within a batch and across batches", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(2, 5, "a");
  setup.publish(2, 5, "a", { dup: true });
  assert.deepEqual(await setup.settle(), ["pubrec 5", "pubrec 5"]);
  setup.publish(2, 5, "a", { dup: true });
  assert.deepEqual(await setup.settle(), ["pubrec 5"]);
  assert.deepEqual(setup.stored, ["a"]);
  assert.equal(setup.counters.duplicates, 2);
  setup.intake.release(5);
  await setup.settle();
  setup.publish(2, 5, "b", { dup: true }); // the id is free again: this is a message that never arrived
  await setup.settle();
  assert.deepEqual(setup.stored, ["a", "b"]);
});

Deno.test("mqtt intake: DUP 0 on a held id is a new message, for the broker lost its state", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(2, 5, "a");
  await setup.settle();
  setup.publish(2, 5, "b");
  assert.deepEqual(await setup.settle(), ["pubrec 5"]);
  assert.deepEqual(setup.stored, ["a", "b"]);
  setup.intake.release(5);
  assert.deepEqual(await setup.settle(), ["pubcomp 5"]);
});

Deno.test("mqtt intake: a repetition at QoS 1 is stored again, as at least once means", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(1, 5, "a");
  setup.publish(1, 5, "a", { dup: true });
  assert.deepEqual(await setup.settle(), ["puback 5", "puback 5"]);
  assert.deepEqual(setup.stored, ["a", "a"]);
});

Deno.test("mqtt intake: without a session all held ids are forgotten, durably, before anything is acknowledged", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(2, 5, "a");
  await setup.settle();
  setup.connect(false);
  setup.publish(2, 5, "b", { dup: true });
  assert.deepEqual(await setup.settle(), ["pubrec 5"]);
  assert.deepEqual(setup.stored, ["a", "b"]);
  assert.equal(setup.spool.forgets, 1);
  assert.deepEqual(setup.spool.durablyHeld(), [5]);
});

Deno.test("mqtt intake: ids that were to be forgotten when the disk was full are forgotten on the next connection", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(2, 5, "a");
  await setup.settle();
  const full = new DiskFullError({ operation: "append", place: "x", cause: "no space" });
  setup.spool.onCommit = () => Promise.reject(full);
  setup.connect(false);
  await assert.rejects(setup.settle(), DiskFullError);
  assert.deepEqual(setup.spool.durablyHeld(), [5]);
  setup.spool.onCommit = () => Promise.resolve();
  setup.connect(true); // the session that the last connection began
  setup.publish(2, 5, "b", { dup: true });
  await setup.settle();
  assert.deepEqual(setup.stored, ["a", "b"]);
});

Deno.test("mqtt intake: PUBREL for an unknown id is completed, with 0x92 in MQTT 5 (3.7.2.1)", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.intake.release(77);
  assert.deepEqual(await setup.settle(), ["pubcomp 77 146"]);
  assert.equal(setup.spool.commits, 0);
  setup.version = 4;
  setup.connect(true);
  setup.intake.release(77);
  assert.deepEqual(await setup.settle(), ["pubcomp 77"]);
});

Deno.test("mqtt intake: excluded messages are acknowledged without a record and counted", async () => {
  const setup = new Setup(["noise/#"]);
  setup.connect(true);
  setup.publish(0, 0, "x", { topic: "noise/0" });
  setup.publish(1, 1, "x", { topic: "noise/1" });
  setup.publish(2, 2, "x", { topic: "noise/2" });
  setup.publish(2, 2, "x", { topic: "noise/2", dup: true });
  assert.deepEqual(await setup.settle(), ["puback 1", "pubrec 2", "pubrec 2"]);
  setup.intake.release(2);
  assert.deepEqual(await setup.settle(), ["pubcomp 2"]); // not 0x92: the id is known, there is just no record
  setup.intake.release(2);
  assert.deepEqual(await setup.settle(), ["pubcomp 2 146"]);
  assert.deepEqual(setup.stored, []);
  assert.equal(setup.spool.commits, 0);
  assert.equal(setup.counters.excluded, 4);
});

Deno.test("mqtt intake: a message excluded when it was acknowledged is not stored when it is repeated after a reload", async () => {
  const setup = new Setup(["noise/#"]);
  setup.connect(true);
  setup.publish(2, 2, "x", { topic: "noise/2" });
  await setup.settle();
  setup.intake.rules = { exclude: [], marker: undefined };
  setup.publish(2, 2, "x", { topic: "noise/2", dup: true });
  assert.deepEqual(await setup.settle(), ["pubrec 2"]);
  assert.deepEqual(setup.stored, []);
  setup.publish(2, 2, "y", { topic: "noise/2" });
  await setup.settle();
  assert.deepEqual(setup.stored, ["y"]);
});

Deno.test("mqtt intake: the agent's own topic is dropped on arrival, and only that topic", async () => {
  const setup = new Setup([], "status/marker");
  setup.connect(true);
  setup.publish(1, 1, "m", { topic: "status/marker" });
  setup.publish(1, 2, "x", { topic: "status/marker2" });
  setup.publish(1, 3, "y", { topic: "status" });
  assert.deepEqual(await setup.settle(), ["puback 1", "puback 2", "puback 3"]);
  assert.deepEqual(setup.markers, ["m"]);
  assert.deepEqual(setup.stored, ["x", "y"]);
  assert.equal(setup.counters.received, 2);
});

Deno.test("mqtt intake: when the disk is full nothing is acknowledged, and QoS 0 of the batch counts as lost", async () => {
  const setup = new Setup(["noise/#"]);
  setup.connect(true);
  setup.publish(1, 1, "a");
  await setup.settle();
  setup.spool.onCommit = () =>
    Promise.reject(new DiskFullError({ operation: "append", place: "x", cause: "no space" }));
  setup.publish(0, 0, "b");
  setup.publish(0, 0, "c");
  setup.publish(0, 0, "n", { topic: "noise/x" });
  setup.publish(1, 2, "d");
  await assert.rejects(setup.intake.commit(), DiskFullError);
  assert.ok(setup.intake.acknowledgements.empty);
  assert.equal(setup.counters.qos0Lost, 2);
  assert.deepEqual(setup.stored, ["a"]);
  setup.spool.onCommit = () => Promise.resolve();
  setup.publish(0, 0, "e");
  await setup.settle();
  assert.equal(setup.counters.qos0Lost, 2);
});

Deno.test("mqtt intake: readings carry the circumstances of their arrival, queued ones when the agent was last there", async () => {
  const setup = new Setup();
  setup.queued.start(true, false);
  setup.connect(true, 1_234);
  setup.publish(1, 1, "waited");
  setup.publish(0, 0, "new");
  await setup.settle();
  setup.queued.waited(1_000);
  await setup.clock.advance(500);
  setup.publish(1, 2, "later");
  await setup.settle();
  const [waited, fresh, later] = setup.spool.readings.map((one) => one.arrival);
  assert.equal(waited!.queued, true);
  assert.equal(waited!.lastConnectedMs, 1_234);
  assert.equal(fresh!.queued, false, "the broker does not queue QoS 0");
  assert.equal(later!.queued, false);
  assert.equal(later!.lastConnectedMs, undefined);
  assert.equal(later!.bootMs - waited!.bootMs, 500);
  assert.equal(later!.bootId, setup.clock.bootId);
  assert.equal(later!.synchronised, "yes");
});

const dropped = "$SYS/broker/publish/messages/dropped";

Deno.test("mqtt intake: what the broker says of itself is heard, and neither stored, counted nor acknowledged", async () => {
  const setup = new Setup();
  setup.connect(true);
  setup.publish(0, 0, "7", { topic: "$SYS/broker/clients/connected" });
  setup.intake.lose(reading(0, 0, "8", { topic: dropped }));
  assert.deepEqual(await setup.settle(), []);
  assert.deepEqual([setup.stored, setup.spool.commits], [[], 0]);
  assert.deepEqual({ ...setup.counters }, { ...new Counters() });
  assert.equal(setup.figures.status(true)!.clientsConnected, 7);
  setup.publish(0, 0, "mine", { topic: "$SYS/broker/uptime" });
  setup.publish(0, 0, "mine too", { topic: "$elsewhere" });
  await setup.settle();
  assert.deepEqual(setup.stored, ["mine", "mine too"], "other topics with $ come by a filter of the user's");
  setup.intake.lose(reading(0, 0, "9", { topic: "$SYS/broker/uptime" }));
  assert.equal(setup.counters.qos0Lost, 1);
});

Deno.test("mqtt intake: a filter of the user's stores the broker's figures too, and so does one that was taken out meanwhile", async () => {
  const setup = new Setup();
  setup.figures.reload(["$SYS/#"]);
  setup.connect(true);
  setup.publish(0, 0, "3", { topic: dropped });
  setup.publish(1, 1, "5", { topic: dropped });
  assert.deepEqual(await setup.settle(), ["puback 1"]);
  assert.equal(setup.figures.status(true)!.dropped, 2);
  setup.figures.reload(["#"]);
  setup.publish(1, 2, "5", { topic: dropped }); // had waited in the broker: at QoS 0 nothing does
  assert.deepEqual(await setup.settle(), ["puback 2"]);
  assert.deepEqual(setup.stored, ["3", "5", "5"]);
  setup.publish(1, 3, "4", { topic: dropped, dup: true });
  assert.equal(setup.figures.status(true)!.dropped, 2, "a repetition is no broker that was started again");
});
