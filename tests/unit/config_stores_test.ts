import assert from "node:assert/strict";
import { join } from "node:path";
import { localStoresOf } from "../../agent/config/stores.ts";

async function storesOf(yaml: string | undefined) {
  const dir = await Deno.makeTempDir();
  try {
    const defaultPath = join(dir, "agent.yaml");
    if (yaml !== undefined) await Deno.writeTextFile(defaultPath, yaml);
    return localStoresOf(undefined, { defaultPath });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("configuration: local stores are found whatever else is wrong, secrets included", async () => {
  const found = await storesOf(`
mqtt: { url: nonsense, password_file: not-there }
outputs:
  cloud: { type: elasticsearch, urls: [https://es:9200], api_key_file: not-there }
  here: { type: local, dir: /srv/readings }
  usual: { type: local }
`);
  assert.deepEqual(found, [
    { name: "here", dir: "/srv/readings" },
    { name: "usual", dir: "/var/lib/sensorlog/store" },
  ]);
});

Deno.test("configuration: without outputs the store is the one of a hand-started run", async () => {
  const usual = [{ name: "local", dir: "/var/lib/sensorlog/store" }];
  assert.deepEqual(await storesOf(undefined), usual);
  assert.deepEqual(await storesOf("plant: vigo\n"), usual);
  assert.deepEqual(await storesOf("outputs: {cloud: {type: elasticsearch}}\n"), []);
});

Deno.test("configuration: a file that is no YAML, or not there, is an error for its stores too", async () => {
  await assert.rejects(storesOf("outputs: [\n"), { name: "ConfigError" });
  assert.throws(() => localStoresOf("/nowhere/agent.yaml"), /there is no such file/);
});
