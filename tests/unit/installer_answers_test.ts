import assert from "node:assert/strict";
import { join } from "node:path";
import { askFor, fromFlags, hasAnswers } from "../../agent/commands/install_answers.ts";
import type { Questions } from "../../agent/commands/questions.ts";
import { ConfigError } from "../../agent/base/errors.ts";
import { Folder } from "./config_fixture.ts";

/** Answers in order; what was asked. */
function person(...answers: string[]): Questions & { asked: string[] } {
  const asked: string[] = [];
  const next = (question: string) => {
    asked.push(question);
    const answer = answers.shift();
    assert.ok(answer !== undefined, `one question too many: ${question}`);
    return Promise.resolve(answer);
  };
  return { asked, ask: next, askSecret: (question) => next(`${question} (secret)`) };
}

Deno.test("install: asks for plant, broker and output, and again for what can't be", async () => {
  using folder = new Folder();
  const ca = join(folder.dir, "ca.crt");
  const questions = person(
    ...["no spaces!", "vigo", "ftp://x", "mqtts://192.168.1.46:8883", "/nowhere", ca, "agent", "hunter2"],
    ...["10.8.0.1", "https://10.8.0.1:9200", "", "no key!", "a2V5"],
  );
  const { secrets, ...flags } = await askFor({}, questions);
  assert.deepEqual(flags, {
    ...{ plant: "vigo", broker: "mqtts://192.168.1.46:8883", caFile: ca, username: "agent" },
    ...{ outputUrl: ["https://10.8.0.1:9200"], outputCaFile: undefined },
  });
  assert.deepEqual(secrets.map(({ name, content, secret }) => [name, content, secret]), [
    ["mqtt-password", "hunter2\n", true],
    ["elastic-api-key", "a2V5\n", true],
  ]);
  const asked = questions.asked.join("\n");
  assert.match(asked, /can't be used.*\n.*plant.*can't be used: found the scheme ftp/s);
  assert.match(asked, /Its password: \(secret\)/);
  assert.ok(!/hunter2|a2V5/.test(asked));
});

Deno.test("install: ENTER alone means: this host's name, no broker yet, readings on this machine", async () => {
  const questions = person("", "", "");
  const { secrets, plant, ...flags } = await askFor({}, questions);
  assert.ok(plant !== undefined && questions.asked[0]!.includes(`[${plant}]`));
  assert.deepEqual([secrets, Object.values(flags).filter((value) => value !== undefined)], [[], []]);
});

Deno.test("install: what a flag has said is not asked", async () => {
  const flags = {
    plant: "a",
    broker: "mqtt://x:1883",
    username: "u",
    passwordFile: "p",
    outputUrl: ["http://y:9200"],
  };
  const { asked } = await (async () => {
    const questions = person("");
    await askFor(flags, questions);
    return questions;
  })();
  assert.deepEqual(asked, ["Its API key [none]: (secret)"]);
  assert.deepEqual([hasAnswers({}), hasAnswers({ apiKeyFile: "x" })], [false, true]);
});

Deno.test("install: flags are added to what an earlier run was told", async () => {
  using folder = new Folder();
  const earlier = { plant: "vigo", broker: "mqtt://x:1883", password: true, outputUrls: ["https://a:9200"] };
  const { answers, files } = await fromFlags(
    { broker: "mqtts://y:8883", apiKeyFile: join(folder.dir, "key") },
    earlier,
  );
  assert.deepEqual(answers, { ...earlier, broker: "mqtts://y:8883", apiKey: true });
  assert.deepEqual(files.map(({ name, secret }) => [name, secret]), [["elastic-api-key", true]]);
});

Deno.test("install: a file that can't be a secret is refused, and what is in it not shown", async () => {
  using folder = new Folder();
  const refused: [string | Uint8Array, RegExp][] = [
    ["", /empty/],
    ["\n", /empty/],
    ["hunter2\nhunter3\n", /more than one line/],
    ["hunter2\0", /more than one line/],
    [new Uint8Array([0x68, 0xff]), /UTF-8/],
    ["h".repeat(1024 * 1024 + 1), /larger than 1 MiB/],
  ];
  for (const [content, says] of refused) {
    folder.put("bad", content);
    await assert.rejects(fromFlags({ passwordFile: join(folder.dir, "bad") }, {}), (error: Error) => {
      assert.ok(
        error instanceof ConfigError && says.test(error.message) && !/hunter/.test(error.message),
        error.message,
      );
      return true;
    });
  }
  await assert.rejects(
    fromFlags({ passwordFile: join(folder.dir, "none") }, {}),
    /--password-file .*none.*can be read/,
  );
  folder.put("bad", "hunter2!\n");
  await assert.rejects(
    fromFlags({ apiKeyFile: join(folder.dir, "bad") }, {}),
    /no API key in base64 form.*encoded/,
  );
  await assert.rejects(fromFlags({ apiKeyFile: "-", passwordFile: "-" }, {}), /one secret only/);
});
