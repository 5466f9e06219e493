import assert from "node:assert/strict";
import { Alarms } from "../../agent/base/alarms.ts";
import { OperationError } from "../../agent/base/errors.ts";
import { earlyCloseMs, takeoverClearMs } from "../../agent/limits.ts";
import type { MqttSettings } from "../../agent/settings.ts";
import type { ConnectionEnd } from "../../agent/subscriber/connection.ts";
import { reasonName, spokenReason } from "../../agent/subscriber/control_packet.ts";
import { sameConnection } from "../../agent/subscriber/mqtt_settings.ts";
import { ProtocolChoice } from "../../agent/subscriber/protocol_choice.ts";
import { KeepAlive } from "../../agent/subscriber/keep_alive.ts";
import { TakeoverWatch } from "../../agent/subscriber/takeover_watch.ts";
import { parseBrokerUrl } from "../../agent/subscriber/transport.ts";
import { FakeClock } from "../fakes/fake_clock.ts";
import { MemoryLog } from "../fakes/memory_log.ts";

const end = (kind: ConnectionEnd["kind"], more: Partial<ConnectionEnd> = {}): ConnectionEnd => ({
  kind,
  reason: "because",
  code: undefined,
  connectedMs: undefined,
  ...more,
});

Deno.test("mqtt session: 3.1.1 is tried at once when MQTT 5 is refused or answered with silence, and not for other faults", () => {
  for (const one of [end("refused", { code: 1 }), end("refused", { code: 132 }), end("silent")]) {
    const choice = new ProtocolChoice();
    assert.equal(choice.next(5), 5);
    assert.equal(choice.ended(5, one), true);
    assert.equal(choice.next(5), 4);
    assert.equal(choice.ended(4, end("silent")), false);
    assert.equal(choice.next(5), 5, "that one failed too, so it was not the protocol");
  }
  for (const one of [end("refused", { code: 135 }), end("failed"), end("closed"), end("full")]) {
    const choice = new ProtocolChoice();
    assert.equal(choice.ended(5, one), false);
    assert.equal(choice.next(5), 5);
  }
});

Deno.test("mqtt session: three early closes in a row, or reason 142, say that the client id is in use twice", () => {
  const alarms = new Alarms(new FakeClock());
  const watch = new TakeoverWatch(alarms, new MemoryLog());
  const early = end("closed", { connectedMs: earlyCloseMs - 1 });
  watch.ended(early);
  watch.ended(early);
  watch.ended(end("closed", { connectedMs: earlyCloseMs }));
  watch.ended(early);
  watch.ended(end("full", { connectedMs: 1 })); // that was us
  watch.ended(early);
  watch.ended(early);
  assert.deepEqual(alarms.list(), []);
  watch.ended(early);
  assert.equal(alarms.list()[0]!.code, "client_id_in_use");
  assert.match(alarms.list()[0]!.text, /perhaps in use twice/);
  watch.stands(takeoverClearMs - 1);
  assert.equal(alarms.list().length, 1);
  watch.stands(takeoverClearMs);
  assert.equal(alarms.list().length, 0);
  watch.ended(end("closed", { connectedMs: 50 * earlyCloseMs, code: 142 }));
  assert.match(alarms.list()[0]!.text, /taken the session over/);
});

/** Runs a keep-alive over half intervals of 1 ms; `alive` is asked in each. */
async function beat(alive: boolean[]): Promise<string> {
  const heard: string[] = [];
  const left = [...alive];
  const done = Promise.withResolvers<void>();
  const keepAlive = new KeepAlive({
    intervalS: 0.002,
    ping: () => heard.push("ping"),
    alive: () => {
      if (left.length === 1) setTimeout(done.resolve, 0);
      return left.shift() ?? true;
    },
    onDead: () => heard.push("dead"),
  });
  await done.promise;
  keepAlive.stop();
  return heard.join(" ");
}

Deno.test("mqtt session: PINGREQ goes out every interval, and one and a half of them in silence are the end", async () => {
  assert.match(await beat([true, true, true, true]), /^ping ping/);
  assert.match(await beat([false, false, true, false, true]), /^ping ping/);
  assert.equal(await beat([false, false, false]), "ping dead");
  assert.equal(await beat([true, false, false, false]), "ping dead");
});

Deno.test("mqtt session: a keep-alive of 0 means none", async () => {
  const keepAlive = new KeepAlive({
    intervalS: 0,
    ping: assert.fail,
    alive: assert.fail,
    onDead: assert.fail,
  });
  await new Promise((done) => setTimeout(done, 5));
  keepAlive.stop();
});

Deno.test("mqtt session: broker URLs name host and port, and never show user or password", () => {
  const parts = (url: string) => {
    const { tls, hostname, port, shown } = parseBrokerUrl(url);
    return [tls, hostname, port, shown];
  };
  assert.deepEqual(parts("mqtt://broker"), [false, "broker", 1883, "mqtt://broker:1883"]);
  assert.deepEqual(parts("mqtts://broker"), [true, "broker", 8883, "mqtts://broker:8883"]);
  assert.deepEqual(parts("mqtts://[::1]:99"), [true, "::1", 99, "mqtts://[::1]:99"]);
  assert.deepEqual(parts("mqtt://me:secret@1.2.3.4:5/x"), [false, "1.2.3.4", 5, "mqtt://1.2.3.4:5"]);
  for (const url of ["", "broker:1883", "http://broker", "mqtt:", "mqtt://", "ws://x"]) {
    assert.throws(() => parseBrokerUrl(url), OperationError, url);
  }
});

Deno.test("mqtt session: reasons are named, with the broker's own words made harmless", () => {
  assert.equal(reasonName(135), "not authorized (135)");
  assert.equal(reasonName(77), "unknown reason (77)");
  assert.deepEqual(spokenReason({ cmd: "connack", sessionPresent: false, returnCode: 4 }), {
    code: 4,
    text: "bad user name or password (4)",
  });
  const properties = { reasonString: "go\x1b[31m away\n", serverReference: "other.example" };
  assert.deepEqual(spokenReason({ cmd: "disconnect", reasonCode: 157, properties }), {
    code: 157,
    text: "server moved (157): go [31m away : it names other.example",
  });
});

const settings: MqttSettings = {
  url: "mqtts://a",
  listen: undefined,
  caPem: undefined,
  fingerprintSha256: undefined,
  username: "me",
  password: { path: "/p", read: () => "x" },
  certificatePem: undefined,
  key: undefined,
  clientId: "c",
  topics: ["#"],
  exclude: [],
  qos: 1,
  maxPayloadBytes: 1,
  statusTopic: undefined,
  keepAliveS: 60,
};

Deno.test("mqtt session: only what CONNECT and TLS need makes a new connection", () => {
  const same = (more: Partial<MqttSettings>) => sameConnection(settings, { ...settings, ...more });
  assert.ok(same({ topics: ["a"], exclude: ["b"], qos: 2, maxPayloadBytes: 7, statusTopic: "s" }));
  assert.ok(same({ password: { path: "/p", read: () => "y" } }));
  for (
    const more of [
      { url: "mqtts://b" },
      { caPem: "x" },
      { fingerprintSha256: "x" },
      { username: "you" },
      { password: { path: "/q", read: () => "x" } },
      { certificatePem: "x" },
      { key: { path: "/k", read: () => "x" } },
      { clientId: "d" },
      { keepAliveS: 5 },
    ]
  ) assert.ok(!same(more), JSON.stringify(more));
});
