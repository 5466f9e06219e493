import assert from "node:assert/strict";
import { type AgentUnit, agentUnit } from "../../installer/units.ts";

const plain: AgentUnit = {
  credentials: [],
  binary: "/usr/local/bin/sensorlog-agent",
  configFile: "/etc/sensorlog/agent.yaml",
  writableDirs: [],
};
const linesOf = (unit: Partial<AgentUnit>) => agentUnit({ ...plain, ...unit }).split("\n");

Deno.test("units: only the secrets that the configuration names are loaded: one that is missing would stop the unit", () => {
  assert.ok(!linesOf({}).some((line) => line.startsWith("LoadCredential=")));
  const credentials = [
    { name: "mqtt-password", path: "/etc/sensorlog/mqtt-password" },
    { name: "key", path: "/srv/100%/key" },
  ];
  assert.deepEqual(linesOf({ credentials }).filter((line) => line.startsWith("LoadCredential=")), [
    "LoadCredential=mqtt-password:/etc/sensorlog/mqtt-password",
    "LoadCredential=key:/srv/100%%/key",
  ]);
});

Deno.test("units: a path is one word to systemd, whatever is in it", () => {
  const lines = linesOf({ configFile: `/etc/my "own" $5 100% \\ file.yaml`, writableDirs: ["/mnt/a $b"] });
  assert.ok(
    lines.includes(
      `ExecStart=/usr/local/bin/sensorlog-agent run --config "/etc/my \\"own\\" $$5 100%% \\\\ file.yaml"`,
    ),
  );
  assert.ok(lines.includes(`ReadWritePaths=-"/mnt/a $b"`));
  assert.throws(() => linesOf({ binary: "/a\nExecStartPre=/bin/evil" }), /control character/);
});

Deno.test("units: wants the network, the time and the broker, and needs none of them", () => {
  const lines = linesOf({});
  assert.ok(!lines.some((line) => /^(Requires|BindsTo|Requisite)=/.test(line)));
  assert.ok(lines.includes("Restart=always") && lines.includes("StartLimitIntervalSec=0"));
});
