/** YAML to plain values, with the place of each. */
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
} from "yaml";
import { parseDocument, visit } from "yaml";
import type { Path, Position, Problem } from "./problems.ts";

/** A configuration of this size is none. */
const fileBytesMax = 1024 * 1024;

export interface ParsedYaml {
  /** Plain values: null for an empty file. */
  value: unknown;
  problems: Problem[];
  /** Whether `value` can be relied on; else only `problems` count. */
  readable: boolean;
  /** Where the value of a path stands; for one that is not there, the section it should be in. */
  valueAt(path: Path): Position;
  /** Where the key of a path stands. */
  keyAt(path: Path): Position;
}

/**
 * The package's own messages quote the source in places, which may be a secret, and are made for those who write parsers.
 */
const messages: Record<string, string> = {
  BAD_DIRECTIVE: "found a line that begins with %; a configuration needs none",
  BAD_DQ_ESCAPE:
    "found a \\ with a letter that means nothing in double quotes; use single quotes, or write \\\\",
  BAD_INDENT: "the indentation does not fit the lines above, or a bracket before it is not closed" +
    ' (a # begins a comment: write topic filters in quotes, ["#"])',
  BAD_SCALAR_START: "a value can't begin with @ or `; write it in quotes",
  BLOCK_AS_IMPLICIT_KEY:
    "found a second key on the line; write it on a line of its own, or the value in quotes",
  BLOCK_IN_FLOW: "found an indented section within brackets; write it with brackets as well",
  DUPLICATE_KEY: "this key stands here for the second time; keep one of the two",
  MISSING_CHAR:
    "something is missing: the : behind a key, a closing quote or bracket, or the space before a #" +
    ' (a # begins a comment: write topic filters in quotes, ["#"])',
  MULTILINE_IMPLICIT_KEY: "a key goes over several lines; is a quote missing, or the : behind a key?",
  MULTIPLE_DOCS: "found a second document behind ---; a configuration is one",
  NON_STRING_KEY: "a key must be a word",
  TAB_AS_INDENT: "found a tab; indent with spaces",
  TAG_RESOLVE_FAILED:
    "found a tag (! before a value); a configuration needs none, and text with ! goes into quotes",
  UNEXPECTED_TOKEN: "this does not belong here; is a quote or a - too much, or the indentation wrong?",
};

/** Parses the bytes of a file. Never throws: what can't be read is a problem. */
export function parseYaml(bytes: Uint8Array): ParsedYaml {
  const start = { line: 1, column: 1 };
  const unreadable = (problems: Problem[]): ParsedYaml => {
    return { value: undefined, problems, readable: false, valueAt: () => start, keyAt: () => start };
  };
  const wholeFile = (text: string) => unreadable([{ ...start, key: "", text }]);
  if (bytes.length > fileBytesMax) return wholeFile("the file is larger than 1 MiB; is it a configuration?");
  const source = decode(bytes);
  if (typeof source !== "string") return unreadable([source]);
  const counter = new LineCounter();
  const document = parseDocument(source, {
    lineCounter: counter,
    prettyErrors: false,
    logLevel: "error",
    stringKeys: true,
  });
  const positionOf = (offset: number): Position => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const faults = [...document.errors, ...document.warnings];
  const problems = faults.map((fault): Problem => {
    const text = messages[fault.code] ?? "this can't be read as YAML";
    return { ...positionOf(fault.pos[0]), key: "", text };
  });
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return;
      const text = "found * before a name that no & above has given; write text with * in quotes";
      problems.push({ ...positionOf(alias.range?.[0] ?? 0), key: "", text });
    },
  });
  // a key that stands twice leaves the rest readable
  if (problems.length > faults.length || faults.some((fault) => fault.code !== "DUPLICATE_KEY")) {
    return unreadable(problems);
  }
  const tree = new Tree(document, positionOf);
  const places = { valueAt: (path: Path) => tree.valueAt(path), keyAt: (path: Path) => tree.keyAt(path) };
  try {
    return { value: document.toJS({ maxAliasCount: 20 }), problems, readable: true, ...places };
  } catch {
    return wholeFile("it refers to its own parts (&name, *name) too often; write them out");
  }
}

/** The text of UTF-8 bytes, or the problem of the first byte that is none. */
function decode(bytes: Uint8Array): string | Problem {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replace(/^\ufeff/, "");
  } catch {
    const lossy = new TextDecoder().decode(bytes);
    const before = lossy.slice(0, lossy.indexOf("\ufffd")).split("\n");
    const position = { line: before.length, column: before.at(-1)!.length + 1 };
    return { ...position, key: "", text: "found bytes that are not UTF-8; save the file as UTF-8" };
  }
}

/** Finds the places of paths in a parsed document. */
class Tree {
  constructor(
    private readonly document: Document.Parsed,
    private readonly positionOf: (offset: number) => Position,
  ) {}

  valueAt(path: Path): Position {
    const { key, value } = this.#find(path);
    const absent = value === null || (isScalar(value) && value.value === null && value.source === "");
    // a section is where its name is
    return this.#position(key !== null && (absent || isMap(value)) ? key : value);
  }

  keyAt(path: Path): Position {
    const { key, value } = this.#find(path);
    return this.#position(key ?? value);
  }

  #position(node: Node | null): Position {
    return this.positionOf(node?.range?.[0] ?? 0);
  }

  /** Key and value as far along the path as there is one. */
  #find(path: Path): { key: Node | null; value: Node | null } {
    let key: Node | null = null;
    let value: Node | null = this.document.contents;
    for (const part of path) {
      const here: Node | null | undefined = isAlias(value) ? value.resolve(this.document) : value;
      if (isMap(here)) {
        const pair = here.items.find((item) => isPair(item) && keyText(item.key) === String(part)) as
          | Pair<Node, Node | null>
          | undefined;
        if (pair === undefined) break;
        key = pair.key;
        value = pair.value;
      } else if (isSeq(here) && typeof part === "number" && here.items[part] !== undefined) {
        key = null;
        value = here.items[part] as Node;
      } else break;
    }
    return { key, value };
  }
}

/** A key as it is called in plain values. */
function keyText(key: unknown): string {
  if (!isScalar(key)) return String(key);
  return key.value === null ? "" : String(key.value);
}
