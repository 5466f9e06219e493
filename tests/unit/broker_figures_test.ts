import assert from "node:assert/strict";
import fc from "fast-check";
import { Alarms } from "../../agent/base/alarms.ts";
import { brokerDropsQuietMs, figureBytesMax, figuresAgainMs, figuresInVainMax } from "../../agent/limits.ts";
import { BrokerFigures } from "../../agent/subscriber/broker_figures.ts";
import { Remembered } from "../../agent/subscriber/remembered.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { FakeFiles } from "../fakes/fake_files.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const droppedTopic = "$SYS/broker/publish/messages/dropped";

/** An agent that may be started again over the same `session.json`. */
class Setup {
  readonly clock = new FakeClock(Date.UTC(2026, 0, 2, 12, 0, 0));
  readonly log = new MemoryLog();
  readonly files = new FakeFiles();
  remembered!: Remembered;
  alarms!: Alarms;
  figures!: BrokerFigures;

  constructor(readonly topics: string[] = ["#"]) {
    this.files.makeFolder("/spool");
    this.begin();
  }

  begin(): void {
    this.remembered = Remembered.open(this.files, "/spool/session.json", this.log);
    this.remembered.use("mqtt://a", "me");
    this.alarms = new Alarms(this.clock);
    this.figures = new BrokerFigures(this, this.topics);
    this.figures.connected();
  }

  hear(topic: string, text: string): void {
    this.figures.hear(bytesOf(topic), bytesOf(text));
  }

  dropped(counter: number): void {
    this.hear(droppedTopic, String(counter));
  }

  /** The text of the alarm, or undefined. */
  get alarm(): string | undefined {
    this.figures.status(true);
    return this.alarms.list()[0]?.text;
  }

  get sum(): number | undefined {
    return this.figures.status(true)?.dropped;
  }
}

Deno.test("figures: what the broker says is shown while the connection stands, and only the drops after it", () => {
  const setup = new Setup();
  assert.equal(setup.figures.status(true), undefined, "a broker without $SYS has nothing to show");
  setup.hear("$SYS/broker/version", "mosquitto version 2.0.11");
  setup.hear("$SYS/broker/clients/connected", "12");
  setup.hear("$SYS/broker/clients/disconnected", "3");
  setup.hear("$SYS/broker/store/messages/bytes", "4096");
  setup.hear("$SYS/broker/uptime", "7 seconds");
  setup.dropped(5);
  const atMs = setup.clock.wallMs();
  assert.deepEqual(setup.figures.status(true), {
    version: "mosquitto version 2.0.11",
    clientsConnected: 12,
    clientsAway: 3,
    heldBytes: 4096,
    dropped: 0,
    droppedSinceMs: atMs,
  });
  assert.deepEqual(setup.figures.status(false), { dropped: 0, droppedSinceMs: atMs });
  setup.figures.connected();
  assert.deepEqual(
    setup.figures.status(true),
    { dropped: 0, droppedSinceMs: atMs },
    "the next broker speaks for itself",
  );
  assert.deepEqual(setup.alarms.list(), [], "what was dropped before the agent came is nobody's news");
});

Deno.test("figures: topics that the user's filters have are left to these", () => {
  assert.equal(
    new Setup(["#", "+/broker/version"]).figures.filters().length,
    5,
    "wildcards don't match $SYS",
  );
  assert.deepEqual(new Setup(["$SYS/#"]).figures.filters(), []);
  assert.deepEqual(new Setup(["$share/g/$SYS/#"]).figures.filters(), []);
  const some = new Setup(["$SYS/broker/clients/+", droppedTopic]);
  assert.deepEqual(some.figures.filters(), ["$SYS/broker/version", "$SYS/broker/store/messages/bytes"]);
  const own = (topic: string, qos: number) => some.figures.own(bytesOf(topic), qos);
  assert.deepEqual([own("$SYS/broker/version", 0), own("$SYS/broker/version", 1), own(droppedTopic, 0)], [
    true,
    false,
    false,
  ]);
  some.figures.reload(["a"]);
  assert.ok(own(droppedTopic, 0));
});

Deno.test("figures: drops raise an alarm that says how many and when, once in the log", async () => {
  const setup = new Setup();
  setup.dropped(100);
  assert.equal(setup.alarm, undefined);
  await setup.clock.advance(60_000);
  setup.dropped(1_334);
  assert.match(setup.alarm!, /dropped 1,234 messages between 2026-01-02 12:00:00Z and 2026-01-02 12:01:00Z:/);
  await setup.clock.advance(60_000);
  setup.dropped(1_335);
  assert.match(setup.alarm!, /1,235 messages between 2026-01-02 12:00:00Z and 2026-01-02 12:02:00Z/);
  assert.match(setup.alarms.list()[0]!.remedy!, /max_queued_messages/);
  assert.equal(setup.alarms.list()[0]!.code, "broker_drops");
  assert.equal(setup.log.text.split("The broker drops messages").length, 2);
});

Deno.test("figures: after a quiet hour the alarm ends, the sum stays, and the next one begins anew", async () => {
  const setup = new Setup();
  setup.dropped(0);
  setup.dropped(2);
  await setup.clock.advance(brokerDropsQuietMs - 1);
  assert.match(setup.alarm!, /2 messages/);
  setup.dropped(3);
  await setup.clock.advance(brokerDropsQuietMs - 1);
  assert.match(setup.alarm!, /3 messages/);
  setup.clock.stepWall(Date.UTC(2031, 0, 1)); // the quiet is measured by a clock that does not step
  assert.match(setup.alarm!, /3 messages/);
  await setup.clock.advance(1);
  assert.equal(setup.alarm, undefined);
  assert.equal(setup.sum, 3);
  setup.dropped(4);
  assert.match(setup.alarm!, /dropped 1 message between/);
  assert.equal(setup.sum, 4);
});

Deno.test("figures: a quiet hour in which nobody looked ends the alarm all the same", async () => {
  const setup = new Setup();
  setup.dropped(0);
  setup.dropped(2);
  await setup.clock.advance(brokerDropsQuietMs);
  setup.dropped(5);
  assert.match(setup.alarm!, /dropped 3 messages between/);
});

Deno.test("figures: a broker that was started again counts from 0", () => {
  const setup = new Setup();
  setup.dropped(10);
  setup.dropped(12);
  setup.figures.connected();
  setup.dropped(0);
  assert.equal(setup.sum, 2);
  setup.dropped(3);
  assert.equal(setup.sum, 5);
  setup.dropped(1);
  assert.equal(setup.sum, 6, "again, and it dropped one before the agent saw a 0");
});

Deno.test("figures: what was dropped while the agent was away is known when it comes back, also after a restart", async () => {
  const setup = new Setup();
  setup.dropped(10);
  await setup.clock.advance(30 * 60_000);
  setup.figures.stands(setup.clock.wallMs());
  await setup.remembered.save();
  await setup.clock.advance(60 * 60_000);
  setup.begin();
  assert.equal(setup.sum, 0);
  setup.dropped(10); // the broker had not told anew when the agent came
  await setup.clock.advance(1_000);
  setup.dropped(60);
  assert.match(setup.alarm!, /dropped 50 messages between 2026-01-02 12:30:00Z and 2026-01-02 13:30:01Z/);
  assert.equal(setup.sum, 50);
  await setup.remembered.save();
  setup.begin();
  setup.dropped(60);
  assert.equal(setup.alarm, undefined, "the same messages are told once");
  assert.equal(setup.sum, 50);
  setup.remembered.use("mqtt://b", "me");
  setup.dropped(1_000);
  assert.equal(setup.alarm, undefined, "another broker has a count of its own");
});

Deno.test("figures: on a connection on which the figure has not come, nothing is known until when the last one held", async () => {
  const setup = new Setup();
  setup.dropped(10);
  await setup.clock.advance(60_000);
  setup.figures.connected();
  await setup.clock.advance(60_000);
  setup.figures.stands(setup.clock.wallMs());
  setup.dropped(11);
  assert.match(setup.alarm!, /between 2026-01-02 12:00:00Z and 2026-01-02 12:02:00Z/);
});

Deno.test("figures: a broker that closes the connection instead of answering is left in peace for a day", async () => {
  const setup = new Setup();
  for (let i = 0; i < figuresInVainMax; i++) {
    assert.equal(setup.figures.filters().length, 5);
    setup.figures.asked();
  }
  assert.deepEqual(setup.figures.filters(), []);
  await setup.clock.advance(figuresAgainMs - 1);
  assert.deepEqual(setup.figures.filters(), []);
  await setup.clock.advance(1);
  assert.equal(setup.figures.filters().length, 5);
  setup.figures.asked();
  assert.deepEqual(setup.figures.filters(), [], "in vain once more");
  await setup.clock.advance(figuresAgainMs);
  setup.figures.asked();
  setup.figures.answered();
  setup.figures.asked();
  assert.equal(setup.figures.filters().length, 5, "one connection that broke says nothing");
});

Deno.test("figures: nothing that a broker says does harm", () => {
  const setup = new Setup();
  setup.hear("$SYS/broker/version", "x".repeat(figureBytesMax + 1));
  assert.equal(setup.figures.status(true), undefined);
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom("", "-1", "1e9", " 7", "7 ", "9".repeat(16), "0x10", "NaN", "١").map(bytesOf),
  );
  const topic = fc.constantFrom(
    "version",
    "clients/connected",
    "publish/messages/dropped",
    "store/messages/bytes",
  );
  fc.assert(fc.property(fc.array(fc.tuple(topic, hostile), { maxLength: 20 }), (messages) => {
    const setup = new Setup();
    for (const [name, payload] of messages) setup.figures.hear(bytesOf(`$SYS/broker/${name}`), payload);
    const { version, ...counts } = setup.figures.status(true) ?? {};
    assert.ok((version ?? "").length <= figureBytesMax);
    for (const count of Object.values(counts)) assert.ok(Number.isSafeInteger(count) && count >= 0);
  }));
});
