import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../lab/paths.ts";
import { Folder } from "../unit/config_fixture.ts";

const read = (path: string) => Deno.readTextFileSync(join(projectDir, path));
const languages = ["README.md", "README.es.md"];
const themes = ["light", "dark"];

/** Fenced blocks of a language, without the indentation of the list in which they stand. */
function blocks(markdown: string, language = "\\w+"): string[] {
  const fence = new RegExp(`^( *)\`\`\`${language}\\n([^]*?)^\\1\`\`\`$`, "gm");
  return [...markdown.matchAll(fence)].map(([, indent, text]) =>
    text!.split("\n").map((line) => line.startsWith(indent!) ? line.slice(indent!.length) : line).join("\n")
  );
}

Deno.test("README: the configurations that it shows are valid as they stand, with the files that they name", () => {
  for (const path of languages) {
    const examples = blocks(read(path), "yaml");
    assert.ok(examples.length > 0, `${path} shows a configuration`);
    for (const yaml of examples) {
      using folder = new Folder();
      folder.put("mqtt-password", "x\n");
      folder.put("elastic-api-key", "eA==\n");
      const settings = folder.load(yaml.replaceAll("elastic-ca.crt", "ca.crt"));
      assert.deepEqual(settings.warnings, []);
      assert.ok(settings.mqtt.url !== undefined && settings.outputs.length > 0);
    }
  }
});

Deno.test("README: both languages show the same commands and the same picture", () => {
  const [english, spanish] = languages.map(read);
  const known = new Set(blocks(english!));
  const only = blocks(spanish!).filter((block) =>
    !known.has(block) && !/^sudo sensorlog-agent export .*\n$/.test(block)
  );
  assert.deepEqual(only, []);
  assert.match(english!, /\]\(README\.es\.md\)/);
  assert.match(spanish!, /\]\(README\.md\)/);
  for (const text of [english!, spanish!]) {
    const pictures = [...text.matchAll(/(?:srcset|src)="([^"]+)"/g)].map((match) => match[1]!);
    assert.deepEqual(pictures.map((path) => existsSync(join(projectDir, path))), [true, true]);
  }
});

Deno.test("pictures: light and dark differ in colours, languages in words; nothing is loaded from elsewhere", () => {
  const at = (theme: string, language: string) => read(`docs/way-of-a-reading-${theme}${language}.svg`);
  const colourless = (svg: string) => svg.replace(/#[0-9a-f]{6}/g, "#");
  const wordless = (svg: string) => svg.replace(/>[^<>\n]*</g, "><");
  for (const language of ["", ".es"]) {
    assert.equal(colourless(at("light", language)), colourless(at("dark", language)));
    assert.equal(wordless(at("light", "")), wordless(at("light", language)));
  }
  for (const theme of themes) {
    const outside = at(theme, "").replace("http://www.w3.org/2000/svg", "").match(
      /https?:|href|@import|@font-face/,
    );
    assert.equal(outside, null);
  }
});

Deno.test("README: every footnote is used and written, and each claim of the comparison's peers has its source", () => {
  const readme = read("README.md");
  const written = [...readme.matchAll(/^\[\^([\w-]+)\]:/gm)].map((match) => match[1]!);
  const used = [...readme.matchAll(/\[\^([\w-]+)\](?!:)/g)].map((match) => match[1]!);
  assert.deepEqual(new Set(used), new Set(written));
  const table = /^\| \| mosquitto_sub \+ Filebeat[^\n]*\n\|[-|]+\|\n((?:\|[^\n]*\n)+)/m.exec(readme)?.[1] ??
    "";
  const cells = table.trimEnd().split("\n").flatMap((row) => row.split("|").slice(2, 4));
  assert.ok(cells.length >= 16, "the table is read");
  assert.deepEqual(cells.filter((cell) => !/\[\^[\w-]+\]|\]\(http/.test(cell)), []);
});
