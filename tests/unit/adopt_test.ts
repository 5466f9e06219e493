import assert from "node:assert/strict";
import mqttPacket from "mqtt-packet";
import {
  accountName,
  accountStep,
  type Adopted,
  brokerKeys,
  cronStartSteps,
  cronStopSteps,
  dropInStep,
  notesStep,
  parseAdopted,
  startSteps,
  stopSteps,
} from "../../installer/broker/adopt.ts";
import { brokerKey, withBrokerKeys, withBrokerOf } from "../../installer/broker/adopt_config.ts";
import { parseConf } from "../../installer/broker/conf.ts";
import { keptSettings } from "../../installer/broker/private_broker.ts";
import {
  connectPacket,
  disconnectPacket,
  firstPacket,
  subackCodes,
  subscribePacket,
} from "../../installer/broker/session_packets.ts";
import type { Step } from "../../installer/plan.ts";
import { finish } from "../lab/command.ts";

const listener = { port: 1883, host: "127.0.0.1", caFile: "/ca.crt", certificateFile: "/broker.crt" };
const adopted: Adopted = {
  ...{
    version: 1,
    listener,
    passwordFile: "/etc/mosquitto/mqttpwdfile",
    format: undefined,
    filePatterns: ["/m/*.log"],
  },
  ...{ registry: "/r/data.json", cronLines: ["@weekly python3 'it''s' [x] $HOME"], account: "agent" },
  ...{ passwordName: "mqtt-password", configBefore: "plant: vigo\n" },
  units: [
    { name: "stMQTT.service", role: "messages", enabled: true, active: true },
    { name: "filebeat.service", role: "shipper", enabled: true, active: false },
    { name: "stVPN.service", role: "vpn", enabled: true, active: true },
  ],
};
const contentOf = (step: Step) => step.kind === "file" ? step.content : assert.fail(step.kind);

Deno.test("adopt: our drop-in names nothing that another file names, and begins no listener", () => {
  const all = parseConf("ours", contentOf(dropInStep(new Set(), 12_345)));
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  assert.ok(!all.some(({ name }) => /listener|port|file|tls|anonymous/.test(name)));
  assert.deepEqual(all.find(({ name }) => name === "max_queued_bytes")?.value, "12345");
  const named = new Set(["persistence", "persistence_location", "autosave_interval"]);
  const rest = parseConf("ours", contentOf(dropInStep(named, 1))).map(({ name }) => name);
  assert.deepEqual(rest.filter((name) => named.has(name)), []);
  assert.equal(rest.length, all.length - named.size);
});

Deno.test("adopt: the agent's account stands beside the others, which stay as they are, and goes again without a trace", () => {
  const access = { mode: 0o600, owner: "mosquitto", group: "mosquitto" };
  const before = "# accounts\nuser:$6$c2FsdA==$aGFzaA==\nagent2:$7$101$x$y\n";
  const account = (text: string, hash: string | undefined) =>
    contentOf(accountStep(adopted, text, hash, access));
  const after = account(before, "$7$1$a$b");
  assert.equal(after, `${before}agent:$7$1$a$b\n`);
  assert.equal(account(after, "$7$1$a$b"), after);
  assert.equal(account(after, undefined), before);
  assert.equal(account("user:x", "h"), "user:x\nagent:h\n");
  assert.equal(accountName(before), "agent");
  assert.equal(accountName("agent:x\n"), "sensorlog-agent");
  assert.equal(accountName("agent:x\nsensorlog-agent:x\n"), undefined);
});

Deno.test("adopt: old services rest but that of the VPN, and only what ran or was enabled comes back", () => {
  assert.deepEqual(stopSteps(adopted).map(({ id }) => id), ["stop-stMQTT.service", "stop-filebeat.service"]);
  const back = startSteps(adopted).map(({ id }) => id);
  assert.deepEqual(back, ["enable-stMQTT.service", "start-stMQTT.service", "enable-filebeat.service"]);
  assert.deepEqual(parseAdopted(contentOf(notesStep(adopted))), JSON.parse(JSON.stringify(adopted)));
  for (const text of ["", "{}", "null", '{"version":2}']) assert.equal(parseAdopted(text), undefined, text);
});

Deno.test("adopt: the cron line goes and comes back, whatever stands in it and beside it", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    const tab = `${dir}/tab`;
    // a crontab(1) as far as it is used here
    const fake =
      `#!/bin/sh\nif [ "$1" = -l ]; then exec cat "${tab}"; fi\ncat > "${tab}.new" && mv "${tab}.new" "${tab}"\n`;
    Deno.writeTextFileSync(`${dir}/crontab`, fake, { mode: 0o755 });
    const before = `# jobs\n0 3 * * * /usr/bin/other\n${adopted.cronLines[0]} more\n`;
    Deno.writeTextFileSync(tab, `${adopted.cronLines[0]}\n${before}`);
    const run = async (step: Step, which: "run" | "done") => {
      const { program, args } = step.kind === "command" ? step[which] : assert.fail(step.kind);
      return (await finish(program, args, { env: { PATH: `${dir}:${Deno.env.get("PATH")}` } })).code;
    };
    const [stop] = cronStopSteps(adopted);
    const [start] = cronStartSteps(adopted);
    assert.deepEqual([await run(stop!, "done"), await run(start!, "done")], [1, 0]);
    assert.equal(await run(stop!, "run"), 0);
    assert.equal(Deno.readTextFileSync(tab), before);
    assert.deepEqual([await run(stop!, "done"), await run(start!, "done")], [0, 1]);
    assert.equal(await run(start!, "run"), 0);
    assert.equal(Deno.readTextFileSync(tab), `${before}${adopted.cronLines[0]}\n`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("adopt: the agent knows the broker by its CA where the certificate names this machine, else by its fingerprint", () => {
  const keys = (names: string[] | undefined, one = listener) =>
    brokerKeys(one, names && { names, sha256: "AA:BB" }, ["pi", "192.168.1.46"], adopted, "sensorlog/vigo");
  const byCa = keys(["10.0.0.1", "192.168.1.46"]);
  assert.deepEqual([byCa.url, byCa.ca_file, byCa.fingerprint_sha256], [
    "mqtts://192.168.1.46:1883",
    "/ca.crt",
    undefined,
  ]);
  for (
    const byPin of [keys([]), keys(["10.0.0.1"]), keys(["pi"], { ...listener, caFile: undefined as never })]
  ) {
    assert.deepEqual([byPin.url, byPin.ca_file, byPin.fingerprint_sha256], [
      "mqtts://127.0.0.1:1883",
      undefined,
      "AA:BB",
    ]);
  }
  const plain = keys(undefined, { ...listener, host: "fd00::1" });
  assert.deepEqual([plain.url, plain.fingerprint_sha256], ["mqtt://[fd00::1]:1883", undefined]);
});

Deno.test("adopt: the configuration gets the broker and gives it back; what a person wrote around it stays", () => {
  const before =
    "# mine\nplant: vigo\nmqtt:\n  url: mqtts://other:8883 # old\n  cert_file: me.crt\n  topics: ['a/#']\n";
  const keys = brokerKeys(listener, { names: [], sha256: "AA:BB" }, [], adopted, "sensorlog/vigo");
  const after = withBrokerKeys(before, keys);
  assert.match(after, /# mine[^]*url: mqtts:\/\/127.0.0.1:1883[^]*topics: \['a\/#'\]/);
  assert.equal(brokerKey(after, "cert_file"), undefined);
  assert.equal(withBrokerKeys(after, keys), after);
  const edited = after.replace("plant: vigo", "plant: porto");
  const back = withBrokerOf(edited, before);
  assert.deepEqual(["url", "cert_file", "username"].map((name) => brokerKey(back, name)), [
    "mqtts://other:8883",
    "me.crt",
    undefined,
  ]);
  assert.match(back, /porto/);
  assert.equal(brokerKey(withBrokerOf(after, "plant: vigo\n"), "url"), undefined);
});

Deno.test("adopt: the session's packets are MQTT 5, ask for no retained message, and acknowledge nothing", () => {
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  const packets: mqttPacket.Packet[] = [];
  parser.on("packet", (packet) => packets.push(packet));
  const filters = [{ filter: "#", qos: 1 as const }, { filter: "a/".repeat(100), qos: 2 as const }];
  const who = { clientId: "sensorlog-vigo", username: "agent", expiryS: 2_592_000 };
  for (const bytes of [connectPacket({ ...who, clean: false }), subscribePacket(filters), disconnectPacket]) {
    parser.parse(bytes as never);
  }
  const [connect, subscribe, disconnect] = packets as [
    mqttPacket.IConnectPacket,
    mqttPacket.ISubscribePacket,
    mqttPacket.Packet,
  ];
  assert.deepEqual([connect.clientId, connect.username, connect.clean], ["sensorlog-vigo", "agent", false]);
  assert.equal(connect.properties?.sessionExpiryInterval, 2_592_000);
  assert.deepEqual(subscribe.subscriptions.map(({ topic, qos, rh }) => [topic, qos, rh]), [
    ["#", 1, 2],
    ["a/".repeat(100), 2, 2],
  ]);
  assert.equal(disconnect.cmd, "disconnect");
  const suback = mqttPacket.generate({ cmd: "suback", messageId: 1, granted: [1, 135], properties: {} }, {
    protocolVersion: 5,
  });
  for (let length = 0; length < suback.length; length++) {
    assert.equal(firstPacket(suback.subarray(0, length)), undefined);
  }
  const found = firstPacket(new Uint8Array([...suback, 1, 2]))!;
  assert.deepEqual([found.type, found.length, subackCodes(found.body)], [9, suback.length, [1, 135]]);
  assert.throws(() => firstPacket(Uint8Array.of(0x20, 255, 255, 255, 255, 1)), /no MQTT/);
});

Deno.test("adopt: what Mosquitto keeps between two lives is where its configuration says", () => {
  const kept = (text: string) => keptSettings(parseConf("conf", text));
  assert.equal(kept("persistence false\npersistence_location /x/\n"), undefined);
  assert.equal(kept(""), undefined);
  assert.deepEqual(kept("persistence true\npersistence_location /x/\nuser me\nlistener 1\n"), [
    ...["persistence true", "persistence_location /x/", "user me"],
  ]);
});
