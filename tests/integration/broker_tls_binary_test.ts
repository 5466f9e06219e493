/** What the compiled binary refuses of a broker's TLS: the sources and the bundle may differ in just this. */
import assert from "node:assert/strict";
import { certificates, fingerprintSha256 } from "../lab/certificates.ts";
import { type MosquittoOptions, startMosquitto } from "../lab/mosquitto.ts";
import { Publisher } from "../lab/publisher.ts";
import { waitUntil } from "../lab/wait.ts";
import { Scene } from "./commands_scene.ts";

const made = await certificates();
const pin = await fingerprintSha256(made.server.certificate);
const ca = { ca_file: made.ca.certificate };

const faults: { what: string; broker: MosquittoOptions; mqtt: Record<string, string>; says: RegExp }[] = [
  { what: "wrong CA", broker: { tls: made.otherServer }, mqtt: ca, says: /refused: UnknownIssuer/ },
  { what: "wrong name", broker: { tls: made.wrongName }, mqtt: ca, says: /not valid for name "127.0.0.1"/ },
  { what: "expired", broker: { tls: made.expired }, mqtt: ca, says: /refused: Expired/ },
  {
    what: "wrong pin",
    broker: { tls: made.otherServer },
    mqtt: { fingerprint_sha256: pin },
    says: /has the fingerprint [0-9a-f]{64}/,
  },
  { what: "plain text", broker: {}, mqtt: ca, says: /connection reset|does not speak TLS/ },
];

for (const { what, broker, mqtt, says } of faults) {
  Deno.test(`broker, compiled binary: ${what}: nothing is sent, status says why, and when it is mended all arrives once`, async () => {
    await using scene = await Scene.open({
      broker,
      mqtt: { username: "agent", password_file: "mqtt-password", ...mqtt },
      secrets: { "mqtt-password": "not-to-be-sent" },
    });
    const port = scene.broker.port;
    const url = `mqtts://127.0.0.1:${port}`;
    await scene.agent.configure({ ...scene.config, mqtt: { ...(scene.config.mqtt as object), url } });
    scene.agent.start();
    const { subscriber } = await scene.agent.waitUntil(
      "the refusal",
      (status) => status.subscriber.state === "waiting" && says.test(status.subscriber.reason ?? ""),
    );
    assert.equal(subscriber.connectedSinceMs, undefined);
    assert.doesNotMatch(scene.broker.log, /new client connected|Received PUBLISH|SUBSCRIBE/i);

    await scene.broker.kill("SIGTERM");
    const good = { port, tls: made.server, users: { agent: "not-to-be-sent", sensor: "s" } };
    await using mended = await startMosquitto(good);
    await scene.agent.waitUntil("a connection", (status) => status.subscriber.state === "connected");
    const account = { username: "sensor", password: "s" };
    await using publisher = await Publisher.connect({
      port: mended.port,
      caFile: made.ca.certificate,
      ...account,
    });
    await publisher.publish([{ topic: "a", payload: "once", qos: 2 }]);
    await waitUntil(() => scene.sink.documents.size > 0, 30_000, "the reading at the output");
    assert.equal(scene.sink.documents.size, 1);
    assert.doesNotMatch(scene.agent.log, /not-to-be-sent/);
  });
}
