import assert from "node:assert/strict";
import { join } from "node:path";
import { projectDir } from "../lab/paths.ts";
import { Folder } from "../unit/config_fixture.ts";

Deno.test("README: the configuration that it shows is valid as it stands, with the files that it names", () => {
  const readme = Deno.readTextFileSync(join(projectDir, "README.md"));
  const examples = [...readme.matchAll(/^( *)```yaml\n([^]*?)^ *```$/gm)];
  assert.ok(examples.length > 0, "README.md shows a configuration");
  for (const [, indent, text] of examples) {
    using folder = new Folder();
    folder.put("mqtt-password", "x\n");
    folder.put("elastic-api-key", "eA==\n");
    const yaml = text!.replaceAll(`\n${indent}`, "\n").replace(indent!, "");
    const settings = folder.load(yaml.replaceAll(/\/etc\/sensorlog\/pki\/\S+/g, "ca.crt"));
    assert.deepEqual(settings.warnings, []);
    assert.ok(settings.mqtt.url !== undefined && settings.outputs.length > 0);
  }
});
