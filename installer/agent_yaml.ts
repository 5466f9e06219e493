/** A person's agent.yaml with some keys set anew: everything else stays as it was written, comments too. Pure. */
import { type Document, isMap, isScalar, type ParsedNode, parseDocument, YAMLMap } from "yaml";
import { OperationError } from "../agent/base/errors.ts";
import { lineDiff } from "./line_diff.ts";

/** Values by key of `mqtt:`; undefined takes a key away. Throws OperationError for what is no map of keys. */
export function withMqtt(text: string, values: Record<string, string | undefined>): string {
  const document = parseDocument(text, { logLevel: "error", stringKeys: true });
  if (document.errors.length > 0) throw unreadable("it can't be read as YAML");
  const mqtt = sectionOf(document, "mqtt");
  let changed = false;
  for (const [key, value] of Object.entries(values)) {
    if (mqtt.get(key) === value) continue;
    changed = true;
    if (value === undefined) mqtt.delete(key);
    else mqtt.set(key, value);
  }
  return changed ? withOldLines(text, written(document, text)) : text;
}

/** The whole document as the package writes it, with the habits of the text that it came from. */
function written(document: Document.Parsed, text: string): string {
  const indent = /^( {1,8})\S/m.exec(text)?.[1]?.length ?? 2;
  return document.toString({
    lineWidth: 0,
    indent,
    indentSeq: !/^([\w-]+):[^\n]*\n- /m.test(text),
    flowCollectionPadding: /[[{] \S/.test(text),
  });
}

/** What did not change as it stood there: the package has its own ideas of blanks. */
function withOldLines(text: string, after: string): string {
  const old = text.split("\n");
  const before = written(parseDocument(text, { logLevel: "error", stringKeys: true }), text);
  if (before.split("\n").length !== old.length) return after;
  let at = 0;
  const lines = lineDiff(before, after).flatMap(({ sign, text }) => {
    const stood = sign === "+" ? text : old[at++]!;
    return sign === "-" ? [] : [stood];
  });
  const kept = lines.join("\n") + "\n";
  return meaning(kept) !== undefined && meaning(kept) === meaning(after) ? kept : after;
}

/** Undefined when it can't be said. */
function meaning(text: string): string | undefined {
  try {
    const document = parseDocument(text, { logLevel: "error", stringKeys: true });
    return document.errors.length > 0 ? undefined : JSON.stringify(document.toJS());
  } catch {
    return undefined;
  }
}

/** The section; a new one where there is none, or nothing but comments in it. */
function sectionOf(document: Document.Parsed, name: string): YAMLMap {
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    const comment = document.contents?.comment;
    document.contents = new YAMLMap() as unknown as ParsedNode;
    if (comment !== undefined) document.contents!.commentBefore = comment ?? null;
  }
  if (!isMap(document.contents)) throw unreadable("there are no keys in it");
  const found: unknown = document.contents.get(name, true);
  if (isMap(found)) return found;
  if (found !== undefined && found !== null && !(isScalar(found) && found.value === null)) {
    throw unreadable(`${name}: is no section`);
  }
  const section = new YAMLMap();
  // what is commented out in an empty section stays in it
  if (isScalar(found)) section.comment = found.comment ?? null;
  document.contents.set(document.createNode(name) as ParsedNode, section as unknown as ParsedNode);
  return section;
}

function unreadable(cause: string): OperationError {
  return new OperationError({
    ...{ operation: "change the configuration", place: "agent.yaml", cause },
    remedy: "sensorlog-agent check shows where; put it right first",
  });
}
