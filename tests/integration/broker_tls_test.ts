import assert from "node:assert/strict";
import { certificates, fingerprintSha256 } from "../lab/certificates.ts";
import { succeed } from "../lab/command.ts";
import { type MosquittoOptions, startMosquitto } from "../lab/mosquitto.ts";
import { Publisher } from "../lab/publisher.ts";
import type { MqttSettings } from "../../agent/settings.ts";
import { secret, TestAgent } from "./broker_setup.ts";

const made = await certificates();
const caPem = await Deno.readTextFile(made.ca.certificate);

/** A broker with a fault: what status says; then the fault is mended, and what is published arrives once. */
async function refusedUntilMended(
  fault: {
    broker: MosquittoOptions;
    settings?: Partial<MqttSettings>;
    says: RegExp;
    mended?: Partial<MqttSettings>;
  },
  good: MosquittoOptions = { tls: made.server },
): Promise<void> {
  await using bad = await startMosquitto(fault.broker);
  const scheme = fault.settings?.url ?? "mqtts:";
  await using agent = await TestAgent.start({
    caPem,
    ...fault.settings,
    url: `${scheme}//127.0.0.1:${bad.port}`,
  });
  await agent.until(
    "the fault in status",
    ({ state, reason }) => state === "waiting" && fault.says.test(reason!),
  );
  assert.equal(agent.status.connectedSinceMs, undefined);
  assert.doesNotMatch(bad.log, /Received PUBLISH|SUBSCRIBE/);
  await bad.kill("SIGTERM");
  await using broker = await startMosquitto({ ...good, port: bad.port });
  if (fault.mended !== undefined) agent.reload(fault.mended);
  await agent.connected();
  const url = good.tls === undefined ? {} : { caFile: made.ca.certificate };
  await using publisher = await Publisher.connect({ port: broker.port, ...url });
  await publisher.publish([{ topic: "a", payload: "once", qos: 2 }]);
  await agent.stored(1);
  await agent.stop();
  assert.deepEqual(agent.payloads(), ["once"]);
  assert.equal(agent.status.reason, undefined);
}

Deno.test("broker: a certificate of another CA is refused, and all is well when it is mended", async () => {
  await refusedUntilMended({
    broker: { tls: made.otherServer },
    says: /refused: UnknownIssuer; name the CA/,
  });
});

Deno.test("broker: a certificate for another name is refused", async () => {
  await refusedUntilMended({ broker: { tls: made.wrongName }, says: /not valid for name "127.0.0.1"/ });
});

Deno.test("broker: an expired certificate is refused", async () => {
  await refusedUntilMended({
    broker: { tls: made.expired },
    says: /refused: Expired; the broker needs a new/,
  });
});

Deno.test("broker: a TLS client at a plain port says so", async () => {
  await refusedUntilMended({
    broker: {},
    says: /connection reset; does this port speak TLS|does not speak TLS/,
  });
});

Deno.test("broker: a plain client at a TLS port says so", async () => {
  await refusedUntilMended({
    broker: { tls: made.server },
    settings: { url: "mqtt:" },
    says: /before CONNACK.*mqtts:/,
  }, {});
});

Deno.test("broker: a refused password is shown, never the password itself", async () => {
  await using broker = await startMosquitto({ tls: made.server, users: { agent: "right-one" } });
  await using agent = await TestAgent.start({
    url: `mqtts://localhost:${broker.port}`,
    caPem,
    username: "agent",
    password: secret("wrong-one"),
  });
  await agent.until(
    "the refusal",
    ({ reason }) => /not authorized|bad user name or password/.test(reason ?? ""),
  );
  assert.doesNotMatch(agent.log.text + JSON.stringify(agent.status), /wrong-one/);
  agent.reload({ password: secret("right-one") });
  await agent.connected();
  assert.equal(agent.status.protocol, "MQTT 5");
  assert.doesNotMatch(agent.log.text, /right-one/);
});

Deno.test("broker: a pin takes the very certificate, whatever its CA and name, and no other", async () => {
  await using broker = await startMosquitto({ tls: made.wrongName });
  const pin = await fingerprintSha256(made.wrongName.certificate);
  const other = await fingerprintSha256(made.server.certificate);
  await using agent = await TestAgent.start({
    url: `mqtts://127.0.0.1:${broker.port}`,
    fingerprintSha256: other,
  });
  await agent.until("the refusal", ({ reason }) => reason?.includes(`has the fingerprint ${pin}`) === true);
  assert.match(agent.status.reason!, /mqtt.fingerprint_sha256/);
  agent.reload({ fingerprintSha256: pin });
  await agent.connected();
  await succeed("mosquitto_pub", [
    ...["-h", "127.0.0.1", "-p", String(broker.port), "--cafile", made.ca.certificate, "--insecure"],
    ...["-t", "a", "-m", "pinned", "-q", "1"],
  ]);
  await agent.stored(1);
});

Deno.test("broker: a client certificate is shown where one is asked for, and missed where it is", async () => {
  const certificatePem = await Deno.readTextFile(made.client.certificate);
  const key = secret(await Deno.readTextFile(made.client.key));
  await using broker = await startMosquitto({ tls: { ...made.server, clientCa: made.ca.certificate } });
  const url = `mqtts://127.0.0.1:${broker.port}`;
  await using agent = await TestAgent.start({ url, caPem });
  await agent.until("the refusal", ({ reason }) => /asks for a client certificate/.test(reason ?? ""));
  agent.reload({ certificatePem, key });
  await agent.connected();
  const fingerprint = await fingerprintSha256(made.server.certificate);
  agent.reload({ caPem: undefined, fingerprintSha256: fingerprint });
  await agent.until(
    "a connection by the pin",
    ({ state, reconnects }) => state === "connected" && reconnects === 1,
  );
});

Deno.test("broker: IPv6, with and without TLS", async () => {
  for (const tls of [undefined, made.server]) {
    await using broker = await startMosquitto({ hostname: "::1", ...(tls === undefined ? {} : { tls }) });
    await using agent = await TestAgent.start({ url: broker.url, caPem });
    await agent.connected();
    const caFile = tls === undefined ? undefined : made.ca.certificate;
    await using publisher = await Publisher.connect({ port: broker.port, hostname: "::1", caFile });
    await publisher.publish([{ topic: "a", payload: "six", qos: 1 }]);
    await agent.stored(1);
  }
});

Deno.test("broker: nobody there, no such name, no handshake: each is said, and none ends the agent", async () => {
  await using agent = await TestAgent.start({ url: "mqtts://127.0.0.1:1", caPem }, { hurry: 50 });
  await agent.until("refused", ({ reason }) => /refused.*is the broker running/.test(reason ?? ""));
  agent.reload({ url: "mqtts://nowhere.invalid" });
  await agent.until("unknown", ({ reason }) => /lookup address.*is the name/.test(reason ?? ""));
  const deaf = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of deaf) accepted.push(connection);
  })();
  agent.reload({ url: `mqtts://127.0.0.1:${deaf.addr.port}` });
  await agent.until("no handshake", ({ reason }) => /no answer within 15 s/.test(reason ?? ""));
  const fingerprintSha256 = "0".repeat(64);
  agent.reload({ fingerprintSha256 });
  await agent.until("connecting", ({ state }) => state === "connecting");
  await agent.until("no handshake by the pin", ({ reason }) => /no answer within 15 s/.test(reason ?? ""));
  await agent.until("no more of them", ({ reason }) => /4 earlier TLS handshakes/.test(reason ?? ""), 20_000);
  const hung = accepted.splice(0);
  hung.forEach((connection) => connection.close());
  await agent.until("trying again", ({ reason }) => /no answer within 15 s/.test(reason ?? ""), 20_000);
  deaf.close();
  accepted.forEach((connection) => connection.close());
  await accepting;
});

Deno.test("broker: without a URL the agent stays up and says so, until it gets one", async () => {
  await using broker = await startMosquitto();
  await using agent = await TestAgent.start({ url: undefined });
  assert.equal(agent.status.state, "no broker configured");
  assert.equal(agent.status.url, undefined);
  agent.reload({ url: broker.url });
  await agent.connected();
  await agent.stop();
  assert.equal(agent.status.state, "stopped");
});
