/** What is looked at before the first reading: version, template, privileges; and the ways in: keys, passwords, proxies. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ElasticsearchOutput } from "../../agent/shipper/elasticsearch.ts";
import type { ElasticsearchSettings } from "../../agent/settings.ts";
import { MemoryLog } from "../fakes/memory_log.ts";
import { certificates } from "../lab/certificates.ts";
import { type Elasticsearch, sharedElasticsearch, startElasticsearch } from "../lab/elasticsearch.ts";
import { projectDir } from "../lab/paths.ts";
import { freePort } from "../lab/ports.ts";
import { accepts } from "../lab/ports.ts";
import { Running } from "../lab/process.ts";
import { waitUntil } from "../lab/wait.ts";
import { makeOutgoing } from "../unit/shipper_fixture.ts";
import { commonSettings, elasticsearchSettings, secret, Shipping } from "./elasticsearch_fixture.ts";
import { FaultProxy, ofElasticsearch } from "./elasticsearch_proxy.ts";

const signal = new AbortController().signal;

function outputOf(settings: Partial<ElasticsearchSettings>): { output: ElasticsearchOutput; log: MemoryLog } {
  const log = new MemoryLog();
  return { output: new ElasticsearchOutput(elasticsearchSettings(settings), commonSettings(), log), log };
}

/** What the README's request gives a key, for other indices. */
function rolesOfReadme(indices: string): Record<string, unknown> {
  const readme = Deno.readTextFileSync(join(projectDir, "README.md"));
  const request = /_security\/api_key[^\n]* -d '(\{[^']*\})'/.exec(readme)?.[1];
  assert.ok(request !== undefined && request.includes('"mqtt-*"'), "README.md shows the request for a key");
  return JSON.parse(request.replace("mqtt-*", indices)).role_descriptors;
}

interface Template {
  version: number;
  index_patterns: string[];
  template: { settings: { index: Record<string, unknown> } };
  _meta: { managed_by: string };
}

async function templateOf(server: Elasticsearch, name: string): Promise<Template | undefined> {
  const { status, json } = await server.request<{ index_templates: { index_template: Template }[] }>(
    "GET",
    `/_index_template/${name}`,
  );
  return status === 404 ? undefined : json.index_templates[0]!.index_template;
}

Deno.test("template: put on the first start, left as a user changed it, and never where manage_template is false", async () => {
  const server = await sharedElasticsearch();
  const prepare = async (manageTemplate: boolean) => {
    const { output, log } = outputOf({ urls: [server.url], index: "own-%Y", manageTemplate });
    await output.prepare(signal);
    await output.close();
    return { alarms: output.alarms(), log };
  };
  await prepare(false);
  assert.equal(await templateOf(server, "sensorlog-own"), undefined);
  assert.deepEqual((await prepare(true)).alarms, []);
  const put = await templateOf(server, "sensorlog-own");
  assert.deepEqual(put?.index_patterns, ["own-*"]);
  put!.template.settings.index["number_of_shards"] = "3";
  await server.must("PUT", "/_index_template/sensorlog-own", put);
  assert.equal((await prepare(true)).log.lines.length, 0);
  assert.equal((await templateOf(server, "sensorlog-own"))?.template.settings.index["number_of_shards"], "3");
});

Deno.test("template: an older one of the agent's is replaced and that is logged, somebody else's left alone with an alarm", async () => {
  const server = await sharedElasticsearch();
  const body = {
    index_patterns: ["older-*"],
    version: 0,
    priority: 250,
    _meta: { managed_by: "sensorlog-agent" },
  };
  await server.must("PUT", "/_index_template/sensorlog-older", body);
  const older = outputOf({ urls: [server.url], index: "older-%Y" });
  await older.output.prepare(signal);
  assert.equal((await templateOf(server, "sensorlog-older"))?.version, 1);
  assert.match(older.log.text, /notice the index template was replaced by a newer one/);
  await older.output.close();

  await server.must("PUT", "/_index_template/sensorlog-theirs", {
    index_patterns: ["theirs-*"],
    priority: 1,
  });
  const theirs = outputOf({ urls: [server.url], index: "theirs-%Y" });
  await theirs.output.prepare(signal);
  assert.match(
    theirs.output.alarms()[0]?.text ?? "",
    /sensorlog-theirs is not the agent's; it is left alone/,
  );
  assert.equal((await templateOf(server, "sensorlog-theirs"))?.version, undefined);
  await theirs.output.close();
});

Deno.test("template: one that the server does not take is an alarm, and readings go out all the same", async () => {
  const server = await sharedElasticsearch();
  await server.must("PUT", "/_index_template/same-priority", { index_patterns: ["clash-*"], priority: 250 });
  const { output, log } = outputOf({ urls: [server.url], index: "clash-%Y" });
  await output.prepare(signal);
  assert.match(
    output.alarms()[0]?.text ?? "",
    /sensorlog-clash could not be put \(HTTP 400: .*same priority/,
  );
  await output.prepare(signal);
  assert.equal(log.lines.filter((line) => line.level === "warning").length, 1, "warned once");
  const verdicts = await output.send([makeOutgoing({}, { target: "clash-%Y" })], signal);
  assert.deepEqual(verdicts, [{ kind: "confirmed" }]);
  await output.close();
});

Deno.test("version: a server older than 8.14 is an alarm and a warning, newer ones are well", async () => {
  const server = await sharedElasticsearch();
  await using proxy = await new FaultProxy(server.url).up();
  for (
    const [version, old] of [["7.17.0", true], ["8.13.4", true], ["8.14.0", false], ["9.0.1", false]] as const
  ) {
    proxy.fault = (request) => {
      const own = new URL(request.url).pathname === "/";
      const body = JSON.stringify({ version: { number: version } });
      return Promise.resolve(own ? new Response(body, { headers: ofElasticsearch }) : undefined);
    };
    const { output, log } = outputOf({ urls: [proxy.url] });
    await output.prepare(signal);
    assert.deepEqual(output.alarms().map((alarm) => alarm.code), old ? ["server_old"] : []);
    assert.equal(log.text.includes(`the server is Elasticsearch ${version}`), old);
    const [first] = await output.examine(signal);
    assert.equal(first?.level, old ? "warning" : "ok");
    await output.close();
  }
  proxy.fault = (request) => {
    return Promise.resolve(
      new URL(request.url).pathname === "/" ? new Response("", { status: 403 }) : undefined,
    );
  };
  const { output } = outputOf({ urls: [proxy.url] });
  await output.prepare(signal);
  assert.deepEqual(output.alarms(), [], "a key that may not ask is no fault of the server's");
  assert.match((await output.examine(signal))[0]?.what ?? "", /its version may not be asked/);
  await output.close();
});

Deno.test("check: a server that is not there is a failure with what to do", async () => {
  const { output } = outputOf({ urls: [`http://127.0.0.1:${freePort()}`] });
  const findings = await output.examine(signal);
  assert.deepEqual(findings.map((one) => one.level), ["failure"]);
  assert.match(findings[0]!.what, /connection refused/);
  assert.match(findings[0]!.remedy ?? "", /check that it runs/);
  await output.close();
});

Deno.test("Elasticsearch with TLS and users: keys, passwords, privileges and a proxy", async (step) => {
  const made = await certificates();
  const caPem = await Deno.readTextFile(made.ca.certificate);
  await using server = await startElasticsearch({
    security: true,
    tls: { ...made.server, ca: made.ca.certificate },
  });
  const url = server.url;

  await step.step("a user and password, over TLS verified by the CA", async () => {
    await using shipping = await Shipping.start({
      ...{ urls: [url], caPem, index: "user-%Y", username: "elastic", password: secret(server.password!) },
    });
    await shipping.storeNumbers(3);
    await shipping.settled();
    assert.equal(await server.count("user-*"), 3);
  });

  await step.step(
    "an API key that is wrong, and right once its file is mended: no restart needed",
    async () => {
      let key = "bm9uZTpub25l";
      const apiKey = { path: "/key", read: () => key };
      await using shipping = await Shipping.start({ urls: [url], caPem, index: "key-%Y", apiKey });
      await shipping.storeNumbers(3);
      const status = await shipping.until("it is retrying", (now) => now.state === "retrying");
      assert.match(status.reason ?? "", /not let in \(HTTP 401: security_exception/);
      assert.ok(
        !shipping.log.text.includes(key) && !JSON.stringify(status).includes(key),
        "no secret in log or status",
      );
      key = await server.apiKey();
      await shipping.settled();
      assert.equal(await server.count("key-*"), 3);
    },
  );

  await step.step("the privileges of the README are enough, in both forms of a key", async () => {
    const encoded = await server.apiKey(rolesOfReadme("enough-*"));
    for (const key of [encoded, atob(encoded)]) {
      const { output } = outputOf({ urls: [url], caPem, index: "enough-%Y", apiKey: secret(key) });
      assert.deepEqual((await output.examine(signal)).filter((one) => one.level !== "ok"), []);
      await output.prepare(signal);
      const verdicts = await output.send([makeOutgoing({}, { target: "enough-%Y" })], signal);
      assert.deepEqual([verdicts, output.alarms()], [[{ kind: "confirmed" }], []]);
      await output.close();
    }
  });

  await step.step("a key that may only create documents: warnings, and readings arrive", async () => {
    await server.must("PUT", "/narrow-2026");
    const role = { cluster: [], indices: [{ names: ["narrow-*"], privileges: ["create_doc"] }] };
    const apiKey = secret(await server.apiKey({ agent: role }));
    const { output } = outputOf({ urls: [url], caPem, index: "narrow-%Y", apiKey });
    await output.prepare(signal);
    assert.deepEqual(output.alarms().map((alarm) => alarm.code), ["template"]);
    assert.match(output.alarms()[0]?.remedy ?? "", /manage_index_templates.*manage_template: false/);
    assert.deepEqual(await output.send([makeOutgoing({}, { target: "narrow-%Y" })], signal), [{
      kind: "confirmed",
    }]);
    const findings = await output.examine(signal);
    assert.deepEqual(findings.map((one) => one.level), ["ok", "failure", "warning", "warning"]);
    assert.match(findings[1]?.remedy ?? "", /give it auto_configure on narrow-\*/);
    await output.close();
  });

  await step.step(
    "403: a key without the privilege pauses, and all arrives once when it has it",
    async () => {
      const role = (names: string[]) => ({
        agent: { cluster: ["monitor", "manage_index_templates"], indices: [{ names, privileges: ["all"] }] },
      });
      interface Made {
        id: string;
        encoded: string;
      }
      const { id, encoded } = await server.must<Made>("POST", "/_security/api_key", {
        name: "forbidden",
        role_descriptors: role(["other-*"]),
      });
      await using shipping = await Shipping.start({
        urls: [url],
        caPem,
        index: "forbidden-%Y",
        apiKey: secret(encoded),
      });
      await shipping.storeNumbers(3);
      const status = await shipping.until("it is paused", (now) => now.state === "paused");
      assert.match(
        status.reason ?? "",
        /403.*security_exception: action \[indices:(admin\/auto_create|data\/write).*is unauthorized/,
      );
      assert.ok(status.alarms.some((alarm) => alarm.code === "output_paused"));
      assert.equal(status.dead, 0);
      await server.must("PUT", `/_security/api_key/${id}`, { role_descriptors: role(["forbidden-*"]) });
      await shipping.settled();
      assert.equal(await server.count("forbidden-*"), 3);
    },
  );

  await step.step("through an HTTP proxy that wants a password, TLS verified all the same", async () => {
    const dir = await Deno.makeTempDir();
    const port = freePort();
    const config = join(dir, "tinyproxy.conf");
    const lines = [
      `Port ${port}`,
      "Listen 127.0.0.1",
      "Timeout 60",
      "BasicAuth agent pass-word",
      "LogLevel Critical",
    ];
    await Deno.writeTextFile(config, lines.join("\n") + "\n");
    const tinyproxy = new Running("tinyproxy", ["-d", "-c", config]);
    await waitUntil(() => accepts(port), 10_000, "tinyproxy listens");
    const login = {
      urls: [url],
      caPem,
      index: "proxied-%Y",
      username: "elastic",
      password: secret(server.password!),
    };
    {
      await using shipping = await Shipping.start({
        ...login,
        proxy: `http://agent:pass-word@127.0.0.1:${port}`,
      });
      await shipping.storeNumbers(3);
      await shipping.settled();
      assert.equal(await server.count("proxied-*"), 3);
      await tinyproxy.stop();
      await shipping.storeNumbers(1);
      const status = await shipping.until("it is retrying", (now) => now.state === "retrying");
      assert.match(status.reason ?? "", /connection refused|proxy/);
      assert.ok(!JSON.stringify(status).includes("pass-word"));
      await Deno.writeTextFile(config, lines.join("\n").replace("agent pass-word", "agent other") + "\n");
      const changed = new Running("tinyproxy", ["-d", "-c", config]);
      const refused = await shipping.until("the proxy refuses", (now) => /proxy/.test(now.reason ?? ""));
      assert.match(
        refused.reason ?? "",
        /the proxy (wants other credentials|did not let the request through)/,
      );
      await changed.stop();
    }
    const { output } = outputOf({ ...login, caPem: undefined, proxy: `http://127.0.0.1:${port}` });
    assert.equal((await output.examine(signal))[0]?.level, "failure");
    await output.close();
    await Deno.remove(dir, { recursive: true });
  });
});
