/** The configuration reference of the README, made from the schema; `deno task docs` puts it there. */
import { reloadable } from "../../agent/config/compare.ts";
import { shapes } from "../../agent/config/schema.ts";

/** A key as the schema describes it; texts are Markdown. */
export interface DescribedKey {
  key: string;
  byDefault: string;
  what: string | undefined;
  /** A running agent takes a change over at SIGHUP. */
  atOnce: boolean;
}

export const begin = "<!-- made by `deno task docs` from agent/config/schema.ts -->";
export const end = "<!-- end of what `deno task docs` makes -->";

const headings: Record<keyof typeof shapes, string> = {
  "": "At the top",
  mqtt: "Under `mqtt:`",
  spool: "Under `spool:`",
  "outputs.NAME": "Under `outputs:`, each with a name of your own",
  "outputs.NAME elasticsearch": "Of `type: elasticsearch`",
  "outputs.NAME local": "Of `type: local`",
  log: "Under `log:`",
};

const sections = Object.entries(shapes) as [keyof typeof shapes, typeof shapes[keyof typeof shapes]][];

/** Every section with its keys, in the schema's order. */
export function describedKeys(): [keyof typeof shapes, DescribedKey[]][] {
  return sections.map(([section, shape]) => [
    section,
    Object.entries(shape).map(([key, kind]) => {
      const { description, byDefault } = kind.meta() ?? {};
      return {
        key,
        byDefault: String(byDefault ?? "none"),
        what: description,
        atOnce: reloadable.has(section === "" ? key : `${section}.${key}`),
      };
    }),
  ]);
}

function row({ key, byDefault, what, atOnce }: DescribedKey): string {
  const cells = [`\`${key}\`${atOnce ? " ↻" : ""}`, byDefault, what ?? ""];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** The tables as Markdown, one for each section. */
export function reference(): string {
  return describedKeys().map(([section, keys]) => {
    return [`**${headings[section]}**`, "", "| key | default | what |", "|---|---|---|", ...keys.map(row), ""]
      .join("\n");
  }).join("\n");
}

/** `text` with what stands between the two marks made anew. Throws when a mark is missing. */
export function withReference(text: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the lines ${begin} and ${end} are missing`);
  return `${text.slice(0, from)}${begin}\n\n${reference()}\n${text.slice(to)}`;
}
