import assert from "node:assert/strict";
import { markerMissingMs, quietMs } from "../../agent/limits.ts";
import { Marker, markerTopic } from "../../agent/subscriber/marker.ts";
import { QueuedWatch } from "../../agent/subscriber/queued_watch.ts";
import { FakeClock } from "../fakes/fake_clock.ts";

Deno.test("mqtt queue: messages of a new session are not queued ones", () => {
  const watch = new QueuedWatch();
  watch.start(false, true);
  assert.equal(watch.queued(1), false);
});

Deno.test("mqtt queue: on a resumed session all is queued until the marker comes, except at QoS 0", () => {
  let empty = 0;
  const watch = new QueuedWatch(() => empty++);
  watch.start(true, true);
  watch.waited(10 * quietMs); // with a marker silence says nothing: the broker may just be slow
  assert.equal(watch.queued(1), true);
  assert.equal(watch.queued(0), false);
  assert.equal(watch.queued(2), true);
  watch.markerSeen();
  watch.markerSeen();
  assert.equal(watch.queued(1), false);
  assert.equal(empty, 1);
});

Deno.test("mqtt queue: without a marker the first quiet second ends it, counted in time that was spent reading", () => {
  let empty = 0;
  const watch = new QueuedWatch(() => empty++);
  watch.start(true, false);
  watch.waited(0.6 * quietMs);
  assert.equal(watch.queued(1), true); // a message: the silence begins anew
  watch.waited(0.6 * quietMs);
  assert.equal(watch.queued(0), false); // at QoS 0 it is none
  watch.waited(0.3 * quietMs);
  assert.equal(watch.waiting, true);
  watch.waited(0.2 * quietMs);
  assert.equal(watch.waiting, false);
  assert.equal(watch.queued(2), false);
  assert.equal(empty, 1);
});

Deno.test("mqtt queue: when the marker is hopeless the quiet second does, and a late marker still counts", () => {
  const watch = new QueuedWatch();
  watch.start(true, true);
  watch.giveUpMarker();
  watch.waited(quietMs / 2);
  assert.equal(watch.queued(1), true);
  watch.waited(quietMs);
  assert.equal(watch.queued(1), false);
  watch.start(true, true);
  watch.giveUpMarker();
  watch.markerSeen();
  assert.equal(watch.waiting, false);
});

class Setup {
  readonly clock = new FakeClock();
  readonly published: string[] = [];
  readonly closed = new AbortController();
  readonly heard: string[] = [];
  answer: () => Promise<void> = () => Promise.resolve();
  readonly marker = new Marker({
    topic: "s/marker",
    version: "1",
    clock: this.clock,
    publish: (topic, payload) => (this.published.push(`${topic} ${payload}`), this.answer()),
    onHopeless: () => this.heard.push("hopeless"),
    onMissing: (reason) => this.heard.push(reason),
  });
  /** Payload of the last one that was published. */
  get payload(): Uint8Array {
    return new TextEncoder().encode(this.published.at(-1)!.slice("s/marker ".length));
  }
}

Deno.test("mqtt marker: it is published until it comes back, less and less often, and an older one is not taken for it", async () => {
  const setup = new Setup();
  const running = setup.marker.run(setup.closed.signal);
  await setup.clock.advance(0);
  assert.equal(setup.published.length, 1);
  await setup.clock.advance(3_000); // after 1 s and 2 s more
  assert.equal(setup.published.length, 3);
  assert.equal(new Set(setup.published).size, 1);
  const other = new Setup();
  void other.marker.run(other.closed.signal);
  assert.equal(setup.marker.meets(other.payload), false);
  other.closed.abort();
  assert.equal(setup.marker.meets(setup.payload), true);
  await running;
  await setup.clock.advance(120_000);
  assert.equal(setup.published.length, 3);
  assert.deepEqual(setup.heard, []);
});

Deno.test("mqtt marker: after three in vain something else must tell, and after five minutes it is reported, once", async () => {
  const setup = new Setup();
  const running = setup.marker.run(setup.closed.signal);
  await setup.clock.advance(6_900);
  assert.deepEqual(setup.heard, []);
  await setup.clock.advance(200);
  assert.deepEqual(setup.heard, ["hopeless"]);
  await setup.clock.advance(2 * markerMissingMs);
  assert.equal(setup.heard.length, 2);
  assert.match(setup.heard[1]!, /has not come back/);
  setup.closed.abort();
  await running;
});

Deno.test("mqtt marker: a broker that refuses it is believed at once", async () => {
  const setup = new Setup();
  setup.answer = () => Promise.reject(new Error("Publish error: Not authorized"));
  const running = setup.marker.run(setup.closed.signal);
  await setup.clock.advance(0);
  assert.equal(setup.heard[0], "hopeless");
  assert.match(setup.heard[1]!, /does not take it.*Not authorized/);
  setup.closed.abort();
  await running;
  const count = setup.published.length;
  await setup.clock.advance(60_000);
  assert.equal(setup.published.length, count);
});

Deno.test("mqtt marker: nothing is published without a status topic", () => {
  assert.equal(markerTopic(undefined), undefined);
  assert.equal(markerTopic("sensorlog/vigo"), "sensorlog/vigo/marker");
});
