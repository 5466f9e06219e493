import assert from "node:assert/strict";
import { parse } from "yaml";
import { agentAtBroker, type AtBroker, statusTopicFor } from "../../agent/commands/broker_agent.ts";
import { makeAuthority } from "../../installer/broker/pki.ts";
import { configText } from "../../installer/config_text.ts";
import { sumOf } from "../../installer/kinds.ts";
import { places } from "../../installer/plan.ts";
import { InstallRecord } from "../../installer/record.ts";
import { FakeMachine } from "../fakes/fake_machine.ts";

const at: AtBroker = {
  ...{ url: "mqtts://127.0.0.1:8883", caFile: "/etc/sensorlog/pki/ca.crt", username: "agent", password: "p" },
  ...{ caPem: (await makeAuthority("test", new Date())).certificatePem, statusTopic: "sensorlog/vigo" },
};
const wanted = {
  ...{ url: at.url, ca_file: at.caFile, username: "agent", password_file: "mqtt-password" },
  status_topic: at.statusTopic,
};

function machineWith(
  config: string | undefined,
  answers?: Record<string, unknown>,
): [FakeMachine, InstallRecord] {
  const machine = new FakeMachine();
  machine.entries.set(places.configDir, { type: "folder", mode: 0o750, uid: 0, gid: 0 });
  if (config !== undefined) machine.put(places.config, config);
  const sums = config === undefined || answers === undefined ? {} : { [places.config]: [sumOf(config)] };
  machine.put(`${places.configDir}/installed.json`, JSON.stringify({ sums, answers: answers ?? {} }));
  return [machine, InstallRecord.load(machine)];
}

Deno.test("the agent at its broker: a configuration of the installer's is made anew, with what it was told before", () => {
  const answers = { plant: "vigo", outputUrls: ["https://10.8.0.1:9200"], broker: "mqtt://old:1883" };
  for (const known of [undefined, configText(answers)]) {
    const [machine, record] = machineWith(known, known === undefined ? undefined : answers);
    const { wish, answers: next } = agentAtBroker(machine, record, "/opt/agent", at);
    assert.deepEqual(parse(wish.config!).mqtt, wanted);
    assert.equal(wish.configBasedOn, undefined);
    assert.equal(next!.brokerCaPath, at.caFile);
    if (known !== undefined) assert.deepEqual(parse(wish.config!).outputs.cloud.urls, answers.outputUrls);
    assert.deepEqual(wish.credentials.map(({ name }) => name), ["mqtt-password"]);
  }
});

Deno.test("the agent at its broker: a person's configuration keeps everything else, and needs the secrets that it names", () => {
  const mine = "# mine\nplant: pontevedra\nmqtt:\n  url: mqtts://10.0.0.1\n  topics: [a/#] # all of a\n" +
    "outputs:\n  cloud: {type: elasticsearch, urls: [https://10.8.0.1:9200], api_key_file: my-key}\n";
  const [machine, record] = machineWith(mine);
  machine.put(`${places.configDir}/my-key`, "c2VjcmV0\n", 0o600);
  assert.equal(statusTopicFor(machine, record), "sensorlog/pontevedra");
  const { wish, answers } = agentAtBroker(machine, record, "/opt/agent", at);
  assert.equal(answers, undefined);
  assert.equal(wish.configBasedOn, sumOf(mine));
  assert.deepEqual(parse(wish.config!).mqtt, { ...wanted, topics: ["a/#"] });
  for (const line of ["# mine", "  topics: [a/#] # all of a"]) {
    assert.ok(wish.config!.split("\n").includes(line));
  }
  assert.deepEqual(wish.credentials.map(({ name }) => name).sort(), ["mqtt-password", "my-key"]);
  assert.ok(!JSON.stringify(wish).includes("c2VjcmV0"), "other secrets stay where they are");
});

Deno.test("the agent at its broker: a configuration that would not be valid is refused before anything is done", () => {
  const [machine, record] = machineWith("mqtt:\n  qos: 7\n");
  assert.throws(() => agentAtBroker(machine, record, "/opt/agent", at), /qos.*nothing was changed/s);
});

Deno.test("the agent at its broker: a status topic that is there stays", () => {
  const [machine, record] = machineWith("mqtt:\n  status_topic: my/own\n");
  assert.equal(statusTopicFor(machine, record), "my/own");
  const [own, known] = machineWith("x: 1\n", { plant: "vigo" });
  assert.equal(statusTopicFor(own, known), "sensorlog/vigo");
});
