import assert from "node:assert/strict";
import { join } from "node:path";
import { reloadable } from "../../agent/config/compare.ts";
import { keysOf } from "../../agent/config/schema.ts";
import { projectDir } from "../lab/paths.ts";
import { begin, describedKeys, end, reference, withReference } from "./reference.ts";

const readme = Deno.readTextFileSync(join(projectDir, "README.md"));

Deno.test("README: its configuration reference is the schema's (`deno task docs` makes it anew)", () => {
  assert.equal(withReference(readme), readme);
});

Deno.test("configuration: every key has a description of one line beside its schema", () => {
  const faults = describedKeys().flatMap(([section, keys]) =>
    keys.flatMap(({ key, what }) => {
      if (what === undefined) return [`${section} ${key}: has none`];
      if (/[\n<>]/.test(what) || /\.$/.test(what)) return [`${section} ${key}: is not one plain line`];
      return what.length > 110 ? [`${section} ${key}: has ${what.length} characters (110)`] : [];
    })
  );
  assert.equal(faults.length, 0, `\n${faults.join("\n")}`);
});

Deno.test("configuration: the reference has every key that the schema takes, once", () => {
  const listed = describedKeys().map(([section, keys]) => [section, keys.map(({ key }) => key)] as const);
  const at = (name: string) =>
    listed.filter(([section]) => section.startsWith(name)).flatMap(([, keys]) => keys);
  const sections = ["mqtt", "spool", "outputs", "log"];
  assert.deepEqual(new Set([...listed[0]![1], ...sections]), new Set(keysOf([])));
  for (const name of ["mqtt", "spool", "log"]) assert.deepEqual(at(name), keysOf([name]));
  assert.deepEqual(new Set(at("outputs")), new Set(keysOf(["outputs", "NAME"])));
});

Deno.test("configuration: what SIGHUP applies is marked, and is a key of the schema", () => {
  const marked = describedKeys().flatMap(([section, keys]) =>
    keys.filter(({ atOnce }) => atOnce).map(({ key }) => section === "" ? key : `${section}.${key}`)
  );
  assert.deepEqual(new Set(marked), reloadable);
  assert.match(reference(), /^\| `topics` ↻ \|/m);
});

Deno.test("README: a reference without its marks is an error, not a second reference", () => {
  for (const mark of [begin, end]) {
    assert.throws(() => withReference(readme.replace(mark, "")), /are missing/);
  }
});
