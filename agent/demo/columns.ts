/** How wide text stands on a terminal. Characters of Chinese, Japanese, Korean and most emoji take two columns. */

const two = new RegExp(
  "^(?![\\uff61-\\uffdc])[\\p{Script=Han}\\p{Script=Hangul}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Yi}" +
    "\\p{Script=Bopomofo}\\p{Script=Tangut}\\p{Emoji_Presentation}\\u3000-\\u303e\\ufe30-\\ufe6f\\uff01-\\uff60\\uffe0-\\uffe6]",
  "u",
);
/** Accents and the like stand on the character before. */
const none = /^[\p{Mn}\p{Me}]/u;
const ascii = /^[\x20-\x7e]*$/;

function columnsOfOne(char: string): number {
  return none.test(char) ? 0 : two.test(char) ? 2 : 1;
}

/** Columns that a text without control characters takes. */
export function columnsOf(text: string): number {
  if (ascii.test(text)) return text.length;
  return [...text].reduce((sum, char) => sum + columnsOfOne(char), 0);
}

/** As much of a text as fits, with `…` at its end when something is left out. */
export function fit(text: string, columns: number): string {
  if (columns <= 0) return "";
  // no more is looked at than can fit: a text may be long
  const beginning = text.slice(0, 8 * columns + 8);
  if (beginning.length === text.length && columnsOf(text) <= columns) return text;
  let shown = "";
  let left = columns - 1;
  for (const char of beginning) {
    left -= columnsOfOne(char);
    if (left < 0) break;
    shown += char;
  }
  return `${shown}…`;
}

/** Fitted, and filled up with blanks behind it. */
export function padEnd(text: string, columns: number): string {
  const fitted = fit(text, columns);
  return fitted + " ".repeat(Math.max(0, columns - columnsOf(fitted)));
}

/** Fitted, and filled up with blanks before it. */
export function padStart(text: string, columns: number): string {
  const fitted = fit(text, columns);
  return " ".repeat(Math.max(0, columns - columnsOf(fitted))) + fitted;
}
