/** What the rules look at in a TypeScript file, read with the parser of `deno lint`. */

export interface Import {
  specifier: string;
  /** Nothing of it is left when the program runs. */
  typeOnly: boolean;
  line: number;
}

export interface Source {
  /** From the project's folder on. */
  path: string;
  lines: number;
  imports: Import[];
  /** Named functions and methods, and unnamed ones under the name of what they are given to. */
  functions: { name: string; lines: number; line: number }[];
  comments: { text: string; line: number }[];
  /** Lines with the type `any`. */
  anys: number[];
  /** Lines with a test that is left out, or that leaves out the others. */
  leftOut: number[];
}

/** Parses the text of a TypeScript file. Only works within `deno test`. Throws when it is no TypeScript. */
export function readSource(path: string, text: string): Source {
  const reader = new Reader(path, text);
  const read = { create: (context: Deno.lint.RuleContext) => reader.visitor(context) };
  Deno.lint.runPlugin({ name: "repository", rules: { read } }, path, text);
  return reader.source;
}

type Spanned = { range: [number, number] };

class Reader {
  readonly source: Source;

  constructor(path: string, private readonly text: string) {
    const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    this.source = { path, lines, imports: [], functions: [], comments: [], anys: [], leftOut: [] };
  }

  lineOf(at: number): number {
    return this.text.slice(0, at).split("\n").length;
  }

  #import(node: Spanned, specifier: unknown, typeOnly: boolean): void {
    if (typeof specifier !== "string") return;
    this.source.imports.push({ specifier, typeOnly, line: this.lineOf(node.range[0]) });
  }

  #function(node: Spanned, name: string): void {
    const line = this.lineOf(node.range[0]);
    this.source.functions.push({ name, lines: this.lineOf(node.range[1]) - line + 1, line });
  }

  visitor(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
    return {
      Program: () => {
        for (const { value, range } of context.sourceCode.getAllComments()) {
          this.source.comments.push({ text: value, line: this.lineOf(range[0]) });
        }
      },
      ...this.#nodes,
    };
  }

  readonly #nodes: Deno.lint.LintVisitor = {
    ImportDeclaration: (node) => {
      const kinds = node.specifiers.map((one) => one.type === "ImportSpecifier" ? one.importKind : "value");
      const typeOnly = node.importKind === "type" ||
        (kinds.length > 0 && kinds.every((kind) => kind === "type"));
      this.#import(node, node.source.value, typeOnly);
    },
    ExportNamedDeclaration: (node) => this.#import(node, node.source?.value, node.exportKind === "type"),
    ExportAllDeclaration: (node) => this.#import(node, node.source.value, node.exportKind === "type"),
    ImportExpression: (node) =>
      this.#import(node, node.source.type === "Literal" && node.source.value, false),
    FunctionDeclaration: (node) => this.#function(node, node.id?.name ?? "default"),
    FunctionExpression: (node) => this.#function(node, nameOf(node.parent)),
    ArrowFunctionExpression: (node) => this.#function(node, nameOf(node.parent)),
    TSAnyKeyword: (node) => void this.source.anys.push(this.lineOf(node.range[0])),
    MemberExpression: (node) => {
      if (node.property.type !== "Identifier" || !/^(ignore|only|skip)$/.test(node.property.name)) return;
      const { object } = node;
      const ofTest = object.type === "Identifier" && /^(test|it|describe)$/.test(object.name);
      const ofDeno = object.type === "MemberExpression" && object.property.type === "Identifier" &&
        object.property.name === "test";
      if (ofTest || ofDeno) this.source.leftOut.push(this.lineOf(node.range[0]));
    },
    Property: (node) => {
      const name = node.key.type === "Identifier" ? node.key.name : "";
      if (!/^(ignore|only)$/.test(name) || node.value.type !== "Literal" || node.value.value !== true) return;
      this.source.leftOut.push(this.lineOf(node.range[0]));
    },
  };
}

/** What a function without a name of its own is called by. */
function nameOf(parent: Deno.lint.Node): string {
  switch (parent.type) {
    case "MethodDefinition":
    case "PropertyDefinition":
    case "Property":
      return "name" in parent.key ? String(parent.key.name) : "?";
    case "VariableDeclarator":
      return parent.id.type === "Identifier" ? parent.id.name : "?";
    case "CallExpression":
      return `${calleeName(parent.callee)}(…)`;
    default:
      return "?";
  }
}

function calleeName(callee: Deno.lint.Node): string {
  if (callee.type === "Identifier") return callee.name;
  if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return "?";
  return `${calleeName(callee.object)}.${callee.property.name}`;
}
