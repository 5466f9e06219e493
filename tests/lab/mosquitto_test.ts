import assert from "node:assert/strict";
import { certificates, fingerprintSha256 } from "./certificates.ts";
import { finish, succeed } from "./command.ts";
import { startMosquitto } from "./mosquitto.ts";

Deno.test("lab: Mosquitto keeps a retained message over a restart, and loses what was not saved when killed", async () => {
  await using broker = await startMosquitto();
  const port = String(broker.port);
  const read = () => finish("mosquitto_sub", ["-p", port, "-t", "#", "-W", "1", "-v"]);
  await succeed("mosquitto_pub", ["-p", port, "-t", "a", "-m", "1", "-r", "-q", "1"]);
  await broker.restart();
  assert.match((await read()).stdout, /^a 1$/m);
  await succeed("mosquitto_pub", ["-p", port, "-t", "b", "-m", "2", "-r", "-q", "1"]);
  await broker.save();
  await succeed("mosquitto_pub", ["-p", port, "-t", "c", "-m", "3", "-r", "-q", "1"]);
  await broker.kill();
  await broker.start();
  const after = (await read()).stdout;
  assert.match(after, /^b 2$/m);
  assert.doesNotMatch(after, /^c 3$/m);
});

Deno.test("lab: Mosquitto with TLS and passwords lets in who shows them, and nobody else", async () => {
  const made = await certificates();
  await using broker = await startMosquitto({
    tls: { ...made.server, clientCa: made.ca.certificate },
    users: { agent: "secret" },
  });
  const publish = (password: string, ca: string, ...more: string[]) =>
    finish("mosquitto_pub", [
      ...["-p", String(broker.port), "-h", "127.0.0.1", "--cafile", ca, "-u", "agent", "-P", password],
      ...["-t", "a", "-m", "1", "-q", "1", ...more],
    ]);
  const card = ["--cert", made.client.certificate, "--key", made.client.key];
  assert.equal((await publish("secret", made.ca.certificate, ...card)).code, 0);
  assert.notEqual((await publish("secret", made.ca.certificate)).code, 0);
  assert.notEqual((await publish("wrong", made.ca.certificate, ...card)).code, 0);
  assert.notEqual((await publish("secret", made.otherCa.certificate, ...card)).code, 0);
  assert.doesNotMatch(await Deno.readTextFile(`${broker.dir}/passwords`), /secret/);
});

Deno.test("lab: each bad certificate is bad in just one way", async () => {
  const made = await certificates();
  const verify = async (path: string, ...more: string[]) =>
    (await finish("openssl", ["verify", "-CAfile", made.ca.certificate, ...more, path])).stderr;
  const name = ["-verify_ip", "127.0.0.1"];
  assert.equal(await verify(made.server.certificate, ...name), "");
  assert.equal(await verify(made.wrongName.certificate), "");
  assert.match(await verify(made.wrongName.certificate, ...name), /IP address mismatch/);
  assert.match(await verify(made.expired.certificate, ...name), /certificate has expired/);
  assert.equal(await verify(made.expired.certificate, ...name, "-no_check_time"), "");
  assert.match(await verify(made.otherServer.certificate), /unable to get local issuer/);
  assert.match(await fingerprintSha256(made.server.certificate), /^[0-9a-f]{64}$/);
});
