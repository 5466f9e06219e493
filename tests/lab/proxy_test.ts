import assert from "node:assert/strict";
import { finish, succeed } from "./command.ts";
import { startMosquitto } from "./mosquitto.ts";
import { RecordingProxy, type WireEvent } from "./proxy.ts";
import { Publisher } from "./publisher.ts";
import { delay } from "./wait.ts";

const kinds = (events: WireEvent[]) => events.map((event) => event.kind);

Deno.test("proxy: writes down the whole flow of a message at each QoS, in MQTT 3.1.1 and 5", async () => {
  await using broker = await startMosquitto();
  for (const version of ["311", "5"]) {
    await using proxy = new RecordingProxy({ to: { port: broker.port } });
    const publish = (qos: string) =>
      succeed("mosquitto_pub", [
        "-p",
        String(proxy.port),
        "-V",
        version,
        "-t",
        "a/b",
        "-m",
        "21.5",
        "-q",
        qos,
      ]);
    for (const qos of ["0", "1", "2"]) await publish(qos);
    const flow = proxy.events.filter((event) => "direction" in event && event.kind !== "other");
    assert.deepEqual(
      flow.map((event) => "direction" in event && [event.kind, event.direction, event.connection]),
      [
        ["publish", "toServer", 1],
        ["publish", "toServer", 2],
        ["puback", "toClient", 2],
        ["publish", "toServer", 3],
        ["pubrec", "toClient", 3],
        ["pubrel", "toServer", 3],
        ["pubcomp", "toClient", 3],
      ],
    );
    const publishes = flow.filter((event) => event.kind === "publish");
    assert.deepEqual(publishes.map((event) => event.qos), [0, 1, 2]);
    assert.equal(new TextDecoder().decode(publishes[2]!.payload), "21.5");
    assert.equal(publishes[2]!.topic, "a/b");
    const connect = proxy.events.find((event) => event.kind === "connect");
    assert.equal(connect?.protocol, version === "5" ? 5 : 4);
    assert.equal(proxy.events.filter((event) => event.kind === "connack" && event.reason === 0).length, 3);
    assert.deepEqual(kinds(proxy.events.slice(0, 2)), ["open", "connect"]);
  }
});

Deno.test("proxy: cuts at an event, before its bytes are passed on", async () => {
  await using broker = await startMosquitto();
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  proxy.onEvent = (event) => event.kind === "puback" ? "cut" : undefined;
  await using publisher = await Publisher.connect({ port: proxy.port });
  await assert.rejects(publisher.publish([{ topic: "a", payload: "1", qos: 1 }]), /closed/);
  assert.equal(publisher.taken, 0);
  assert.deepEqual(kinds(proxy.events).slice(-2), ["puback", "close"]);
});

Deno.test("proxy: stalls, delays, refuses, and cuts when told to", async () => {
  await using broker = await startMosquitto();
  await using proxy = new RecordingProxy({ to: { port: broker.port } });
  await using publisher = await Publisher.connect({ port: proxy.port });
  const publish = () => publisher.publish([{ topic: "a", payload: "1", qos: 1 }]);
  proxy.stall();
  const stalled = publish();
  assert.equal(await Promise.race([stalled.then(() => "through"), delay(100)]), undefined);
  proxy.resume();
  await stalled;
  proxy.delayMs = 50;
  const startMs = performance.now();
  await publish();
  assert.ok(performance.now() - startMs >= 100, "there and back");
  proxy.delayMs = 0;
  proxy.cut();
  await assert.rejects(publish());
  proxy.refuses = true;
  assert.notEqual((await finish("mosquitto_pub", ["-p", String(proxy.port), "-t", "a", "-m", "1"])).code, 0);
  await broker.kill();
  proxy.refuses = false;
  assert.notEqual((await finish("mosquitto_pub", ["-p", String(proxy.port), "-t", "a", "-m", "1"])).code, 0);
});

Deno.test("proxy: without MQTT it passes any bytes on, in both directions", async () => {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    return new Response((await request.text()).toUpperCase());
  });
  await using proxy = new RecordingProxy({ to: { port: server.addr.port }, mqtt: false });
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const body = "a".repeat(1_000_000);
  const response = await fetch(`http://127.0.0.1:${proxy.port}/`, { method: "POST", body, client });
  assert.equal(await response.text(), body.toUpperCase());
  assert.deepEqual(kinds(proxy.events).slice(0, 1), ["open"]);
});
