import assert from "node:assert/strict";
import { atLeast } from "../../bench/peers.ts";

Deno.test("bench: versions are compared number by number", () => {
  assert.ok(atLeast("1.25.5", "1.25.5"));
  assert.ok(atLeast("1.26", "1.25.5"));
  assert.ok(atLeast("2.0", "1.25.5"));
  assert.ok(!atLeast("1.19.8", "1.25.5"));
  assert.ok(!atLeast("1.25", "1.25.5"));
  assert.ok(!atLeast("1.9.9", "1.25.5"));
});
