import assert from "node:assert/strict";
import { compareSettings } from "../../agent/config.ts";
import { Folder } from "./config_fixture.ts";

const GiB = 2 ** 30;
const dayMs = 86_400_000;

Deno.test("config: an output of type local keeps a year and 2 GiB unless told otherwise", () => {
  using folder = new Folder();
  assert.deepEqual(folder.load("outputs: {here: {type: local}}").outputs, [{
    type: "local",
    name: "here",
    dir: "/var/lib/sensorlog/store",
    keepMs: 365 * dayMs,
    maxSizeBytes: 2 * GiB,
  }]);
  assert.deepEqual(
    folder.load("outputs: {here: {type: local, dir: /srv/store, keep: 30d, max_size: 64MiB}}").outputs,
    [{ type: "local", name: "here", dir: "/srv/store", keepMs: 30 * dayMs, maxSizeBytes: 64 * 2 ** 20 }],
  );
});

Deno.test("config: keys of the other type of output are a mistake, with their place", () => {
  using folder = new Folder();
  assert.deepEqual(folder.problems("outputs:\n  here:\n    type: local\n    urls: [https://10.8.0.1:9200]"), [
    "4:11: outputs.here.urls: this belongs to another type of output than local; remove it",
  ]);
  for (const key of ["index: a", "manage_template: false", "api_key_file: key", "proxy: http://a"]) {
    assert.match(folder.problems(`outputs: {here: {type: local, ${key}}}`)[0]!, /belongs to another type/);
  }
  for (const key of ["keep: 3d", "dir: /srv/a", "max_size: 3GiB"]) {
    const text = `outputs: {there: {type: elasticsearch, urls: [http://127.0.0.1:9200], ${key}}}`;
    assert.match(
      folder.problems(text)[0]!,
      /belongs to another type of output than elasticsearch; remove it/,
    );
  }
  assert.match(
    folder.problems("outputs: {here: {type: locale}}")[0]!,
    /elasticsearch or local; did you mean local/,
  );
});

Deno.test("config: what local can't be is refused with what is allowed", () => {
  using folder = new Folder();
  const problem = (key: string) => folder.problems(`outputs: {here: {type: local, ${key}}}`)[0]!;
  assert.match(problem("dir: store"), /1:36: outputs\.here\.dir: .*does not begin with \//);
  assert.match(problem("keep: 30"), /outputs\.here\.keep: found 30; allowed: 1s to 36500d/);
  assert.match(problem("keep: forever"), /outputs\.here\.keep: found "forever"/);
  assert.match(problem("max_size: 1MiB"), /outputs\.here\.max_size: found "1MiB"; allowed: 16MiB to/);
});

Deno.test("config: a store has a folder of its own", () => {
  using folder = new Folder();
  const two = (a: string, b: string) =>
    folder.problems(`outputs: {one: {type: local${a}}, two: {type: local${b}}}`);
  assert.deepEqual(two("", ", dir: /srv/b"), []);
  assert.match(two("", "")[0]!, /outputs\.two\.dir: the output one has this folder already/);
  assert.match(two(", dir: /srv/a", ", dir: /srv/x/../a/")[0]!, /the output one has this folder/);
  const spool = "spool: {dir: /srv/s}\noutputs: {one: {type: local, dir: ";
  assert.match(folder.problems(`${spool}/srv/s/}}`)[0]!, /outputs\.one\.dir: this is the spool's folder/);
  assert.match(folder.problems(`${spool}/srv/s/store}}`)[0]!, /this is the spool's folder/);
  assert.deepEqual(folder.problems(`${spool}/srv/store}}`), []);
});

Deno.test("config: a change of the store's keys needs a restart and is named", () => {
  using folder = new Folder();
  const load = (more: string) => folder.load(`outputs: {here: {type: local${more}}}`);
  assert.deepEqual(compareSettings(load(""), load(", keep: 3d, max_size: 3GiB, dir: /srv/a")), {
    reloadable: [],
    needsRestart: ["outputs.here.dir", "outputs.here.keep", "outputs.here.max_size"],
  });
  assert.deepEqual(compareSettings(load(""), load(", keep: 365d")).needsRestart, []);
});
