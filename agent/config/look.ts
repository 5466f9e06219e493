/** Looks at plain values of a YAML file, whatever is wrong with the rest of it. */
import type { Path } from "./problems.ts";

export class Look {
  constructor(private readonly root: unknown) {}

  at(path: Path): unknown {
    let here: unknown = this.root;
    for (const part of path) {
      if (typeof here !== "object" || here === null || !Object.hasOwn(here, part)) return undefined;
      here = (here as Record<string | number, unknown>)[part];
    }
    return here;
  }

  has(path: Path): boolean {
    return (this.at(path) ?? undefined) !== undefined;
  }

  text(path: Path): string | undefined {
    const here = this.at(path);
    return typeof here === "string" && here !== "" ? here : undefined;
  }

  /** The texts of a list. */
  texts(path: Path): string[] {
    const here = this.at(path);
    return Array.isArray(here) ? here.filter((one) => typeof one === "string") : [];
  }

  /** The keys of a section. */
  keys(path: Path): string[] {
    const here = this.at(path);
    return typeof here === "object" && here !== null && !Array.isArray(here) ? Object.keys(here) : [];
  }
}

/** Takes a problem, or a warning, of what stands at a path. */
export type Report = (path: Path, text: string) => void;
