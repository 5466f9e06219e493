import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "yaml";
import { withMqtt } from "../../installer/agent_yaml.ts";
import { lineDiff } from "../../installer/line_diff.ts";

const values = {
  ...{ url: "mqtts://127.0.0.1:8883", ca_file: "/etc/sensorlog/pki/ca.crt", fingerprint_sha256: undefined },
  ...{ username: "agent", password_file: "mqtt-password" },
};
const mine = `# my plant
plant: vigo   # do not change

mqtt:
  # the old broker
  url: mqtt://192.168.1.46:1883
  topics: ["#", 'a/+']   # all
  fingerprint_sha256: ${"ab".repeat(32)}

outputs:
  cloud:
    type: elasticsearch
    urls: [https://10.8.0.1:9200]
    # api_key_file: elastic-api-key
`;

const changedLines = (before: string, after: string) =>
  lineDiff(before, after).filter(({ sign }) => sign !== " ").map(({ sign, text }) => `${sign}${text}`);

Deno.test("agent.yaml of a person: only the keys that are set differ; comments, order and quotes stay", () => {
  const after = withMqtt(mine, values);
  assert.deepEqual(changedLines(mine, after), [
    "-  url: mqtt://192.168.1.46:1883",
    "+  url: mqtts://127.0.0.1:8883",
    `-  fingerprint_sha256: ${"ab".repeat(32)}`,
    "+  ca_file: /etc/sensorlog/pki/ca.crt",
    "+  username: agent",
    "+  password_file: mqtt-password",
  ]);
  assert.equal(withMqtt(after, values), after);
});

Deno.test("agent.yaml of a person: without a section, with an empty one, or with nothing at all", () => {
  const { fingerprint_sha256: _none, ...set } = values;
  const cases = [
    "",
    "# only this\n",
    "plant: a\n",
    "plant: a\nmqtt:\n  # url: x\noutputs: {}\n",
    "mqtt: {}\n",
    "mqtt: ~\n",
  ];
  for (const text of cases) {
    const after = withMqtt(text, values);
    assert.deepEqual(parse(after).mqtt, set, text);
    for (const comment of text.match(/#.*/g) ?? []) {
      assert.ok(after.includes(comment), `${comment} in ${after}`);
    }
    assert.equal(withMqtt(after, values), after);
  }
});

Deno.test("agent.yaml of a person: whatever else is in it means the same afterwards", () => {
  const leaf = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.string(), { maxLength: 3 }),
  );
  const key = fc.stringMatching(/^[a-z_]{1,8}$/).filter((name) => name !== "mqtt" && !(name in values));
  const section = fc.dictionary(key, leaf, { maxKeys: 4 });
  fc.assert(
    fc.property(fc.dictionary(key, fc.oneof(leaf, section), { maxKeys: 4 }), section, (others, mqtt) => {
      const text = JSON.stringify({ ...others, mqtt }, null, 2); // which is YAML, too
      const after = parse(withMqtt(text, values));
      const { fingerprint_sha256: _none, ...set } = values;
      assert.deepEqual(after, parse(JSON.stringify({ ...others, mqtt: { ...mqtt, ...set } })));
    }),
    { numRuns: 200 },
  );
});

Deno.test("agent.yaml of a person: what is no map of keys is left alone", () => {
  for (const text of ["- a\n", "mqtt: 3\n", "mqtt: [a]\n", "a: b: c\n", "just text\n"]) {
    assert.throws(() => withMqtt(text, values), /change the configuration: agent\.yaml: /);
  }
});
