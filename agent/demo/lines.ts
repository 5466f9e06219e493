/** Lines of a screen, put together from coloured pieces, never wider than the window. */
import { columnsOf, fit } from "./columns.ts";

/** Escape sequences of colours and the like (ECMA-48, 8.3.117). */
const escapes = {
  bold: "1",
  faint: "2",
  good: "32",
  warn: "33",
  bad: "31",
  accent: "36",
  goodBold: "1;32",
} as const;
export type Tone = keyof typeof escapes;

export class Line {
  #text = "";
  #columns = 0;

  /** `columns`: as many as it may take. */
  constructor(private readonly columns: number, private readonly colour: boolean) {}

  get width(): number {
    return this.#columns;
  }

  get left(): number {
    return this.columns - this.#columns;
  }

  /** Text without control characters; what does not fit is cut. */
  add(text: string, tone?: Tone): this {
    const shown = fit(text, this.left);
    if (shown === "") return this;
    this.#columns += columnsOf(shown);
    this.#text += this.colour && tone !== undefined ? `\x1b[${escapes[tone]}m${shown}\x1b[0m` : shown;
    return this;
  }

  /** Blanks up to a column, counted from 0. */
  to(column: number): this {
    return this.add(" ".repeat(Math.max(0, Math.min(column - this.#columns, this.left))));
  }

  toString(): string {
    return this.#text;
  }
}
