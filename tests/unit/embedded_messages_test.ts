import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { AedesPublishPacket } from "aedes";
import { embeddedRetainedBytesMax, embeddedRetainedMax, truncatedPayloadBytes } from "../../agent/limits.ts";
import type { IncomingReading } from "../../agent/spool/spool_types.ts";
import { findNumberProperty, findProperty, propertyTypes } from "../../agent/spool/properties.ts";
import { EmbeddedAccount } from "../../agent/subscriber/embedded_account.ts";
import { Counters } from "../../agent/subscriber/counters.ts";
import { EmbeddedIds } from "../../agent/subscriber/embedded_ids.ts";
import type { Answer } from "../../agent/subscriber/embedded_intake.ts";
import { EmbeddedMemory } from "../../agent/subscriber/embedded_memory.ts";
import { type EmbeddedMessage, EmbeddedMessages } from "../../agent/subscriber/embedded_messages.ts";
import { mqttSettings, secret } from "../integration/broker_setup.ts";
import type { MqttSettings } from "../../agent/settings.ts";

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** The commit is the test's: `waiting` are the messages that have been added. */
class Setup {
  readonly counters = new Counters();
  readonly ids = new EmbeddedIds();
  readonly waiting: { reading: IncomingReading; answer: Answer }[] = [];
  readonly answers: string[] = [];
  refusal: string | undefined;
  readonly messages: EmbeddedMessages;
  readonly memory = new EmbeddedMemory(this.ids, () => {});

  constructor(settings: Partial<MqttSettings> = {}) {
    this.messages = new EmbeddedMessages({
      intake: { add: (reading, answer) => void this.waiting.push({ reading, answer }) },
      ids: this.ids,
      counters: this.counters,
      refusal: () => this.refusal,
    }, mqttSettings(settings));
  }

  take(name: string, more: Partial<EmbeddedMessage> = {}, client = "c"): void {
    const message: EmbeddedMessage = { topic: "a", payload: name, qos: 1, messageId: 1, ...more };
    this.messages.take(client, message, (error, repetition) => {
      this.answers.push(`${name} ${error === null ? repetition ? "known" : "stored" : "refused"}`);
    });
  }

  /** The commit of everything that was added. */
  commit(error: Error | null = null): void {
    for (const { answer } of this.waiting.splice(0)) answer(error);
  }

  get stored(): string[] {
    return this.waiting.map(({ reading }) => textOf(reading.payload));
  }
}

Deno.test("embedded messages: nothing is answered before it is durable", () => {
  const setup = new Setup();
  setup.take("zero", { qos: 0, messageId: undefined });
  setup.take("one");
  setup.take("two", { qos: 2 });
  assert.deepEqual([setup.answers, setup.stored], [[], ["zero", "one", "two"]]);
  setup.commit();
  assert.deepEqual(setup.answers, ["zero stored", "one stored", "two stored"]);
});

Deno.test("embedded messages: a PUBLISH at QoS 2 repeated with DUP is stored once until its PUBREL", async () => {
  const setup = new Setup();
  const { memory } = setup;
  const packet = { messageId: 7 };
  const known = () => memory.incomingGetPacket({ id: "c" }, packet).then(() => true, () => false);
  setup.take("a", { qos: 2, messageId: 7 });
  setup.take("again", { qos: 2, messageId: 7, dup: true });
  assert.deepEqual([setup.stored, setup.answers], [["a"], []], "the repetition waits for the same commit");
  setup.commit();
  assert.deepEqual(setup.answers, ["a stored", "again known"]);
  assert.deepEqual(
    [await known(), await known()],
    [false, true],
    "aedes hands the first one on, and no other",
  );
  setup.take("later", { qos: 2, messageId: 7, dup: true });
  setup.take("of another client", { qos: 2, messageId: 7, dup: true }, "d");
  assert.deepEqual(setup.stored, ["of another client"]);
  assert.equal(setup.counters.duplicates, 2);
  await memory.incomingDelPacket({ id: "c" }, packet);
  setup.take("new", { qos: 2, messageId: 7, dup: true });
  assert.deepEqual(setup.stored, ["of another client", "new"]);
});

Deno.test("embedded messages: a held id with DUP 0 names a new message, which aedes hands on", async () => {
  const setup = new Setup();
  setup.take("a", { qos: 2, messageId: 7 });
  setup.commit();
  await setup.memory.incomingGetPacket({ id: "c" }, { messageId: 7 }).catch(() => {});
  setup.take("b", { qos: 2, messageId: 7 });
  assert.deepEqual(setup.stored, ["b"]);
  setup.commit();
  await assert.rejects(setup.memory.incomingGetPacket({ id: "c" }, { messageId: 7 }), /no such packet/);
  assert.equal(setup.counters.duplicates, 0);
});

Deno.test("embedded messages: what the disk refused is not known when it is repeated, and its repetitions are refused too", () => {
  const setup = new Setup();
  setup.take("a", { qos: 2, messageId: 7 });
  setup.take("again", { qos: 2, messageId: 7, dup: true });
  setup.commit(new Error("EIO"));
  assert.deepEqual(setup.answers, ["a refused", "again refused"]);
  assert.equal(setup.ids.count, 0);
  setup.take("once more", { qos: 2, messageId: 7, dup: true });
  assert.deepEqual(setup.stored, ["once more"]);
});

Deno.test("embedded messages: filters decide what is stored; the rest is acknowledged and counted", () => {
  const setup = new Setup({ topics: ["hall/#", "yard/+"], exclude: ["hall/secret"] });
  for (const topic of ["hall/t", "yard/t", "hall/secret", "yard/t/x", "$other", "kitchen"]) {
    setup.take(topic, { topic, qos: 2, messageId: topic.length });
  }
  assert.deepEqual(setup.stored, ["hall/t", "yard/t"]);
  assert.deepEqual(setup.answers, [
    "hall/secret stored",
    "yard/t/x stored",
    "$other stored",
    "kitchen stored",
  ]);
  const { received, excluded } = setup.counters;
  assert.deepEqual([received, excluded], [6, 4]);
  setup.messages.reload(mqttSettings({ topics: ["kitchen"] }));
  setup.take("then", { topic: "kitchen" });
  assert.equal(setup.stored.at(-1), "then");
});

Deno.test("embedded messages: the broker's own topics and what is no topic are refused", () => {
  const setup = new Setup();
  for (const topic of ["$SYS/broker", "", "a/#", "a/+/b", "a\0"]) setup.take(topic, { topic });
  assert.deepEqual([setup.stored, setup.counters.received], [[], 0]);
  assert.equal(setup.answers.length, 5);
  assert.ok(setup.answers.every((one) => one.endsWith("refused")));
});

Deno.test("embedded messages: while nothing can be stored nothing is acknowledged, and lost messages at QoS 0 are counted", () => {
  const setup = new Setup({ exclude: ["x"] });
  setup.refusal = "spool full: …";
  setup.take("zero", { qos: 0, messageId: undefined });
  setup.take("one");
  setup.take("two", { qos: 2, messageId: 3 });
  setup.take("excluded", { topic: "x" });
  assert.deepEqual(setup.answers, ["zero refused", "one refused", "two refused", "excluded stored"]);
  assert.deepEqual([setup.stored, setup.counters.qos0Lost, setup.ids.count], [[], 1, 0]);
  setup.refusal = undefined;
  setup.take("two", { qos: 2, messageId: 3, dup: true });
  assert.deepEqual(setup.stored, ["two"]);
});

Deno.test("embedded messages: a payload beyond max_payload is cut, with its size and SHA-256", () => {
  const setup = new Setup({ maxPayloadBytes: 100_000 });
  const payload = new Uint8Array(100_001).map((_, i) => i);
  setup.take("whole", { payload: payload.subarray(0, 100_000) });
  setup.take("cut", { payload });
  const [whole, cut] = setup.waiting.map(({ reading }) => reading);
  assert.deepEqual([whole!.truncated, whole!.payload.length, whole!.properties.length], [false, 100_000, 0]);
  assert.deepEqual([cut!.truncated, cut!.payload], [true, payload.slice(0, truncatedPayloadBytes)]);
  const sha256 = findProperty(cut!.properties, propertyTypes.sha256)!;
  assert.deepEqual(sha256.slice(), new Uint8Array(createHash("sha256").update(payload).digest()));
  assert.equal(findNumberProperty(cut!.properties, propertyTypes.fullSize), 100_001);
  assert.equal(setup.counters.truncated, 1);
});

Deno.test("embedded messages: a message that has just come is not marked retained, and its packet id is no one's", () => {
  const setup = new Setup();
  setup.take("a", { qos: 2, messageId: 9, dup: true });
  const { retain, packetId, duplicate, qos } = setup.waiting[0]!.reading;
  assert.deepEqual({ retain, packetId, duplicate, qos }, {
    retain: false,
    packetId: 0,
    duplicate: true,
    qos: 2,
  });
});

Deno.test("embedded ids: memory is bounded, and who was silent longest is forgotten first", () => {
  const ids = new EmbeddedIds();
  for (let i = 0; i < 1_000; i++) ids.begin(`c${i}`, 1);
  ids.begin("c0", 2);
  ids.begin("new", 1);
  assert.deepEqual([ids.count, ids.find("c1", 1), ids.find("c0", 1) !== undefined], [1_001, undefined, true]);
  for (let id = 1; id <= 65_535; id++) ids.begin("much", id);
  for (let id = 1; id <= 65_535; id++) ids.begin("more", id);
  assert.deepEqual([ids.find("much", 1), ids.find("more", 1) !== undefined], [undefined, true]);
  assert.ok(ids.count <= 100_000);
  ids.forget("more");
  assert.equal(ids.count, 0);
  assert.equal(ids.release("more", 1), false);
});

Deno.test("embedded account: both name and password must be right, and without an account everybody may come", () => {
  const account = new EmbeddedAccount({ username: "agent", password: secret("right") });
  const admits = (name?: string, password?: string) =>
    account.admits(name, password === undefined ? undefined : new TextEncoder().encode(password));
  assert.ok(admits("agent", "right"));
  for (
    const [name, password] of [["agent", "wrong"], ["other", "right"], ["agent"], [], ["", ""]] as string[][]
  ) {
    assert.ok(!admits(name, password), `${name} ${password}`);
  }
  assert.ok(new EmbeddedAccount({ username: undefined, password: undefined }).admits(undefined, undefined));
});

Deno.test("embedded memory: retained messages are bounded, replaced, taken away, and found by filter", async () => {
  let full = 0;
  const memory = new EmbeddedMemory(new EmbeddedIds(), () => full++);
  const retain = (topic: string, payload: string) =>
    memory.storeRetained({ topic, payload: Buffer.from(payload), qos: 1 } as AedesPublishPacket);
  const found = async (...filters: string[]) => {
    const all: string[] = [];
    for await (const one of memory.createRetainedStreamCombi(filters)) {
      all.push(`${one.topic} ${one.payload}`);
    }
    return all;
  };
  await retain("hall/a", "1");
  await retain("hall/b", "2");
  await retain("hall/a", "3");
  await retain("$own/x", "4");
  await retain("gone", "5");
  await retain("gone", "");
  assert.deepEqual(
    await found("hall/#", "#"),
    ["hall/b 2", "hall/a 3"],
    "each once, none that begins with $",
  );
  assert.deepEqual(await found("$own/+"), ["$own/x 4"]);
  await retain("large", "x".repeat(embeddedRetainedBytesMax));
  assert.equal(full, 1);
  for (let i = 0; i < embeddedRetainedMax; i++) await retain(`many/${i}`, "x");
  assert.equal(full, 1 + 3, "three were there before");
  assert.equal((await found("#")).length, embeddedRetainedMax - 1);
  await retain("hall/a", "");
  await retain("hall/c", "there is room again");
  assert.equal(full, 4);
});
