import assert from "node:assert/strict";
import { allStages } from "../run_all_stages.ts";
import { tally } from "../run_all_tally.ts";
import { projectFiles } from "./files.ts";

Deno.test("the sum of a stage is that of its last summary", () => {
  assert.deepEqual(tally("ok | 3 passed | 0 failed (12ms)\n", 0), { passed: 3, failed: 0 });
  assert.deepEqual(tally("FAILED | 3 passed (2 steps) | 1 failed (1 step) (12ms)\n", 1), {
    passed: 3,
    failed: 1,
  });
  assert.deepEqual(tally("run 1: 2 passed, 0 failed\n59 passed, 1 failed\n", 1), { passed: 59, failed: 1 });
});

Deno.test("a stage that prints no summary is judged by its exit code", () => {
  assert.deepEqual(tally("Checked 5 files\n", 0), { passed: 1, failed: 0 });
  assert.deepEqual(tally("error: not formatted\n", 1), { passed: 0, failed: 1 });
});

Deno.test("a bad exit code after a good summary, and ignored tests, are failures", () => {
  assert.deepEqual(tally("ok | 3 passed | 0 failed\n", 137), { passed: 3, failed: 1 });
  assert.deepEqual(tally("ok | 3 passed | 0 failed | 2 ignored (1ms)\n", 0), { passed: 3, failed: 2 });
});

Deno.test("a stage whose folder has no tests fails", () => {
  assert.deepEqual(tally("ok | 0 passed | 0 failed (1ms)\n", 0), { passed: 0, failed: 1 });
  assert.deepEqual(tally("error: No test modules found\n", 1), { passed: 0, failed: 1 });
});

Deno.test("every test file is run by a stage", async () => {
  const folders = allStages.flat().map((stage) => `${stage.folder}/`);
  const tests = (await projectFiles()).map(({ path }) => path).filter((path) => path.endsWith("_test.ts"));
  assert.ok(tests.length > 40);
  assert.deepEqual(tests.filter((path) => !folders.some((folder) => path.startsWith(folder))), []);
});
