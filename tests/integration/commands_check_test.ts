import assert from "node:assert/strict";
import { FakeBroker } from "../fakes/fake_broker.ts";
import { type Certificate, certificates } from "../lab/certificates.ts";
import { freePort } from "../lab/ports.ts";
import { Scene, type SceneOptions } from "./commands_scene.ts";

interface Line {
  section: string;
  level: string;
  what: string;
  remedy?: string;
}

async function check(scene: Scene): Promise<{ code: number; lines: Line[]; failures: Line[] }> {
  const { code, stdout, stderr } = await scene.agent.command("check", "--json");
  assert.equal(stderr, "");
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as Line);
  return { code, lines, failures: lines.filter((line) => line.level === "failure") };
}

async function checkOf(options: SceneOptions): Promise<ReturnType<typeof check>> {
  await using scene = await Scene.open(options);
  return await check(scene);
}

const one = (lines: Line[], section: string, pattern: RegExp) => {
  const found = lines.find((line) => line.section === section && pattern.test(line.what));
  assert.ok(found, `${section} ${pattern}: ${JSON.stringify(lines, null, 1)}`);
  return found;
};

Deno.test("check: line by line what is well, for people and for scripts, and nothing is changed", async () => {
  await using scene = await Scene.open({ mqtt: { topics: ["hall/#", "$share/group/yard/#"] } });
  const { code, lines, failures } = await check(scene);
  assert.deepEqual([code, failures], [0, []]);
  one(lines, "configuration", /agent\.yaml: valid, plant scene/);
  one(lines, "spool", /does not exist yet/);
  one(lines, "clock", /synchronised/);
  assert.equal(one(lines, "broker", /not encrypted/).level, "warning");
  one(lines, "broker", /lets the agent in, MQTT 5/);
  one(lines, "broker", /filter hall\/# is granted/);
  one(lines, "broker", /filter \$share\/group\/yard\/# is granted/);
  one(lines, "output cloud", /Elasticsearch 8/);
  assert.equal(scene.sink.templates.size, 0);
  await assert.rejects(Deno.stat(scene.agent.spoolDir), "the spool's folder is not made");

  const text = (await scene.agent.command("check")).stdout;
  assert.match(text, /^✓ configuration: /);
  assert.match(text, /^! broker: .*not encrypted\n {4}→ give the broker a certificate/m);

  await scene.start();
  const beside = await check(scene);
  assert.equal(beside.code, 0, "works beside the running agent");
  one(
    beside.lines,
    "spool",
    new RegExp(`an agent runs with this configuration: pid ${scene.agent.running.pid}`),
  );
  one(beside.lines, "spool", /can be written/);
  const { subscriber } = await scene.agent.snapshot();
  assert.deepEqual(
    [subscriber.state, subscriber.reconnects],
    ["connected", 0],
    "it does not take the agent's place",
  );
});

Deno.test("check: a configuration that is wrong ends with 2 and a line for each problem", async () => {
  await using scene = await Scene.open({ mqtt: { qos: 7 }, spool: { max_sise: "1GiB" } });
  const { code, failures } = await check(scene);
  assert.equal(code, 2);
  assert.ok(
    failures.some((line) => /agent\.yaml:\d+:\d+: .*mqtt\.qos/.test(line.what)),
    JSON.stringify(failures),
  );
  assert.ok(failures.some((line) => /did you mean max_size/.test(line.what)), JSON.stringify(failures));
});

Deno.test("check: a broker that refuses: password, filter, nobody there, only MQTT 3.1.1", async () => {
  const users = { agent: "right" };
  const login = { username: "agent", password_file: "secret" };
  const wrong = await checkOf({ broker: { users }, mqtt: login, secrets: { secret: "wrong-password" } });
  assert.equal(wrong.code, 1);
  const refused = one(wrong.failures, "broker", /refuses: .*not authori[sz]ed/i);
  assert.match(refused.remedy!, /mqtt\.password_file/);
  assert.ok(!JSON.stringify(wrong.lines).includes("wrong-password"));

  // Mosquitto grants every filter, whatever its access list says
  await using strict = new FakeBroker(async (client) => {
    await client.answerConnect();
    await client.answerSubscribe(1);
    await client.answerSubscribe(135);
    await client.answerSubscribe(0);
  });
  const filter = await checkOf({ mqtt: { url: strict.url, topics: ["hall/#", "yard/#", "gate/#"] } });
  one(filter.lines, "broker", /filter hall\/# is granted/);
  assert.match(
    one(filter.failures, "broker", /refuses the filter yard\/# \(code 135\)/).remedy!,
    /access list/,
  );
  assert.equal(one(filter.lines, "broker", /filter gate\/# is granted at QoS 0 only/).level, "warning");

  const nobody = await checkOf({ mqtt: { url: `mqtt://127.0.0.1:${freePort()}` } });
  assert.match(one(nobody.failures, "broker", /refused/i).remedy!, /is the broker running/);

  // this Mosquitto can't be told to refuse MQTT 5
  await using older = new FakeBroker(async (client) => {
    const { protocolVersion } = await client.next("connect");
    if (protocolVersion === 5) return client.close();
    await client.send({ cmd: "connack", sessionPresent: false, returnCode: 0 });
    await client.answerSubscribe();
  });
  one((await checkOf({ mqtt: { url: older.url } })).lines, "broker", /lets the agent in, MQTT 3\.1\.1/);
});

Deno.test("check: TLS to the broker is verified: right CA, other CA, other name, expired", async () => {
  const made = await certificates();
  const ca = made.ca.certificate;
  const checkWith = (server: Certificate) => checkOf({ broker: { tls: server }, mqtt: { ca_file: ca } });
  const well = await checkWith(made.server);
  one(well.lines, "broker", /TLS verified by ca_file/);
  assert.equal(one(well.lines, "broker", /its certificate lasts (89|90) days/).level, "ok");
  assert.equal(well.code, 0);
  const soon = await checkWith(made.endsSoon);
  assert.deepEqual([soon.code, one(soon.lines, "broker", /lasts (9|10) days/).level], [0, "warning"]);
  const bad: [Certificate, RegExp][] = [
    [made.otherServer, /UnknownIssuer/],
    [made.wrongName, /not valid for name/],
    [made.expired, /expired/i],
  ];
  for (const [server, pattern] of bad) {
    const { code, failures, lines } = await checkWith(server);
    assert.equal(code, 1);
    assert.ok(one(failures, "broker", pattern).remedy !== undefined);
    assert.ok(!lines.some((line) => /lets the agent in/.test(line.what)));
  }
  const { failures } = await checkWith(made.expired);
  assert.match(one(failures, "broker", /its certificate ended on \d{4}-\d\d-\d\d/).remedy!, /renew it/);
});

Deno.test("check: certificates in files that end soon have a line and a remedy, each where it is needed", async () => {
  const made = await certificates();
  const soon = made.endsSoon.certificate;
  const urls = [`https://127.0.0.1:${freePort()}`];
  const { lines, failures } = await checkOf({
    broker: { tls: { ...made.server, clientCa: made.ca.certificate } },
    mqtt: { ca_file: made.ca.certificate, cert_file: soon, key_file: made.endsSoon.key },
    more: { outputs: { cloud: { type: "elasticsearch", urls, ca_file: soon } } },
  });
  assert.equal(one(lines, "broker", /the CA in mqtt\.ca_file lasts (89|90) days/).level, "ok");
  const client = one(lines, "broker", /the certificate in mqtt\.cert_file lasts (9|10) days/);
  assert.equal(client.level, "warning");
  assert.match(client.remedy!, /restart the agent/);
  one(lines, "broker", /^its certificate lasts (89|90) days/); // seen though a client's certificate is asked for
  assert.equal(one(lines, "output cloud", /the CA in ca_file of the output cloud lasts/).level, "warning");
  assert.ok(!failures.some(({ what }) => /lasts/.test(what)));
});

Deno.test("check: an output that is not there, no broker, no output", async () => {
  const urls = [`http://127.0.0.1:${freePort()}`];
  const dead = await checkOf({ more: { outputs: { cloud: { type: "elasticsearch", urls } } } });
  assert.equal(dead.code, 1);
  one(dead.failures, "output cloud", /127\.0\.0\.1/);
  const env = { NOTIFY_SOCKET: "/nobody/listens" }; // as for the service, which opens no broker and no store of its own
  const nothing = await checkOf({ more: { mqtt: {}, outputs: {} }, env });
  assert.equal(nothing.code, 0);
  assert.equal(one(nothing.lines, "broker", /no broker is configured/).level, "warning");
  assert.equal(one(nothing.lines, "outputs", /no output is configured/).level, "warning");
});

Deno.test("check: a disk without room, and a folder that can't be written", async () => {
  const full = await checkOf({ spool: { min_free: "1000TiB" } });
  assert.equal(full.code, 1);
  assert.match(one(full.failures, "spool", /less than min_free/).remedy!, /spool\.min_free/);
  const short = await checkOf({ spool: { max_size: "1000TiB" } });
  assert.deepEqual([short.code, one(short.lines, "spool", /can't grow to max_size/).level], [0, "warning"]);
  const denied = await checkOf({ spool: { dir: "/proc/1" } });
  one(denied.failures, "spool", /\/proc\/1 can't be written/);
});
